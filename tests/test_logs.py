"""Loki's and Alloy's configuration. Neither program can be installed from a registry, so neither is run here.

What is known of them is written down instead: the keys that Loki 3 has (read in its own reference,
docs/sources/shared/configuration.md
at commit 002ee222b2bb, only the blocks that are used), the arguments of Alloy's components
(docs/sources/reference/components at
commit 022b1b728604), and a stand-in that does what those pages say the stages do.
"""
from __future__ import annotations

import json
import random
import re
import shutil
import subprocess

import pytest
import yaml
from log_shipper import Shipper
from observing import Sink

from pretamane_analysis.check.read.alloy import AlloyError, blocks, references
from pretamane_analysis.emit.observability.logs import (
    FILES,
    IDS,
    LABELS,
    files,
    log_rules,
)
from pretamane_analysis.stack.stack import Stack, example

EMITTED = files(example())
LOKI, ALLOY = yaml.safe_load(EMITTED["loki/loki.yaml"]), EMITTED["alloy/config.alloy"]

ANY = object()
RING = {"kvstore": {"store": ANY}}
LOKI_KEYS = {
    "auth_enabled": ANY,
    "server": {"http_listen_port": ANY, "log_level": ANY},
    "common": {"instance_addr": ANY, "path_prefix": ANY, "replication_factor": ANY, "ring": RING,
               "storage": {"filesystem": {"chunks_directory": ANY, "rules_directory": ANY}}},
    "schema_config": {"configs": [{"from": ANY, "store": ANY, "object_store": ANY, "schema": ANY,
                                   "index": {"prefix": ANY, "period": ANY}}]},
    "compactor": {"working_directory": ANY, "compaction_interval": ANY, "retention_enabled": ANY,
                  "retention_delete_delay": ANY, "delete_request_store": ANY},
    "limits_config": dict.fromkeys(
        ["retention_period", "allow_structured_metadata", "discover_service_name", "max_label_names_per_series",
         "max_global_streams_per_user", "ingestion_rate_mb", "ingestion_burst_size_mb", "max_line_size",
         "max_line_size_truncate", "reject_old_samples", "reject_old_samples_max_age"], ANY),
    "query_range": {"results_cache": {"cache": {"embedded_cache": {"enabled": ANY, "max_size_mb": ANY}}}},
    "ruler": {"alertmanager_url": ANY, "rule_path": ANY, "enable_api": ANY, "ring": RING,
              "storage": {"type": ANY, "local": {"directory": ANY}}},
    "analytics": {"reporting_enabled": ANY},
}
STAGES = {  # arguments by stage, required ones first
    "stage.json": ({"expressions"}, set()), "stage.docker": (set(), set()), "stage.regex": ({"expression"}, {"source"}),
    "stage.template": ({"source", "template"}, set()), "stage.labels": ({"values"}, set()),
    "stage.structured_metadata": ({"values"}, set()), "stage.label_drop": ({"values"}, set()),
    "stage.drop": (set(), {"source", "expression", "drop_counter_reason"}),
}
COMPONENTS = {
    "logging": (set(), {"level", "format"}), "local.file_match": ({"path_targets"}, set()),
    "loki.source.file": ({"forward_to", "targets"}, set()), "loki.process": ({"forward_to"}, set()),
    "loki.write": (set(), set()), "endpoint": ({"url"}, set()),
}
EXPORTS = {"local.file_match": {"targets"}, "loki.process": {"receiver"}, "loki.write": {"receiver"}}


def unknown(content, known, place="") -> list[str]:
    """Return the keys that Loki does not have"""
    if known is ANY:
        return []
    if isinstance(known, list):
        return [each for item in content for each in unknown(item, known[0], place)]
    found = [f"{place}{key}" for key in content if key not in known]
    return found + [each for key, value in content.items() if key in known
                    for each in unknown(value, known[key], f"{place}{key}.")]


def parsed_promtail() -> dict:
    data = example().model_dump(exclude_unset=True)
    kept = {key: each
            for key, each in data["services"]["alloy"].items() if key not in ("image", "command", "ports", "engine")}
    data["services"]["alloy"] = kept | {"engine": "promtail", "allow_eol": True}
    return yaml.safe_load(files(Stack.model_validate(data))["promtail/promtail.yaml"])


# Loki

def test_every_key_is_one_of_lokis():
    assert unknown(LOKI, LOKI_KEYS) == []
    assert unknown(LOKI | {"table_manager": {}}, LOKI_KEYS) == ["table_manager"]  # removed in version 3
    assert unknown(LOKI | {"compactor": {"shared_store": "filesystem"}}, LOKI_KEYS) == ["compactor.shared_store"]


def test_what_is_old_is_deleted():
    """D72"""
    assert LOKI["compactor"]["retention_enabled"] and LOKI["compactor"]["delete_request_store"] == "filesystem"
    assert LOKI["limits_config"]["retention_period"] == "720h"
    newest = LOKI["schema_config"]["configs"][-1]
    assert (newest["store"], newest["schema"], newest["index"]["period"]) == ("tsdb", "v13", "24h")


def test_the_ruler_reaches_alertmanager_under_its_path():
    service = example().services["alertmanager"]
    assert LOKI["ruler"]["alertmanager_url"] == f"http://alertmanager:{service.ports['http']}/alertmanager"
    assert f"loki/{LOKI['ruler']['storage']['local']['directory'].removeprefix('/etc/loki/')}/fake/logs.yaml" in EMITTED


def test_folders_are_on_the_volume():
    mounts = [each.path for each in example().services["loki"].mounts]
    folders = re.findall(r"/loki[\w/-]*", json.dumps({key: each for key, each in LOKI.items() if key != "ruler"}))
    assert folders and all(any(each.startswith(mount) for mount in mounts) for each in folders)


# Alloy

def test_every_component_has_its_arguments_and_no_other():
    found = blocks(ALLOY)
    assert [each.name for each in found] == ["logging", "local.file_match", "loki.source.file",
                                             "loki.process", "loki.write"]
    for component in found:
        for each in component.walk():
            required, optional = (STAGES | COMPONENTS)[each.name]
            assert required <= {*each.attributes} <= required | optional, f"line {each.line}: {each.name}"


def test_every_reference_leads_to_what_a_component_exports():
    found = blocks(ALLOY)
    exported = {f"{each.name}.{each.label}.{field}" for each in found for field in EXPORTS.get(each.name, ())}
    taken = {path for each in found for _, path in references(each)}
    assert taken and taken <= exported and exported <= taken


@pytest.mark.parametrize("broken", [ALLOY[:-3], ALLOY.replace("{", "", 1), ALLOY.replace('"', "'", 1),
                                    ALLOY.replace("=", ":", 1)])
def test_the_reader_refuses_what_alloy_would(broken):
    with pytest.raises(AlloyError):
        blocks(broken)


def test_regular_expressions_are_those_of_go():
    """RE2 has no look-around, no back-references and no possessive repeats"""
    for each in (each for component in blocks(ALLOY) for each in component.walk() if "expression" in each.attributes):
        expression = each.attributes["expression"]
        re.compile(expression)
        assert not re.search(r"\(\?[=!<>](?!P)|\\[1-9]|[*+?]\+", expression.replace("(?P<", "(")), expression


def test_the_shipper_reads_the_files_that_docker_writes():
    compose_folder = FILES.split("/*")[0]
    from pretamane_analysis.facts.images import facts
    assert facts("grafana/alloy").host_folders == facts("grafana/promtail").host_folders == {
        compose_folder: "/data/docker/containers"}


# What becomes of a line

def docker(service: str, text: str, stream: str = "stdout", time: str = "2026-11-22T10:00:00.123456789Z") -> str:
    """Return a line as Docker's json-file driver writes it"""
    return json.dumps({"log": text + "\n", "stream": stream, "attrs": {"com.docker.compose.service": service},
                       "time": time})


LINES = [
    ("caddy", json.dumps({"level": "info", "msg": "handled request", "request": {"uri": "/contacts"}, "status": 200,
                          "request_id": "r-1",
                          "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}), "info",
     {"request_id": "r-1", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}),
    ("fastapi-app-blue", json.dumps({"level": "error", "message": "boom", "request_id": "r-2", "trace_id": "t-2",
                                     "path": "/contacts"}), "error",
     {"request_id": "r-2", "trace_id": "t-2"}),
    ("prometheus", "time=2026-11-22T10:00:00Z level=WARN source=main.go:78 msg=slow", "warn", {}),
    ("postgresql", '2026-11-22 10:00:00.000 UTC [7] app@pretamane FATAL:  password authentication failed', "fatal", {}),
    ("postgresql", "2026-11-22 10:00:00.000 UTC [7] app@pretamane LOG:  duration: 600.000 ms", "log", {}),
    ("meilisearch", "2026-11-22T10:00:00.000000Z  INFO actix_server::builder: starting 2 workers", "info", {}),
    ("minio", "a line that says nothing of itself", "unknown", {}),
    ("fastapi-app-blue", json.dumps({"level": "a made-up level " + "x" * 50}), "unknown", {}),
    ("fastapi-app-blue", json.dumps({"level": 30, "message": "a number"}), "unknown", {}),
    ("fastapi-app-blue", json.dumps(["no", "object"]), "unknown", {}),
    ("caddy", '{"level":"info","broken', "unknown", {}),
]


@pytest.mark.parametrize("service, text, level, metadata", LINES)
def test_a_line_becomes_an_entry(service, text, level, metadata):
    entry = Shipper(ALLOY).entry(docker(service, text, "stderr"))
    assert not entry.dropped
    assert entry.labels == {"service": service, "stream": "stderr", "level": level}
    assert entry.metadata == metadata
    assert (entry.line, entry.time) == (text + "\n", "2026-11-22T10:00:00.123456789Z")


@pytest.mark.parametrize("path, dropped", [("/livez", True), ("/readyz", True), ("/healthz", True), ("/metrics", True),
                                           ("/contacts", False), ("/livez/more", False), ("/x/readyz", False)])
def test_health_checks_are_no_news(path, dropped):
    assert Shipper(ALLOY).entry(docker("fastapi-app-blue",
                                       json.dumps({"level": "info", "path": path}))).dropped == dropped


def test_ten_thousand_lines_make_few_streams():
    """Whatever lines claim: D73 made a stream of each address and each status"""
    chance, services = random.Random(7), [*example().services]
    levels = ["info", "INFO", "Warning", "error", "debug", "", None, 7, "made up", "x" * 300]
    lines = []
    for number in range(10_000):
        said = {"level": chance.choice(levels) if chance.random() < 0.9 else f"level-{number}",
                "request_id": f"r-{number}",
                "status": chance.randrange(100, 600), "remote_ip": f"10.0.{number % 256}.{number // 256}",
                "service": f"claimed-{number}"}
        lines.append(docker(chance.choice(services), json.dumps(said), chance.choice(["stdout", "stderr"])))
    sink = Sink()
    try:
        shipper = Shipper(ALLOY)
        shipper.push(lines, sink.url + "/loki/api/v1/push")
    finally:
        sink.shutdown()
        sink.server_close()
    [(path, body)] = sink.received
    assert shipper.url.endswith(path)
    streams = [each["stream"] for each in body["streams"]]
    assert {name for each in streams for name in each} == {"service", "stream", "level"}
    assert {each["service"] for each in streams} <= {*services}
    assert len(streams) <= len(services) * 2 * 11 < LOKI["limits_config"]["max_global_streams_per_user"]
    values = [value for each in body["streams"] for value in each["values"]]
    assert len(values) == 10_000 and {name for _, _, metadata in values for name in metadata} == {"request_id"}
    assert all(len(each) <= LOKI["limits_config"]["max_label_names_per_series"] for each in streams)


# Promtail

def test_promtail_does_the_same_to_a_line():
    """The same stages in the same order, in the other language"""
    content = parsed_promtail()
    stages = content["scrape_configs"][0]["pipeline_stages"]
    alloy = next(each for each in blocks(ALLOY) if each.name == "loki.process").blocks
    names = {"labeldrop": "label_drop"}
    assert [names.get(next(iter(each)),
                      next(iter(each))) for each in stages] == [each.name.removeprefix("stage.") for each in alloy]
    for stage, block in zip(stages, alloy):
        [(name, arguments)] = stage.items()
        given = block.attributes.get("values", block.attributes) if name in ("labels", "structured_metadata",
                                                                             "labeldrop") else block.attributes
        assert given == arguments, name
    assert content["clients"] == [{"url": Shipper(ALLOY).url}]


# LogQL

def log_queries() -> list[str]:
    return [rule["expr"] for group in log_rules(example())["groups"] for rule in group["rules"]]


def test_alerts_on_logs_use_only_labels_that_are_shipped():
    for query in log_queries():
        selectors = re.findall(r"\{([^}]*)\}", query)
        assert selectors, query
        assert {name for each in selectors
                for name in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", each)} <= {*LABELS, "stream"}
        assert not {name for name in IDS if name in query}


def test_rules_name_the_services_and_the_receivers():
    for group in yaml.safe_load(EMITTED["loki/rules/fake/logs.yaml"])["groups"]:
        for rule in group["rules"]:
            assert {"severity", "category", "service"} == {*rule["labels"]} and rule["annotations"]["summary"]
            assert rule["labels"]["service"] in example().services or "{{" in rule["labels"]["service"]


@pytest.mark.parametrize("tool, arguments, path", [
    ("loki", ["-verify-config", "-config.file"], "loki/loki.yaml"), ("alloy", ["validate"], "alloy/config.alloy")])
def test_the_real_program_accepts_its_file(tmp_path, tool, arguments, path):
    found = shutil.which(tool)
    if not found or "Quantify" in subprocess.run([found, "--help"], capture_output=True, text=True, timeout=20).stdout:
        pytest.skip(f"allowed: {tool} comes from no package registry")  # Debian's `loki` is a program for genetics
    (tmp_path / "file").write_text(EMITTED[path])
    assert subprocess.run([found, *arguments, str(tmp_path / "file")], capture_output=True, timeout=60).returncode == 0
