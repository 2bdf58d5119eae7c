"""The checker together with the tools of others: the only tests of it that say something else where more are
installed."""
from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from file_times import processor
from needed import needs, reason
from test_check import AS_OF, run, written
from trees import example_files, whole

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.report import sarif
from pretamane_analysis.check.rules.registry import RULES, check
from pretamane_analysis.check.tools.runs import every_tool, run_tools
from pretamane_analysis.stack.stack import example


@pytest.fixture(scope="module")
def files():
    """The example's tree"""
    return example_files()


def test_the_committed_tree_has_no_finding_and_takes_less_than_three_seconds(root):
    """`pretamane check infra` is content, rules and tools together: counted in seconds of a processor, as other work
    may keep this host busy; tests of alert rules that passed before are not run again (at first they take 20 s more)"""
    took = []
    for _ in range(2):
        before = processor()
        done = run("infra", "--format", "json", "--as-of", "2026-11-22", folder=root)
        took.append(processor() - before)
        found = json.loads(done.stdout)
        assert (done.returncode, found["findings"], done.stderr) == (0, [], "")
        assert [each["tool"] for each in found["tools"]] == [each.name for each in every_tool()]
        assert all(each["status"] == "pass" or each["reason"] for each in found["tools"])
    assert min(took) < 3 * min(os.cpu_count() or 1, 2), took


@needs("promtool")
def test_every_emitted_test_passes(files):
    """Those of the example's rules, which are in `infra` too: what passed above is not run again"""
    assert sum(path.startswith("prometheus/tests/") for path in files) == 2 * len(example().slos) + 4
    said = run_tools(whole(), ["promtool test rules"])
    assert [(each.status, each.reason) for each in said] == [("pass", "")]


def test_contract_of_json(tmp_path, files):
    """Findings and tools have the keys that were promised, and the exit code is 1"""
    few = {path: text for path, text in files.items() if path.startswith(("compose/", "caddy/"))}
    done = run(str(written(tmp_path, few | {"loki/loki.yaml": "a: [\n"})), "--format", "json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and set(found) == {"read", "findings", "suppressed", "tools"}
    assert all(list(each) == ["rule", "severity", "file", "line", "message", "remedy"] for each in found["findings"])
    assert all(list(each) == ["tool", "version", "status", "seconds", "reason"] for each in found["tools"])
    assert any({"rule": "X00", "severity": "error", "file": "loki/loki.yaml"}.items() <= each.items()
               for each in found["findings"])


def test_sarif_is_valid(root, files):
    """SARIF 2.1.0 by its schema (from npm: @microsoft/jest-sarif), with findings of every kind of place, and every
    rule described"""
    schema = json.loads((root / "tests/data/sarif-2.1.0-rtm.5.json").read_text())
    bad = files | {"loki/loki.yaml": "a: [\n", "a folder/ä.json": "{",
                   "compose/compose.yaml": files["compose/compose.yaml"].replace("mem_limit", "mem_limits", 1)}
    tree = Tree(bad, AS_OF)
    log = json.loads(json.dumps(sarif(check(tree), run_tools(tree, ["compose schema", "caddy"]))))
    jsonschema.validate(log, schema)
    assert {each["id"] for each in log["runs"][0]["tool"]["driver"]["rules"]} == set(RULES)
    uris = {each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in log["runs"][0]["results"]}
    assert "a%20folder/%C3%A4.json" in uris
    assert {each["level"] for each in log["runs"][0]["invocations"][0]["toolExecutionNotifications"]} >= {"error"}


def test_compose_is_the_one_that_upstream_published(tmp_path):
    """The binary beside Python has the sum of upstream's release; another one is not taken for it"""
    import compose

    place = Path(sys.executable).with_name("docker-compose")
    if not place.is_file():
        pytest.skip(reason("docker-compose"))
    assert compose.is_right(place.read_bytes()) and not compose.is_right(b"another")
    assert compose.install(place).endswith(f"is v{compose.VERSION}")
    assert compose.VERSION in subprocess.run([str(place), "version"], capture_output=True, text=True, check=True).stdout


def test_tools_say_what_they_do_not_like(files, tmp_path):
    """Each tool, given what it must refuse, fails with the place in the tree; none is content by accident"""
    bad = {
        "compose schema": {"compose/compose.yaml": "services:\n  web:\n    image: caddy:2\n    mem_limits: 1m\n"},
        "docker compose config": {"compose/compose.yaml": "services:\n  web:\n    image: caddy:2\n"
                                  "    depends_on: [gone]\n"},
        "caddy": {"caddy/Caddyfile": ":80 {\n\trespond_to ok\n}\n"},
        "hadolint": {"app/Dockerfile": "FROM debian:latest\nRUN cd /tmp && sudo apt-get install curl\n"},
        "shellcheck": {"scripts/a.sh": "#!/bin/sh\nrm $1/*\n"},
    }
    for name, given in bad.items():
        found = run_tools(Tree(files | given), [name])[0]
        if found.status == "skipped":
            pytest.skip(reason(name))
        assert (found.status == "fail" and str(tmp_path.parent) not in found.reason
                and "/tmp" not in found.reason), (name, found)
    assert {each.name for each in every_tool()} >= set(bad)


def test_a_tool_that_is_absent_is_skipped_and_one_that_fails_is_told(files, monkeypatch, tmp_path):
    """Absent is never `pass`; a program that crashes is `fail`"""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert {each.tool: each.status for each in run_tools(Tree(files), ["caddy"])} == {"caddy": "skipped"}
    (tmp_path / "caddy").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "caddy").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = next(each for each in run_tools(Tree(files), ["caddy"]))
    assert found.status == "fail" and found.reason


class Terminal(io.StringIO):
    """Keeps what a terminal would show"""

    def isatty(self) -> bool:
        """It is one"""
        return True


@needs("promtool")
@pytest.mark.parametrize("shown", [Terminal(), io.StringIO()], ids=["terminal", "pipe"])
def test_a_terminal_shows_how_far_tests_of_rules_are(shown, monkeypatch, tmp_path):
    """The tests of an emitted tree take a quarter of a minute; a pipe gets nothing"""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pretamane_analysis.check.tools.observability._DELAY", 0)
    monkeypatch.setattr(sys, "stderr", shown)
    rules_ = "groups:\n- name: a\n  rules:\n  - {alert: Down, expr: up == 0, labels: {severity: page}}\n"
    tests = ("rule_files: [../a.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n"
             "  - {series: up, values: '0 0'}\n  alert_rule_test:\n  - eval_time: 1m\n    alertname: Down\n"
             "    exp_alerts: [{exp_labels: {severity: page}}]\n")
    made = Tree({"a.yml": rules_, "tests/one.test.yml": tests, "tests/two.test.yml": tests})
    assert [(each.status, each.reason) for each in run_tools(made, ["promtool test rules"])] == [("pass", "")]
    told = shown.getvalue()
    assert ("promtool test rules:" in told and "/2" in told) if shown.isatty() else not told
