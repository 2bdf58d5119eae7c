"""Alertmanager's configuration, by amtool and by the real Alertmanager with a webhook that keeps what it gets.

Debian's Alertmanager is older than the one that the stack pins: it reads the address of a webhook from the
configuration,
not yet from a file. `for_debian` changes that one key and nothing else.
"""
from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from needed import program
from observing import Sink, fetched, free_port, running, until

from pretamane_analysis.emit.observability.alertmanager import INHIBITIONS, files
from pretamane_analysis.stack.stack import Stack, example
from pretamane_analysis.stack.vocabulary import CATEGORIES, SEVERITIES

TEAMS = {"security": [{"webhook": "dead_man_url"}], "database": [{"webhook": "alert_webhook_url"}]}


def with_teams() -> Stack:
    """The example stack with teams for two categories"""
    data = example().model_dump(exclude_unset=True)
    data["alerting"] |= {"teams": TEAMS}
    return Stack.model_validate(data)


def for_debian(text: str, url: str) -> str:
    """The configuration with addresses in place of the files that hold them"""
    return re.sub(r"url_file: /run/secrets/(\w+)", rf"url: {url}/\1", text)


def written(folder, stack: Stack, url: str = "http://127.0.0.1:1", quick: bool = False):
    """Write the configuration to a folder; return the path of the main file"""
    emitted = files(stack)
    text = for_debian(emitted["alertmanager/alertmanager.yml"], url)
    text = text.replace("/etc/alertmanager/templates", str(folder / "templates"))
    if quick:
        text = re.sub(r"group_wait: \w+", "group_wait: 300ms", text)
        text = re.sub(r"group_interval: \w+", "group_interval: 1s", text)
    (folder / "templates").mkdir()
    (folder / "templates/stack.tmpl").write_text(emitted["alertmanager/templates/stack.tmpl"])
    (folder / "alertmanager.yml").write_text(text)
    return folder / "alertmanager.yml"


def amtool(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, timeout=20)


def expected(stack: Stack, labels: dict[str, str]) -> str:
    """The receiver that an alert should reach, said independently of the tree"""
    if labels.get("alertname") == "Watchdog":
        return "dead-man"
    if labels.get("category") in stack.alerting.teams and labels.get("severity") in SEVERITIES:
        return f"team-{labels['category']}"
    return "ticket" if labels.get("severity") == "ticket" else "page"


def product() -> list[dict[str, str]]:
    """Every severity with every category, known or not, and the alert that always fires"""
    found = [{"alertname": "Some", "severity": severity, "category": category}
             for severity, category in itertools.product([*SEVERITIES, "unheard-of"], [*CATEGORIES, "unheard-of"])]
    return [*found, {"alertname": "Some"}, {"alertname": "Watchdog", "severity": "none"},
            {"alertname": "Watchdog", "severity": "page"}]


# What amtool says

@pytest.mark.parametrize("stack", [example(), with_teams()], ids=["example", "teams"])
def test_amtool_accepts_the_configuration(tmp_path, stack):
    found = amtool("check-config", str(written(tmp_path, stack)))
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 templates" in found.stdout.replace("Found:", "")


def test_amtool_sees_an_undefined_function_in_a_template(tmp_path):
    """D69: the check that the test above relies on does see the defect"""
    path = written(tmp_path, example())
    (tmp_path / "templates/stack.tmpl").write_text('{{ define "stack.title" }}{{ .CommonLabels.service | default '
                                                   '"x" }}{{ end }}')
    assert amtool("check-config", str(path)).returncode == 1


def test_every_alert_reaches_the_receiver_that_it_should(tmp_path):
    stack, reached = with_teams(), set()
    path = written(tmp_path, stack)
    for labels in product():
        wanted = expected(stack, labels)
        found = amtool("config", "routes", "test", f"--config.file={path}", f"--verify.receivers={wanted}",
                       *(f"{name}={value}" for name, value in labels.items()))
        assert found.returncode == 0, f"{labels}: {found.stdout}{found.stderr}"
        reached.add(wanted)
    assert reached == {each["name"] for each in yaml.safe_load(path.read_text())["receivers"]}


def test_templates_say_what_happened(tmp_path):
    written(tmp_path, example())
    labels = {"alertname": "TargetDown", "service": "minio", "severity": "page"}
    alert = {"status": "firing", "labels": labels, "startsAt": "2026-11-22T10:00:00Z",
             "annotations": {"summary": "minio does not answer", "runbook": "runbooks/target-down.md"}}
    (tmp_path / "data.json").write_text(json.dumps({"status": "firing", "commonLabels": labels,
                                                    "alerts": [alert, alert]}))
    found = amtool("template", "render", f"--template.glob={tmp_path}/templates/*.tmpl",
                   f"--template.data={tmp_path}/data.json",
                   '--template.text={{ template "stack.title" . }}|{{ template "stack.text" . }}')
    assert found.returncode == 0, found.stderr
    title, _, text = found.stdout.partition("|")
    assert title == "[pretamane] 2 firing: TargetDown (minio)"
    assert text.splitlines()[:3] == ["FIRING page: minio does not answer", "What to do: runbooks/target-down.md",
                                     "Since 2026-11-22 10:00:00 UTC"]


# What the file says

def test_every_receiver_has_a_channel_and_no_secret_stands_in_the_file():
    text = files(with_teams())["alertmanager/alertmanager.yml"]
    content = yaml.safe_load(text)
    for each in content["receivers"]:
        configs = [config for key, found in each.items() if key.endswith("_configs") for config in found]
        assert configs, each["name"]
        assert all(any(key.endswith("_file") for key in config) for config in configs)
    assert "http" not in text and "match:" not in text and "match_re:" not in text


def test_repeat_interval_is_a_multiple_of_group_interval():
    """Alertmanager would round it up in silence otherwise"""
    seconds = {"s": 1, "m": 60, "h": 3600}

    def walk(route):
        yield route
        for each in route.get("routes", []):
            yield from walk(each)
    for each in walk(yaml.safe_load(files(example())["alertmanager/alertmanager.yml"])["route"]):
        if "repeat_interval" in each:
            repeat, group = (int(each[key][:-1]) * seconds[each[key][-1]]
                             for key in ("repeat_interval", "group_interval"))
            assert repeat % group == 0 and repeat < 120 * 3600


def test_email_and_slack_are_written_as_alertmanager_reads_them(tmp_path):
    data = example().model_dump(exclude_unset=True)
    data["alerting"]["ticket"] = [{"slack": "alert_webhook_url", "channel": "#tickets"},
                                  {"email": "on-call@example.com", "sender": "alerts@example.com",
                                   "smarthost": "smtp.example.com:587",
                                   "username": "alerts", "password": "dead_man_url"}]
    found = amtool("check-config", str(written(tmp_path, Stack.model_validate(data))).replace("api_url:", "api_url:"))
    assert found.returncode == 0, found.stdout + found.stderr


# The real Alertmanager

@pytest.fixture
def alertmanager(tmp_path):
    """A running Alertmanager with short waits: its address, and the sink that it notifies"""
    sink, port = Sink(), free_port()
    path = written(tmp_path, with_teams(), sink.url, quick=True)
    base = f"http://127.0.0.1:{port}/alertmanager"
    command = [program("alertmanager"), f"--config.file={path}", f"--storage.path={tmp_path / 'data'}",
               "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}", f"--web.external-url={base}"]

    def start():
        return running(command, f"{base}/-/ready", tmp_path / "log")
    yield base, sink, start
    sink.shutdown()
    sink.server_close()


def post(base: str, *alerts: dict[str, str], ended: bool = False) -> None:
    """Send alerts as Prometheus would"""
    now = datetime.now(UTC)
    body = [{"labels": labels, "annotations": {"summary": "something"},
             "startsAt": (now - timedelta(minutes=1)).isoformat(),
             "endsAt": (now if ended else now + timedelta(minutes=5)).isoformat()} for labels in alerts]
    assert fetched(f"{base}/api/v2/alerts", body)[0] == 200


def notified(sink: Sink, status: str = "firing") -> list[tuple[str, str]]:
    """(receiver, id) of every alert in every notification of a status"""
    return [(body["receiver"], each["labels"].get("id", "")) for _, body in sink.received for each in body["alerts"]
            if each["status"] == status]


def test_each_alert_reaches_exactly_one_receiver_once(alertmanager):
    """AM1, AM3: and the resolve goes where the alert went, but for the dead-man's switch"""
    base, sink, start = alertmanager
    alerts = [labels | {"id": str(number), "service": f"service-{number}"} for number, labels in enumerate(product())]
    wanted = sorted((expected(with_teams(), labels), labels["id"]) for labels in alerts)
    hiding = [each for each in alerts if each.get("category") == "host" and each.get("severity") == "page"]
    with start():
        post(base, *(each for each in alerts if each not in hiding))
        until(lambda: len(notified(sink)) >= len(wanted) - len(hiding),
              what="all notifications but those that hide others")
        post(base, *hiding)
        until(lambda: len(notified(sink)) >= len(wanted), what="all notifications")
        time.sleep(1.2)
        assert sorted(notified(sink)) == wanted
        post(base, *alerts, ended=True)
        resolved = [each for each in wanted if each[0] != "dead-man"]
        until(lambda: len(notified(sink, "resolved")) >= len(resolved), what="all resolves")
        assert sorted(notified(sink, "resolved")) == resolved


PAIRS = [  # source, target: in the order of INHIBITIONS
    ({"severity": "page", "slo": "availability", "category": "slo", "alertname": "Fast"},
     {"severity": "ticket", "slo": "availability", "category": "slo", "alertname": "Slow"}, "slo"),
    ({"severity": "page", "alertname": "TargetDown", "category": "service", "service": "minio"},
     {"severity": "ticket", "alertname": "ProbeFailed", "category": "probe", "service": "minio"}, "service"),
    ({"severity": "page", "alertname": "EdgeDown", "category": "probe", "service": "caddy", "job": "probe-open"},
     {"severity": "ticket", "alertname": "ProbeFailed", "category": "probe", "service": "fastapi-app",
      "job": "probe-open"}, "job"),
    ({"severity": "page", "alertname": "HostMemory", "category": "host"},
     {"severity": "ticket", "alertname": "DatabaseSlow", "category": "database", "service": "postgresql"}, "category"),
]


def test_what_follows_from_another_alert_is_held_back(alertmanager):
    """AM2: for each rule its target is silent beside its source, and the same target with another value of the label
    is not"""
    base, sink, start = alertmanager
    assert len(PAIRS) == len(INHIBITIONS)
    sources, targets, others = ([labels | {"id": f"{kind}-{number}"} for number, labels in enumerate(found)]
                                for kind, found in (
                                    ("source", [source for source, _, _ in PAIRS]),
                                    ("target", [target for _, target, _ in PAIRS]),
                                    ("other", [target | {key: "something-else"} for _, target, key in PAIRS])))
    with start():
        post(base, *sources)
        until(lambda: len(notified(sink)) >= len(sources), what="the sources")
        post(base, *targets, *others)
        until(lambda: len(notified(sink)) >= len(sources) + len(others), what="the others")
        time.sleep(1.5)
        assert {number for _, number in notified(sink)} == {each["id"] for each in [*sources, *others]}


def test_silences_survive_a_restart(alertmanager):
    """AM4"""
    base, sink, start = alertmanager
    with start():
        silence = amtool("silence", "add", f"--alertmanager.url={base}", "--comment=test", "--duration=1h",
                         "alertname=Quiet")
        assert silence.returncode == 0, silence.stderr
    with start():
        assert [each["id"] for each in json.loads(fetched(f"{base}/api/v2/silences")[1])] == [silence.stdout.strip()]
        post(base, {"alertname": "Quiet", "severity": "page", "id": "quiet"},
             {"alertname": "Loud", "severity": "page", "id": "loud"})
        until(lambda: notified(sink), what="the loud alert")
        time.sleep(1)
        assert notified(sink) == [("page", "loud")]
