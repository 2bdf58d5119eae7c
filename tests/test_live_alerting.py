"""From a broken application to a message, for real: Caddy, the blackbox exporter, Prometheus and Alertmanager with the
emitted files, and a webhook that keeps what it gets.

The windows are sixty times shorter (`time_scale`), addresses are those of this machine, and Debian's Alertmanager
reads the
address of the webhook from its configuration. Everything else is as emitted, the fifteen seconds that Alertmanager
waits
for more alerts of a group too; only what is waited between two messages about the same is shortened like the windows.
"""
from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from edge import SCRAPER, Edge, varied
from edge import running as running_edge
from needed import program
from observing import Sink, fetched, free_port, running, until

from pretamane_analysis.emit.targets import edge_series
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example

SCALE = 60
TARGET = 60.0  # seconds from the first failure to the message
PARTS = ["caddy", "prometheus", "slo_rules", "alerts", "alertmanager", "blackbox"]


def shortened() -> Stack:
    """The example stack with windows of a sixtieth"""
    data = example().model_dump(exclude_unset=True)
    for each in data["slos"].values():
        each["time_scale"] = SCALE
    return Stack.model_validate(data)


@dataclass
class Users:
    """Somebody who asks all the time, several at once"""

    edge: Edge
    stopped: threading.Event = field(default_factory=threading.Event)
    statuses: list[tuple[float, int]] = field(default_factory=list)

    def ask(self) -> None:
        """Ask until told to stop"""
        while not self.stopped.is_set():
            try:
                self.statuses.append((time.monotonic(), self.edge.ask("/contacts").status))
            except OSError:
                pass
            self.stopped.wait(0.05)

    @contextmanager
    def asking(self, together: int = 6) -> Iterator[None]:
        """Ask for the length of a block"""
        threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(together)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self.stopped.set()
            for each in threads:
                each.join(10)


def placed(text: str, places: dict[str, str]) -> dict:
    """The configuration of Prometheus with addresses of this machine, without the targets that do not run here"""
    content = yaml.safe_load(text)
    for job in content["scrape_configs"]:
        for group in job["static_configs"]:
            group["targets"] = [each for each in group["targets"] if any(old in each for old in places)]
        job["static_configs"] = [group for group in job["static_configs"] if group["targets"]]
    content["scrape_configs"] = [each for each in content["scrape_configs"] if each["static_configs"]]
    moved = json.dumps(content)
    for old, new in places.items():
        moved = moved.replace(old, new)
    return json.loads(moved)


def metrics_for_all(edge: Edge) -> None:
    """Let a scraper on the loopback in, where the files name Prometheus's network"""
    edge.load(json.loads(json.dumps(edge.config).replace(f"{SCRAPER}/32", "127.0.0.1/32")))


@contextmanager
def observed(edge: Edge, folder: Path, sink: Sink) -> Iterator[str]:
    """Prometheus, Alertmanager and the blackbox exporter beside an edge; give the address of Prometheus"""
    files = emitted(shortened(), PARTS)
    prometheus, alertmanager, blackbox = (free_port() for _ in range(3))
    places = {"caddy:2020": f"127.0.0.1:{edge.ports['metrics']}", "caddy:8082": f"127.0.0.1:{edge.ports['probes']}",
              "caddy:8081": f"127.0.0.1:{edge.ports['admin']}", "alertmanager:9093": f"127.0.0.1:{alertmanager}",
              "blackbox-exporter:9115": f"127.0.0.1:{blackbox}", "prometheus:9090": f"127.0.0.1:{prometheus}"}
    for path, text in files.items():
        if path.startswith(("prometheus/rules/", "alertmanager/templates/", "blackbox/")):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    (folder / "prometheus/prometheus.yml").write_text(
        yaml.safe_dump(placed(files["prometheus/prometheus.yml"], places)))
    (folder / "alertmanager/alertmanager.yml").write_text(for_debian(files["alertmanager/alertmanager.yml"],
                                                                     folder, sink))
    with running([program("blackbox_exporter"), f"--config.file={folder}/blackbox/blackbox.yml",
                  f"--web.listen-address=127.0.0.1:{blackbox}"],
                 f"http://127.0.0.1:{blackbox}/metrics", folder / "blackbox.log"), \
         running([program("alertmanager"), f"--config.file={folder}/alertmanager/alertmanager.yml",
                  f"--storage.path={folder}/am",
                  "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{alertmanager}",
                  f"--web.external-url=http://127.0.0.1:{alertmanager}/alertmanager"],
                 f"http://127.0.0.1:{alertmanager}/alertmanager/-/ready", folder / "alertmanager.log"), \
         running([program("prometheus"), f"--config.file={folder}/prometheus/prometheus.yml",
                  f"--storage.tsdb.path={folder}/tsdb", "--rules.alert.resend-delay=1s",
                  f"--web.listen-address=127.0.0.1:{prometheus}",
                  f"--web.external-url=http://127.0.0.1:{prometheus}/prometheus"],
                 f"http://127.0.0.1:{prometheus}/prometheus/-/ready", folder / "prometheus.log"):
        yield f"http://127.0.0.1:{prometheus}/prometheus"


def for_debian(text: str, folder: Path, sink: Sink) -> str:
    """Addresses in place of the files that hold them; messages about a group as often as the windows are short"""
    text = re.sub(r"url_file: /run/secrets/(\w+)", rf"url: {sink.url}/\1", text)
    text = text.replace("/etc/alertmanager/templates", str(folder / "alertmanager/templates"))
    return re.sub(r"group_interval: \w+", "group_interval: 1s", text)


def messages(sink: Sink, name: str, status: str) -> list[dict]:
    """What the webhook was told about an alert"""
    return [alert for path, body in list(sink.received) for alert in body["alerts"]
            if path == "/alert_webhook_url" and alert["labels"]["alertname"] == name and alert["status"] == status]


def value(address: str, query: str) -> float | None:
    """What Prometheus answers to a query with one result"""
    from urllib.parse import quote

    found = json.loads(fetched(f"{address}/api/v1/query?query={quote(query)}")[1])["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def test_each_request_is_counted_once_whatever_becomes_of_it():
    """The series that an SLO counts see every request of a user exactly once, a probe of the edge's own health
    never; all
    handlers together see more"""
    stack = varied(edge={"max_body": "1KB"})
    labels = ",".join(f'{name}="{value}"' for name, value in edge_series(stack).items())
    with running_edge(stack) as edge:
        metrics_for_all(edge)
        asked = ["/contacts", "/contacts/missing", "/docs", "/grafana", "/healthz", "/no-such-path", "/contacts/moved"]
        statuses = [edge.ask(path).status for path in asked]
        statuses.append(edge.ask("/documents", method="POST", body=b"x" * 2000).status)
        for each in edge.behind.values():
            each.stop()
        statuses += [edge.ask("/contacts").status for _ in range(3)]
        text = fetched(f"http://127.0.0.1:{edge.ports['metrics']}/metrics")[1]
    rows = [line for line in text.splitlines() if line.startswith("caddy_http_request_duration_seconds_count{")
            and 'server="public"' in line]
    wanted = [line for line in rows if all(part in line for part in labels.split(","))]
    assert 413 in statuses and 404 in statuses
    assert sum(float(line.rsplit(" ", 1)[1]) for line in wanted) == len(statuses) - asked.count("/healthz"), wanted
    failed = sum(float(line.rsplit(" ", 1)[1]) for line in wanted if re.search(r'code="5\d\d"', line))
    assert failed == sum(status >= 500 for status in statuses) >= 3
    assert sum(float(line.rsplit(" ", 1)[1]) for line in rows) > sum(float(line.rsplit(" ", 1)[1]) for line in wanted)


def test_from_the_first_failure_to_the_message_and_back(tmp_path, capsys):
    sink = Sink()
    with running_edge(shortened()) as edge:
        metrics_for_all(edge)
        users = Users(edge)
        with observed(edge, tmp_path, sink) as prometheus, users.asking():
            until(lambda: value(prometheus, 'slo:events:increase1h{slo="availability"} > 20') is not None,
                  30, "traffic")
            assert value(prometheus, 'slo:sli_error:ratio_rate1h{slo="availability"}') == 0
            until(lambda: value(prometheus, 'sum(up{job=~"caddy|alertmanager|prometheus|blackbox-exporter"})') == 4,
                  20, "four targets that answer")
            until(lambda: value(prometheus, 'min(probe_success{job="probe-open"})') == 1, 20, "probes that succeed")
            until(lambda: any(path == "/dead_man_url" for path, _ in list(sink.received)), 20, "the dead-man's switch")
            assert not messages(sink, "SloPageBurn1h", "firing")
            broke = time.monotonic()
            for each in edge.behind.values():
                each.stop()
            fired = until(lambda: messages(sink, "SloPageBurn1h", "firing") and time.monotonic(), TARGET, "the page")
            first = next(at for at, status in users.statuses if at > broke and status >= 500)
            assert messages(sink, "SloPageBurn1h", "firing")[0]["labels"].items() >= {
                "severity": "page", "category": "slo", "slo": "availability", "service": "fastapi-app"}.items()
            until(lambda: value(prometheus, 'min(probe_success{job="probe-open",service="fastapi-app"})') == 0,
                  20, "a failing probe")
            healed = time.monotonic()
            for name, each in edge.behind.items():
                edge.behind[name] = each.again()
            resolved = until(lambda: messages(sink, "SloPageBurn1h", "resolved") and time.monotonic(), TARGET,
                             "the end of the page")
    told = [body for path, body in sink.received if path == "/alert_webhook_url"
            and body["groupLabels"].get("alertname") == "SloPageBurn1h"]
    assert [each["status"] for each in told] == ["firing", "resolved"]  # each once
    assert fired - first < TARGET and resolved - healed < TARGET
    with capsys.disabled():
        print(f"\n    page {fired - first:.1f} s after the first failure, resolved {resolved - healed:.1f} s after "
              f"the repair")
    assert not messages(sink, "EdgeDown", "firing")


@pytest.mark.parametrize("name", ["SloPageBurn1h", "Watchdog"])
def test_runbook_of_a_message_is_in_the_tree(name):
    files = emitted(example())
    rules = [rule for path, text in files.items() if path.startswith("prometheus/rules/")
             for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if rule.get("alert") == name]
    assert rules and all(rule["annotations"]["runbook"] in files for rule in rules)
