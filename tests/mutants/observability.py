"""Defects of rules, probes, routes, logs and dashboards: D54, D55, D64 to D75."""
from __future__ import annotations

import json

import yaml

from mutants import Mutant, added, replaced, substituted

ALERTS, BLACKBOX = "alertmanager/alertmanager.yml", "blackbox/blackbox.yml"
LOKI, ALLOY = "loki/loki.yaml", "alloy/config.alloy"
SOURCES = "grafana/provisioning/datasources/stack.yaml"


def changed(path, change):
    """A mutation of the data of a YAML file"""
    def mutate(files):
        data = yaml.safe_load(files[path])
        change(data)
        return {**files, path: yaml.safe_dump(data, sort_keys=False, width=4096)}

    return mutate


def rule(name, expression, summary="something", **annotations):
    """A mutation that adds an alert to the rules about probes"""
    def change(data):
        data["groups"][0]["rules"].append({"alert": name, "expr": expression,
                                           "labels": {"severity": "page", "category": "probe"},
                                           "annotations": {"summary": summary, "runbook": "runbooks/probe-fails.md",
                                                           **annotations}})

    return changed("prometheus/rules/synthetic.yml", change)


def panel(name, number, expression):
    """A mutation that asks something else in a panel"""
    path = f"grafana/dashboards/{name}.json"

    def mutate(files):
        data = json.loads(files[path])
        panels = [each for each in data["panels"] if each["type"] != "row"]
        panels[number]["targets"][0]["expr"] = expression
        return {**files, path: json.dumps(data, indent=1, sort_keys=True) + "\n"}

    return mutate


def empty_receivers(data):
    """No receiver has a channel"""
    data["receivers"] = [{"name": each["name"]} for each in data["receivers"]]


def shadowed(data):
    """A route to a team after one that takes everything"""
    data["receivers"].append({"name": "team-security",
                              "webhook_configs": [{"url_file": "/run/secrets/alert_webhook_url"}]})
    data["route"]["routes"].append({"receiver": "team-security",
                                    "matchers": ['severity=~"page|ticket"', 'category="security"']})


def old_matchers(data):
    """Matchers of the deprecated kind, one of which nothing reaches"""
    data["route"]["routes"].append({"receiver": "ticket", "match": {"severity": "ticket", "category": "database"}})


def inhibited_by_name(data):
    """High and critical alerts that are to hide each other by their name, which differs"""
    data["inhibit_rules"] = [{"source_matchers": ['severity="page"'], "target_matchers": ['severity="ticket"'],
                              "equal": ["alertname"]}]


def old_retention(data):
    """Retention as it was before version 3"""
    data["compactor"].pop("retention_enabled")
    data["table_manager"] = {"retention_deletes_enabled": True, "retention_period": "720h"}


def old_index(data):
    """An index that nothing writes any more"""
    data["schema_config"]["configs"] = [{"from": "2024-01-01", "store": "boltdb-shipper", "object_store": "filesystem",
                                         "schema": "v11", "index": {"prefix": "index_", "period": "24h"}}]


def link_to_prometheus(data):
    """The link from a line of a log leads to Prometheus"""
    for each in data["datasources"]:
        for field in each["jsonData"].get("derivedFields", ()):
            field["datasourceUid"] = "prometheus"


def no_status(data):
    """The module for locked paths takes what a probe takes by default"""
    del data["modules"]["http_401"]["http"]["valid_status_codes"]


def never(data):
    """A module that fails with TLS and without"""
    data["modules"]["http_2xx"]["http"] |= {"fail_if_ssl": True, "fail_if_not_ssl": True}


def scraped_for_nothing(data):
    """A scrape of a program that the stack does not have"""
    data["scrape_configs"].append({"job_name": "cadvisor", "static_configs": [{"targets": ["cadvisor:8080"]}]})


BURN = """1 - sum(rate(http_requests_total{status_class="5xx"}[5m])) / sum(rate(http_requests_total[5m])) < 0.995
and rate(http_requests_total{status_class="5xx"}[1h]) / rate(http_requests_total[1h]) > 0.072"""

MUTANTS = [
    Mutant("D54", "a function that PromQL does not have", rule("Broken", "min(up, up, up) > 0"), "X06"),
    Mutant("D54", "a function that PromQL does not have, to promtool", rule("Broken", "bool(up)"), "tool:promtool"),
    Mutant("D55", "the alert of the source document", rule("SLOBudgetBurnFast", BURN), "X06"),
    Mutant("D64", "a lock whose module wants 2xx", changed(BLACKBOX, no_status), "O03"),
    Mutant("D64", "a module that can never pass", changed(BLACKBOX, never), "O03"),
    Mutant("D64", "a locked path probed for 2xx",
           replaced("prometheus/prometheus.yml", "http_401", "http_2xx", 2), "X22"),
    Mutant("D64", "a module that the exporter cannot read",
           replaced(BLACKBOX, "valid_status_codes", "valid_status_code"), "tool:blackbox_exporter"),
    Mutant("D65", "an alert that selects a module",
           rule("ProbeFailed", 'probe_success{module="http_2xx"} == 0'), "X06"),
    Mutant("D66", "a histogram that does not exist",
           rule("Slow", "histogram_quantile(0.95, rate(probe_duration_seconds_bucket[5m])) > 2"), "X06"),
    Mutant("D66", "a rate of a gauge", rule("Slow", "rate(probe_duration_seconds[5m]) > 2"), "X06"),
    Mutant("D66", "the end of a certificate without the time",
           rule("CertificateEnding", "probe_ssl_earliest_cert_expiry < 604800"), "X06"),
    Mutant("D67", "a program is scraped that is not there",
           changed("prometheus/prometheus.yml", scraped_for_nothing), "X04"),
    Mutant("D68", "requests a second under a text that says percent",
           rule("HighErrorRate", 'sum(rate(http_requests_total{status_class="5xx"}[5m])) > 0.05',
                "more than 5 % of the requests fail"), "O07"),
    Mutant("D68", "memory of containers, which nobody measures",
           rule("MemoryHigh", "container_memory_usage_bytes / container_spec_memory_limit_bytes > 0.9"), "X06"),
    Mutant("D69", "a function that templates do not have",
           added("alertmanager/templates/stack.tmpl",
                 '{{ define "more" }}{{ .CommonLabels.service | default "none" }}{{ end }}\n'), "tool:amtool"),
    Mutant("D70", "receivers without a channel", changed(ALERTS, empty_receivers), "X12"),
    Mutant("D71", "a route that nothing reaches", changed(ALERTS, shadowed), "X12"),
    Mutant("D71", "matchers of the old kind", changed(ALERTS, old_matchers), "X12"),
    Mutant("D71", "an inhibition by the name of the alert", changed(ALERTS, inhibited_by_name), "O08"),
    Mutant("D72", "retention by the table manager", changed(LOKI, old_retention), "O01"),
    Mutant("D72", "an index that is no longer written", changed(LOKI, old_index), "O01"),
    Mutant("D72", "a ruler that talks to itself",
           substituted(LOKI, r"alertmanager_url: \S+", "alertmanager_url: http://localhost:9093,"), "O01"),
    Mutant("D73", "addresses and statuses as labels",
           replaced(ALLOY, '"level" = "",\n', '"level" = "",\n      "remote_ip" = "",\n      "status" = "",\n'), "O02"),
    Mutant("D74", "a panel on logs that nobody ships",
           panel("logs", 0, 'sum by (job) (count_over_time({job="docker"}[5m]))'), "X06"),
    Mutant("D74", "a panel on a job that nobody labels so",
           panel("app", 0, 'rate(http_requests_total{status="500"}[5m])'), "X06"),
    Mutant("D74", "a link to requests that leads to Prometheus", changed(SOURCES, link_to_prometheus), "O06"),
    Mutant("D74", "plugins fetched at start", substituted("grafana/grafana.ini", r"^preinstall_disabled = true",
                                                          "preinstall = grafana-piechart-panel"), "O06"),
    Mutant("D74", "a panel without data on a live Prometheus", None,
           "behaviour:tests/test_grafana.py::test_every_panel_has_data"),
    Mutant("D75", "ids that do not reach the logs", None, "behaviour:tests/test_logs.py::test_a_line_becomes_an_entry"),
    Mutant("D72", "a shipper that reads from what is not there",
           replaced(ALLOY, "local.file_match.containers.targets", "local.file_match.files.targets"), "O04"),
]
