"""Dashboards: as Grafana's library reads them, as its linter would have them, and with data on a live Prometheus."""
from __future__ import annotations

import configparser
import json
import re
import subprocess
import urllib.parse

import pytest
import yaml
from exporters import exporters
from needed import program
from observing import fetched, free_port, running, until

from pretamane_analysis.emit.observability.grafana import files
from pretamane_analysis.emit.observability.slo_rules import files as slo_files
from pretamane_analysis.emit.targets import scrape_targets
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.facts.metrics import catalogue, labels
from pretamane_analysis.facts.promql import filled, read
from pretamane_analysis.stack.stack import Stack, example

STACK = example()
EMITTED = files(STACK)
DASHBOARDS = {path.rpartition("/")[2]: json.loads(text) for path, text in EMITTED.items() if path.endswith(".json")}
PANELS = [(name, panel) for name, each in DASHBOARDS.items() for panel in each["panels"] if panel["type"] != "row"]
QUERIES = [(name, panel["title"], target["expr"]) for name, panel in PANELS for target in panel["targets"]
           if panel["datasource"]["type"] == "prometheus"]
LOGQL = [target["expr"] for _, panel in PANELS for target in panel["targets"] if panel["datasource"]["type"] == "loki"]


def recorded() -> dict[str, frozenset[str]]:
    """The labels of what rules record"""
    found: dict[str, frozenset[str]] = {}
    for text in slo_files(STACK).values():
        for group in yaml.safe_load(text)["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    inside, _ = read(rule["expr"], lambda name: found.get(name, labels(name)))
                    found[rule["record"]] = (inside or frozenset()) | {*rule.get("labels", {})}
    return found


RECORDED = recorded()


# As Grafana reads them

@pytest.mark.parametrize("name", DASHBOARDS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_library_reads_what_it_wrote(name):
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARDS[name])))
    assert again == DASHBOARDS[name]


def test_a_dashboard_for_everything_that_is_measured():
    assert {*DASHBOARDS} == {f"{each}.json" for each in ("slo", "edge", "app", "host", "postgres", "logs", "backups")}
    assert all(each["uid"] == name.removesuffix(".json") for name, each in DASHBOARDS.items())


def test_panels_fill_the_grid_and_do_not_overlap():
    for name, dashboard in DASHBOARDS.items():
        taken = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"],
                                           place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            assert not cells & taken and place["x"] + place["w"] <= 24, (name, panel["title"])
            taken |= cells
        assert len(taken) == 24 * (max(y for _, y in taken) + 1), f"{name} has holes"
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)


# As the linter of dashboards would have them; its rules on variables for job and instance are left out: there is one of
# each

def test_linter_dashboard():
    for name, each in DASHBOARDS.items():
        assert each["editable"] is False and each["title"] and each["description"], name
        variables = {variable["name"]: variable for variable in each["templating"]["list"]}
        used = {panel["datasource"]["type"] for dashboard, panel in PANELS if dashboard == name}
        assert {f"{kind}_datasource"
                for kind in used} == {key for key, variable in variables.items() if variable["type"] == "datasource"}
        assert all(variables[f"{kind}_datasource"]["label"] == f"{kind.title()} data source" for kind in used)
        assert all(variable["refresh"] == 2 for variable in variables.values() if variable["type"] == "query")
        text = json.dumps(each["panels"])
        assert all(f"${key}" in text or f"${{{key}}}" in text for key in variables), name
        asked = {key for expr in (target["expr"] for dashboard, panel in PANELS if dashboard == name
                                  for target in panel["targets"])
                 for key in re.findall(r"\$(?!__)(\w+)", expr)}
        assert asked <= {*variables}


@pytest.mark.parametrize("name, panel", PANELS, ids=[f"{name}-{panel['title']}" for name, panel in PANELS])
def test_linter_panel(name, panel):
    assert panel["title"] and panel["description"] and panel["targets"]
    assert panel["datasource"]["uid"] == f"${{{panel['datasource']['type']}_datasource}}"
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    assert panel["type"] == "logs" or panel["fieldConfig"]["defaults"]["unit"]
    assert panel["type"] == "logs" or all(target.get("legendFormat") for target in panel["targets"])
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)


@pytest.mark.parametrize("name, title, expression", QUERIES,
                         ids=[f"{name}-{title}-{number}" for number, (name, title, _) in enumerate(QUERIES)])
def test_linter_query(name, title, expression):
    """Rates over Grafana's interval, and counters only as rates"""
    assert not re.search(r"(rate|increase)\([^\[]*\[(?!\$__rate_interval)", expression)
    _, reading = read(filled(expression), lambda metric: RECORDED.get(metric, labels(metric)))
    for metric in reading.metrics:
        if any(each.kind == "counter" for each in catalogue().get(metric, ())):
            assert re.search(rf"(rate|increase|count) ?\({metric}\b", expression), metric


# What they ask

def test_every_metric_and_label_is_in_the_catalogue():
    for name, title, expression in QUERIES:
        found, reading = read(filled(expression), lambda metric: RECORDED.get(metric, labels(metric)))
        assert reading.problems == [], (name, title, expression)
        legend = [target.get("legendFormat", "") for dashboard, panel in PANELS
                  if (dashboard, panel["title"]) == (name, title)
                  for target in panel["targets"] if target["expr"] == expression]
        assert found is None or {each for text in legend
                                 for each in re.findall(r"\{\{(\w+)\}\}", text)} <= found, (name, title)


def test_promtool_reads_every_query(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": filled(expression)}
             for number, (_, _, expression) in enumerate(QUERIES)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run([program("promtool"), "check", "rules", "--lint=none", str(tmp_path / "rules.yml")],
                             capture_output=True, text=True)
    assert checked.returncode == 0 and f"{len(QUERIES)} rules found" in checked.stdout, checked.stdout + checked.stderr


def test_queries_of_logs_use_labels_that_are_shipped():
    assert LOGQL
    for expression in LOGQL:
        assert {*re.findall(r"(\w+)=~", expression)} <= {"service", "level"}
        assert "[" not in expression or "[$__auto]" in expression


# Settings

def test_settings():
    settings = configparser.ConfigParser()
    settings.read_string(EMITTED["grafana/grafana.ini"])
    assert (settings["server"]["root_url"] == f"https://{STACK.admin_domain}/grafana/"
            and settings["server"].getboolean("serve_from_sub_path"))
    assert not settings["auth.basic"].getboolean("enabled") and not settings["auth.anonymous"].getboolean("enabled")
    assert settings["plugins"].getboolean(
        "preinstall_disabled") and "admin_password" not in EMITTED["grafana/grafana.ini"]
    assert "GF_INSTALL_PLUGINS" not in emitted(STACK)["compose/compose.yaml"]


def test_data_sources_are_where_the_services_are_served():
    sources = yaml.safe_load(EMITTED["grafana/provisioning/datasources/stack.yaml"])["datasources"]
    assert {each["uid"]: each["url"] for each in sources} == {
        "prometheus": "http://prometheus:9090/prometheus", "loki": "http://loki:3100",
        "alertmanager": "http://alertmanager:9093/alertmanager"}
    assert [each["uid"] for each in sources
            if each["isDefault"]] == ["prometheus"] and not any(each["editable"] for each in sources)
    provider = yaml.safe_load(EMITTED["grafana/provisioning/dashboards/stack.yaml"])["providers"][0]
    assert provider["options"]["path"] == "/etc/grafana/dashboards" and not provider["allowUiUpdates"]


def test_the_link_from_a_line_finds_the_id():
    """D74: the link led to Prometheus"""
    sources = yaml.safe_load(EMITTED["grafana/provisioning/datasources/stack.yaml"])["datasources"]
    fields = next(each for each in sources if each["uid"] == "loki")["jsonData"]["derivedFields"]
    line = json.dumps({"level": "info", "request_id": "r-1", "trace_id": "t-1"}, separators=(",", ":"))
    assert [re.search(each["matcherRegex"], line)[1] for each in fields] == ["r-1", "t-1"]
    assert all(each["datasourceUid"] == "loki" for each in fields)


# Live

UNREACHED = {"loki_source_file_read_lines_total"}  # Alloy comes from no package registry


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A real Prometheus with the emitted scrape configuration, every program that can be installed, and short SLOs"""
    folder = tmp_path_factory.mktemp("live")
    data = STACK.model_dump(exclude_unset=True)
    for slo in data["slos"].values():
        slo["time_scale"] = 60
    rules = slo_files(Stack.model_validate(data))
    with exporters(folder) as found:
        for path, text in rules.items():
            (folder / path.rpartition("/")[2]).write_text(text)
        configuration = yaml.safe_load(emitted(STACK, ["prometheus"])["prometheus/prometheus.yml"])
        (folder / "prometheus.yml").write_text(
            yaml.safe_dump(localized(configuration, found, [path.rpartition("/")[2] for path in rules])))
        port = free_port()
        command = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
                   f"--storage.tsdb.path={folder / 'tsdb'}",
                   f"--web.listen-address=127.0.0.1:{port}", f"--web.external-url=http://127.0.0.1:{port}/prometheus"]
        with running(command, f"http://127.0.0.1:{port}/prometheus/-/ready", folder / "prometheus.log"):
            yield f"http://127.0.0.1:{port}/prometheus", found, folder


def localized(configuration: dict, found, rules: list[str]) -> dict:
    """The emitted configuration with the addresses of this test, scraped every second"""
    text = yaml.safe_dump(configuration)
    places = {target: found.addresses[each.name] for each in scrape_targets(STACK)
              for target in each.targets[:1] if each.name in found.addresses}
    places |= {"http://caddy:8082": f"http://127.0.0.1:{found.edge.ports['probes']}",
               "http://caddy:8081": f"http://127.0.0.1:{found.edge.ports['admin']}",
               "https://app.example.com": found.site}
    for old, new in places.items():
        text = text.replace(old, new)
    content = yaml.safe_load(text) | {"rule_files": rules}
    content["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    content["scrape_configs"] = [{key: each[key] for key in each if key not in ("scrape_interval", "scrape_timeout")}
                                 for each in content["scrape_configs"]]
    content["alerting"] = {}
    return content


def answer(base: str, expression: str) -> list:
    status, text = fetched(f"{base}/api/v1/query?query={urllib.parse.quote(expression)}")
    assert status == 200, text
    return json.loads(text)["data"]["result"]


def test_every_panel_has_data(prometheus):
    """D74: 0 panels without data, on what the emitted configuration scrapes"""
    base, found, folder = prometheus
    queries = [(name, title, filled(expression, "5s")) for name, title, expression in QUERIES
               if not UNREACHED & read(filled(expression), labels)[1].metrics]
    assert len(queries) > len(QUERIES) - 2
    missing = list(queries)

    def everywhere() -> bool:
        found.traffic()
        missing[:] = [each for each in missing
                      if not any(value["value"][1] not in ("NaN", "+Inf") for value in answer(base, each[2]))]
        return not missing
    try:
        until(everywhere, 60, "data for every panel")
    except pytest.fail.Exception:
        pytest.fail("no data: " + "\n".join(map(str, missing)) + (folder / "prometheus.log").read_text()[-1500:])


def test_targets_that_run_are_up(prometheus):
    base, found, _ = prometheus
    up = {each["metric"]["job"]: each["value"][1] for each in answer(base, "max by (job) (up)")}
    assert {job for job, value in up.items() if value == "1"} >= {*found.addresses} - {"blackbox-exporter"}
