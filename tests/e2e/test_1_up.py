"""The emitted host, run: everything starts as it stands, is healthy, is apart from what it must not reach, and does
its work."""
from __future__ import annotations

import json
import re
import time

import pytest
import yaml
from engine import patience
from images import ROOT

LONG_RUNNING = re.search(r"^LONG_RUNNING=\((.*)\)$", (ROOT / "infra/scripts/lib/stack.sh").read_text(),
                         re.MULTILINE)[1].split()
pytestmark = pytest.mark.usefixtures("hurried")


def test_the_tree_runs_as_it_stands(stage):
    """Every file of the release is the committed one, and every service is healthy"""
    lock = json.loads((ROOT / "infra/stack.lock.json").read_text())["files"]
    release = stage.path("/opt/pretamane/current/")
    for path in lock:
        if not path.startswith("terraform/"):
            assert (release / path).read_bytes() == (ROOT / "infra" / path).read_bytes(), path
    states = stage.states()
    assert {name: states[name] for name in (*LONG_RUNNING, "fastapi-app-blue")} == dict.fromkeys(
        (*LONG_RUNNING, "fastapi-app-blue"), "running healthy")


def test_nobody_is_asked_for_what_is_built_here(stage):
    """The engine fails loudly at each pull: there is no network"""
    assert "Pulling" not in stage.said, stage.said
    assert "Built" in stage.said


def test_the_application_starts_after_what_it_needs(stage):
    """CO1"""
    found = stage.containers()
    for first in ("migrate", "bucket-init"):
        assert found[first]["State"]["ExitCode"] == 0
        assert found["postgresql"]["State"]["StartedAt"] < found[first]["State"]["StartedAt"]
        assert found[first]["State"]["FinishedAt"] <= found["fastapi-app-blue"]["State"]["StartedAt"]


def test_no_port_of_the_host_is_open(stage):
    """The tunnel is the only way in"""
    assert all(not each["NetworkSettings"]["Ports"] or not any(each["NetworkSettings"]["Ports"].values())
               for each in stage.containers().values())


REACHED = ("import socket, sys\nfor each in sys.argv[1:]:\n    host, port = each.split(':')\n    try:\n"
           "        socket.create_connection((host, int(port)), 2).close(); print(each)\n    except OSError: pass")


def test_who_reaches_whom(stage):
    """CO3: from the application its stores; from the tunnel's network the edge and nothing else"""
    targets = ["postgresql:5432", "meilisearch:7700", "minio:9000", "prometheus:9090", "loki:3100", "alertmanager:9093",
               "grafana:3000", "caddy:8080"]
    found = stage.run("docker", "exec", "pretamane-fastapi-app-blue-1", "python", "-c", REACHED,
                      *targets).stdout.split()
    assert {"postgresql:5432", "meilisearch:7700", "minio:9000"} <= {*found}
    found = stage.run("docker", "exec", "pretamane-cloudflared-1", "/usr/lib/stand-in/bin/python", "-c", REACHED,
                      *targets).stdout.split()
    assert found == ["caddy:8080"]
    assert stage.run("docker", "exec", "pretamane-caddy-1", "nslookup", "postgresql", check=False).returncode != 0


def test_each_process_is_as_small_as_the_file_says(stage):
    """CO4: user, capabilities, a root file system that nobody can write; only the log shipper is root, because it reads
    the engine's files"""
    users = {}
    compose = yaml.safe_load((ROOT / "infra/compose/compose.yaml").read_text())["services"]
    found = stage.containers()
    for name in LONG_RUNNING:
        pid = found[name]["State"]["Pid"]
        status = stage.path(f"/proc/{pid}/status").read_text()
        users[name] = re.search(r"Uid:\s*(\d+)", status)[1]
        allowed = 1 << 10 if "NET_BIND_SERVICE" in compose[name].get("cap_add", []) else 0
        assert int(re.search(r"CapBnd:\s*(\w+)", status)[1], 16) == allowed, name
        assert re.search(r"NoNewPrivs:\s*(\d)", status)[1] == "1", name
        if compose[name].get("read_only"):
            assert found[name]["HostConfig"]["ReadonlyRootfs"], name
    assert users == {name: str(compose[name]["user"]).partition(":")[0] for name in LONG_RUNNING}
    assert [name for name, user in users.items() if user == "0"] == ["alloy"]


def test_a_document_is_uploaded_found_and_fetched(stage):
    """Through the edge, into the object store, the database and the index, and back"""
    code, contact = stage.request("POST", "/contacts", json.dumps(
        {"name": "Ann", "email": "ann@example.com", "notes": "hello"}).encode(), Content_Type="application/json")
    assert code == 201, contact
    boundary, content = "x" * 20, b"the quick brown fox is in the stage"
    body = (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="fox.txt"\r\n'
            f'Content-Type: text/plain\r\n\r\n').encode() + content + f"\r\n--{boundary}--\r\n".encode()
    code, made = stage.request("POST", "/documents", body, Content_Type=f"multipart/form-data; boundary={boundary}")
    assert code in (201, 202), made
    deadline, found = time.monotonic() + 60 * patience(), {}
    while not found.get("items") and time.monotonic() < deadline:
        code, found = stage.request("GET", "/documents/search?q=quick")
        time.sleep(0.5)
    assert [each["id"] for each in found["items"]] == [made["id"]], found
    code, fetched = stage.request("GET", f"/documents/{made['id']}/content")
    assert (code, fetched["text"]) == (200, content.decode())


def test_logs_arrive(stage):
    """From what a container prints, through the shipper, to the store"""
    code = ("import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:3100/calls', "
            "timeout=5).read().decode())")
    deadline, services = time.monotonic() + 60 * patience(), set()
    while not {"caddy", "fastapi-app-blue", "postgresql"} <= services and time.monotonic() < deadline:
        said = json.loads(stage.run("docker", "exec", "pretamane-loki-1", "/usr/lib/stand-in/bin/python",
                                    "-c", code).stdout)
        services = {each["labels"]["service"] for each in said["lines"]}
    assert {"caddy", "fastapi-app-blue", "postgresql"} <= services


def test_everything_is_scraped(stage):
    """Each target of the scrape jobs answers"""
    deadline, down = time.monotonic() + 90 * patience(), {"?"}
    while down and time.monotonic() < deadline:
        down = {each["labels"]["job"]
                for each in stage.prometheus("targets?state=active")["activeTargets"] if each["health"] != "up"}
        down -= {"probe-public"}  # the public name does not exist here
        if down == {"fastapi-app"}:  # the idle color
            down = set()
        time.sleep(1)
    assert not down
