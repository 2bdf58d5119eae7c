"""deploy.sh and rollback.sh with a real Caddy and twelve clients: no failed request, and no bad release in service (DP1-DP5)."""
from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from deploy_host import Clients, DeployHost


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A host that serves its first release with blue"""
    found = DeployHost(tmp_path_factory.mktemp("deploy") / "host")
    found.begin_serving()
    yield found
    found.close()


def settle(host: DeployHost, name: str, color: str) -> None:
    """Assert that one release serves with one color, and nothing else runs"""
    assert host.served_by() == name
    assert host.running() == [color]
    assert (host.state / "color").read_text().strip() == color
    assert (host.state / "compose.env").read_text() == f"COMPOSE_PROFILES=obs,tunnel,{color}\n"
    assert (host.root / "current").resolve().name.rstrip("0") == name


# DP1: nobody notices a deploy

def test_a_recreate_is_an_outage_that_these_clients_see(host):
    """The oracle: what counts no failure below can count one"""
    docker = [str(host.folder / "bin" / "docker"), "compose", "--project-name", "pretamane", "--project-directory",
              str(host.root / "current" / "compose"), "--file", str(host.root / "current" / "compose" / "compose.yaml")]
    with Clients(host) as clients:
        subprocess.run([*docker, "up", "--detach", "--no-deps", "--force-recreate", "--wait", "fastapi-app-blue"], check=True,
                       env=os.environ | host.environment)
        time.sleep(1)
    assert len(clients.bad) >= 1
    host.wait_for("200")


def test_no_request_fails_over_several_deploys_and_a_rollback(host):
    """GET, POST, slow and streamed answers, kept and new connections; and no request waits long"""
    for name in ("f2", "f3", "f4"):
        host.release(name)
    with Clients(host) as clients:
        for name in ("f2", "f3"):
            done = host.run("deploy.sh", release=host.root / "releases" / name.ljust(64, "0"))
            assert done.returncode == 0, done.stderr
        settle(host, "f3", "blue")
        done = host.run("rollback.sh")
        assert done.returncode == 0, done.stderr
        settle(host, "f2", "green")
        done = host.run("deploy.sh", release=host.root / "releases" / "f4".ljust(64, "0"))
        assert done.returncode == 0, done.stderr
    assert clients.bad == []
    assert clients.good > 200
    assert clients.longest < 2
    settle(host, "f4", "blue")
    metrics = host.metrics("deploy")
    assert metrics["pretamane_deploy_last_run_success"] == 1 and metrics["pretamane_deploy_duration_seconds"] > 0
    jobs = (host.engine_folder / "jobs").read_text().splitlines()
    assert [line.split()[0] for line in jobs] == ["migrate", "bucket-init"] * 3, "a rollback runs no migration"


# DP2, DP3: a bad release

@pytest.mark.parametrize("mode, reason", [("broken", "healthy: not within the time"), ("unready", "healthy: not within the time"),
                                          ("job", "step jobs"), ("edge", "step switch"), ("changed", "was changed"),
                                          ("steady", "is an outage"), ("late", None)])
def test_a_release_that_does_not_become_healthy_is_noticed_by_nobody(host, mode, reason):
    """The old color goes on; no request fails; exit code and metric say it"""
    before = host.served_by()
    color, = host.running()
    bad = host.release(f"bad{ord(mode[0])}", mode if mode in ("broken", "unready", "late") else "ok")
    if mode == "job":
        host.save(jobs={"migrate": 1})
    elif mode == "edge":
        import json
        from hashlib import sha256
        (bad / "caddy" / "Caddyfile").write_text("not a Caddyfile {")
        lock = json.loads((bad / "stack.lock.json").read_text())
        lock["files"]["caddy/Caddyfile"] = sha256((bad / "caddy" / "Caddyfile").read_bytes()).hexdigest()
        (bad / "stack.lock.json").write_text(json.dumps(lock))
    elif mode == "changed":
        (bad / "scripts" / "backup.sh").write_text("#!/bin/sh\n")
    elif mode == "steady":
        host.save(recreated=["postgresql"])
    try:
        if mode in ("postgresql", "steady"):
            host.start("postgresql")
        with Clients(host) as clients:
            done = host.run("deploy.sh", release=bad)
    finally:
        host.save(jobs={}, recreated=[])
    assert clients.bad == []
    if reason is None:
        assert done.returncode == 0 and host.served_by() == bad.name.rstrip("0"), done.stderr
        return
    assert done.returncode != 0 and reason in done.stderr, done.stderr
    assert host.metrics("deploy")["pretamane_deploy_last_run_success"] == 0
    settle(host, before, color)


def test_errors_under_traffic_bring_the_old_color_back(host):
    """A release that says it is ready and answers 500: the edge turns back by itself, and stays there"""
    before = host.served_by()
    color, = host.running()
    bad = host.release("e1", "errors")
    with Clients(host) as clients:
        done = host.run("deploy.sh", release=bad, BAKE_SECONDS="8")
        assert done.returncode != 0 and "requests failed since" in done.stderr, done.stderr
        failed = len(clients.bad)
        time.sleep(1)
        assert len(clients.bad) == failed, "errors after the old color is back"
    assert failed and all("500" in each for each in clients.bad)
    settle(host, before, color)


def test_an_edge_that_does_not_see_the_color_is_not_left_to_it(host):
    """The engine says healthy, the edge's own checks say not: the old color stays"""
    before = host.served_by()
    color, = host.running()
    other = "green" if color == "blue" else "blue"
    host.save(health=host.engine["health"] | {f"fastapi-app-{other}": f"http://127.0.0.1:{host.ports[other]}/livez"})
    bad = host.release("u1", "unready")
    try:
        with Clients(host) as clients:
            done = host.run("deploy.sh", release=bad, EDGE_SECONDS="2")
    finally:
        host.save(health=host.engine["health"] | {f"fastapi-app-{other}": f"http://127.0.0.1:{host.ports[other]}/readyz"})
    assert done.returncode != 0 and "reached from the edge" in done.stderr, done.stderr
    assert clients.bad == []
    settle(host, before, color)


# DP4: killed anywhere

STEPS = ["settle", "preflight", "images", "jobs", "start", "healthy", "switch", "bake", "drain", "record", "rest"]


def test_killed_at_any_step_and_run_again_it_converges(host):
    """SIGKILL when a step begins; the second run brings the release into service; no request fails in between"""
    with Clients(host) as clients:
        for number, step in enumerate(STEPS):
            release = host.release(f"d{number + 1}")
            begun = host.begin("deploy.sh", release=release)
            for line in begun.stderr:
                if line.endswith(f"step {step}\n"):
                    time.sleep(0.15)
                    break
            os.killpg(begun.pid, signal.SIGKILL)
            begun.wait()
            begun.stderr.close()
            assert host.get()[0] == 200, step
            done = host.run("deploy.sh", release=release, BAKE_SECONDS="1")
            assert done.returncode == 0, f"{step}: {done.stderr}"
            color, = host.running()
            settle(host, release.name.rstrip("0"), color)
    assert clients.bad == []


# DP5: one at a time

def test_a_second_deploy_is_refused(host):
    """And the first is not disturbed"""
    release = host.release("c1")
    first = host.begin("deploy.sh", release=release)
    for line in first.stderr:
        if "step jobs" in line:
            break
    second = host.run("deploy.sh", release=release)
    assert second.returncode == 75 and "another deploy is at work" in second.stderr
    assert first.wait(60) == 0
    first.stderr.close()
    settle(host, "c1", host.running()[0])


# Bundles

def test_a_bundle_is_verified_before_it_is_opened(host, tmp_path):
    """A wrong sum installs nothing; the right one deploys"""
    source = host.release("b1")
    bundle = tmp_path / "bundle.tar.gz"
    subprocess.run(["tar", "-czf", bundle, "-C", source, "."], check=True)
    total = subprocess.run(["sha256sum", bundle], capture_output=True, text=True, check=True).stdout.split()[0]
    wrong = total[:-1] + ("0" if total[-1] != "0" else "1")
    refused = host.run("deploy.sh", "--bundle", str(bundle), wrong)
    assert refused.returncode != 0 and "does not have the SHA-256" in refused.stderr
    assert not (host.root / "releases" / wrong).exists()
    done = host.run("deploy.sh", "--bundle", str(bundle), total)
    assert done.returncode == 0, done.stderr
    assert (host.root / "current").resolve().name == total
    assert len(list((host.root / "releases").iterdir())) <= 5 + 2, "old releases go"
