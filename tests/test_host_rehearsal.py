"""What a run of the emitted host in a real engine showed, held where no engine is needed; tests/e2e holds the rest."""
from __future__ import annotations

import re
from decimal import Decimal

import pytest
import yaml
from operations_host import tree

from pretamane_analysis.stack.stack import example

STACK = example()


@pytest.fixture(scope="module")
def compose():
    """The emitted compose file"""
    return yaml.safe_load(tree()["compose/compose.yaml"])


def test_what_is_built_here_is_asked_of_no_registry(compose):
    """A name that no registry can have, and no pull"""
    built = {name: each for name, each in compose["services"].items() if "build" in each}
    assert len(built) == 4
    for each in built.values():
        assert each["pull_policy"] == "never" and each["image"].startswith("localhost/")
    assert f"fastapi-app-blue {built['migrate']['image']}" in tree()["scripts/lib/stack.sh"]


def test_every_service_says_whether_it_works(compose):
    """`up --wait` calls healthy what it cannot ask"""
    jobs = {name for name, each in compose["services"].items() if each.get("restart") == "no"}
    assert {name for name, each in compose["services"].items() if "healthcheck" not in each} == jobs


def test_the_log_shipper_is_in_the_group_that_may_write_in_its_folder(compose):
    """/var/lib/alloy is 473:473 with mode 770, and root has no capabilities"""
    assert compose["services"]["alloy"]["user"] == "0:473"


def test_the_tunnel_meets_nothing_but_the_edge(compose):
    """What comes in through it reaches no metrics, no logs and no store; Prometheus reads its metrics through the
    edge"""
    beside = {name for name, each in compose["services"].items()
              if {*each["networks"]} & {*compose["services"]["cloudflared"]["networks"]}}
    assert beside == {"caddy", "cloudflared"}
    scrape = next(each for each in yaml.safe_load(tree()["prometheus/prometheus.yml"])["scrape_configs"]
                  if each["job_name"] == "cloudflared")
    assert (scrape["metrics_path"], scrape["static_configs"][0]["targets"]) == ("/cloudflared/metrics", ["caddy:2020"])
    assert "reverse_proxy cloudflared:2000" in tree()["caddy/Caddyfile"]


def test_the_application_says_whether_it_is_ready_before_the_edge_stops_waiting():
    """A hung search engine costs the search, not the documents"""
    waits = min(map(Decimal, re.findall(r"health_timeout ([\d.]+)s", tree()["caddy/upstreams.caddy"])))
    takes = Decimal(re.search(r"^SECONDS = ([\d.]+)", tree()["app/app/health.py"], re.MULTILINE)[1])
    assert takes * Decimal("1.2") < waits


@pytest.mark.parametrize("name", STACK.slos)
def test_one_bad_request_after_a_boot_wakes_nobody(name):
    """`increase()` made 1.06 of it; half the time between samples on both sides of three makes 1.5"""
    slo = STACK.slos[name]
    for alert in slo.alerts:
        assert Decimal("1.5") * slo.ignored_failures / slo.least_requests(alert) < slo.limit(alert)


def test_the_stack_asks_itself_where_nobody_counts():
    """Probes and the edge's own health check have a listener of their own; the SLOs count the other one"""
    targets = [each for job in yaml.safe_load(tree()["prometheus/prometheus.yml"])["scrape_configs"]
               if job["job_name"] in ("probe-open", "probe-locked")
               for group in job["static_configs"] for each in group["targets"]]
    assert targets and all(each.startswith("http://caddy:8082/") for each in targets)
    assert ":8082/healthz" in tree()["compose/compose.yaml"]
    assert all('server="public"' in line for line in re.findall(
        r".*sum\(increase\(.*", tree()["prometheus/rules/slo-availability.yml"]) if "absent" not in line)


def test_images_are_fetched_before_it_is_asked_what_they_would_recreate():
    """A tag that was moved passed the guard; what is here is not pulled again"""
    text = tree()["scripts/deploy.sh"]
    assert text.index("\n    images\n") < text.index("\n    require_no_restart\n")
    assert "--policy missing" in text


def test_a_server_that_is_still_made_is_not_ready(compose):
    """While its first start makes the roles, PostgreSQL answers on its socket only"""
    assert compose["services"]["postgresql"]["healthcheck"]["test"][:4] == ["CMD", "pg_isready", "-h", "127.0.0.1"]


def test_units_try_for_as_long_as_it_takes():
    """Five starts in an hour were over after two and a half minutes of a slow registry"""
    again = {path: text for path, text in tree().items() if path.endswith(".service") and "Restart=on-failure" in text}
    assert len(again) == 2 and all("StartLimitIntervalSec=0" in text and "StartLimitBurst" not in text
                                   for text in again.values())
