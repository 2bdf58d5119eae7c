"""deploy.sh and rollback.sh with a real Caddy and twelve clients: no failed request, and no bad release in service
(DP1-DP5).

A deploy is mostly waiting, so each story has a host of its own and all are told at once; a test looks at the end of
one.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256

import pytest
from deploy_host import Clients, DeployHost

FEW = ("get", "post", "slow")
REST = 0.3  # seconds between two requests of a client where nothing is meant to change: minutes of it are told at once
STEPS = {"jobs": ["jobs", "bake"], "start": ["start", "record"], "edge": ["edge", "drain"],
         "settle": ["settle", "rest"]}


@contextmanager
def serving(folder):
    """A host that serves its first release"""
    host = DeployHost(folder)
    try:
        host.begin_serving("blue")
        yield host
    finally:
        host.close()


def settled(host: DeployHost, name: str, color: str) -> None:
    """Assert that one release serves with one color, and nothing else runs"""
    assert host.served_by() == name
    assert host.running() == [color]
    assert host.active() == color
    if (host.state / "compose.env").exists():
        assert (host.state / "compose.env").read_text() == f"COMPOSE_PROFILES=obs,tunnel,{color}\n"
    assert (host.root / "current").resolve().name.rstrip("0") == name
    if (kept := host.data / "pretamane/release/names").exists():
        assert kept.read_text().split() == [
            "b" * 64, (host.root / "current").resolve().name], "a new host would start another release"


# DP1: nobody notices a deploy

def recreate(host: DeployHost) -> dict:
    """What a plain recreate of the container does, seen by the same clients; then a deploy and a rollback"""
    compose, mode = host.root / "current" / "compose", host.root / "current" / "app" / "mode"
    mode.write_text("slow\n")
    with Clients(host) as before:
        subprocess.run([host.folder / "bin" / "docker", "compose", "--project-name", "pretamane", "--project-directory",
                        compose, "--file",
                        compose / "compose.yaml", "up", "--detach", "--no-deps", "--force-recreate", "--wait",
                        "fastapi-app-blue"],
                       check=True, env=os.environ | host.environment)
        host.wait_for("200")
    mode.write_text("ok\n")
    release = host.release("f2", "slow")
    with Clients(host) as clients:
        done = host.run("deploy.sh", release=release)
        assert done.returncode == 0, done.stderr
        settled(host, "f2", "green")
        back = host.run("rollback.sh")
        assert back.returncode == 0, back.stderr
        settled(host, "f1", "blue")
    return {"oracle": before, "clients": clients, "host": host, "metrics": host.metrics("deploy"),
            "jobs": (host.engine_folder / "jobs").read_text().splitlines()}


# DP2, DP3: a bad release

def altered(host: DeployHost, release, path: str, text: str) -> None:
    """Change a file of a release, with its lock"""
    (release / path).write_text(text)
    lock = json.loads((release / "stack.lock.json").read_text())
    lock["files"][path] = sha256(text.encode()).hexdigest()
    (release / "stack.lock.json").write_text(json.dumps(lock))


def bad_releases(host: DeployHost) -> dict:
    """One that never starts, one that is never ready, one whose migration fails, one that was changed, and so on"""
    found, quick = {}, {"HEALTH_SECONDS": "3"}
    host.start("postgresql")
    with Clients(host, pause=REST) as clients:
        for number, kind in enumerate(("broken", "job", "changed", "outage", "edge", "unseen", "memory")):
            bad, environment = host.release(f"bad{number + 1}",
                                            {"broken": "broken", "unseen": "unready"}.get(kind, "ok")), dict(quick)
            changes = ({"jobs": {"migrate": 1}} if kind == "job"
                       else {"recreated": ["postgresql"]} if kind == "outage" else {})
            if kind == "unseen":
                changes = {"health": host.engine["health"]
                           | {"fastapi-app-green": f"http://127.0.0.1:{host.ports['green']}/livez"}}
                environment = {"EDGE_SECONDS": "1"}
            if kind == "changed":
                (bad / "scripts" / "backup.sh").write_text("#!/bin/sh\n")
            if kind == "edge":
                altered(host, bad, "caddy/Caddyfile", "not a Caddyfile {")
                environment = {}
            if kind == "memory":
                altered(host, bad, "scripts/lib/stack.sh",
                        (bad / "scripts/lib/stack.sh").read_text().replace("COLOR_MIB=512", "COLOR_MIB=99999999"))
            kept = {key: host.engine[key] for key in changes}
            host.save(**changes)
            done = host.run("deploy.sh", release=bad, **environment)
            host.save(**kept)
            settled(host, "f1", "blue")
            found[kind] = (done, host.metrics("deploy")["pretamane_deploy_last_run_success"])
    return {"runs": found, "clients": clients}


def errors(host: DeployHost) -> dict:
    """A release that says it is ready and answers 500"""
    color, = host.running()
    image = host.engine_folder / "images" / "localhost@pretamane@fastapi-app:0.1.0"
    image.write_text("f1")
    bad = host.release("e1", "errors")
    with Clients(host) as clients:
        done = host.run("deploy.sh", release=bad, BAKE_SECONDS="30")
        failed = len(clients.bad)
        time.sleep(1)
        settled(host, "f1", color)
    return {"done": done, "failed": failed, "clients": clients, "metrics": host.metrics("deploy"),
            "image": image.read_text()}


# DP4: killed anywhere

def killed_at(steps: list[str]):
    """SIGKILL when a step begins, then the same deploy again"""
    def story(host: DeployHost) -> dict:
        with Clients(host, FEW, REST) as clients:
            for number, step in enumerate(steps):
                release = host.release(f"d{number + 1}")
                begun = host.begin("deploy.sh", release=release)
                for line in begun.stderr:
                    if line.endswith(f"step {step}\n"):
                        time.sleep(1.5 if step == "bake" else 0.3)
                        break
                os.killpg(begun.pid, signal.SIGKILL)
                begun.wait()
                begun.stderr.close()
                assert host.get()[0] == 200, step
                done = host.run("deploy.sh", release=release, BAKE_SECONDS="1")
                patience = time.monotonic() + 30
                # what `timeout` started outlives the group, and holds the lock
                while done.returncode == 75 and time.monotonic() < patience:
                    time.sleep(0.5)
                    done = host.run("deploy.sh", release=release, BAKE_SECONDS="1")
                assert done.returncode == 0, f"{step}: {done.stderr}"
                color, = host.running()
                settled(host, release.name.rstrip("0"), color)
        return {"clients": clients}
    return story


# DP5: one at a time; bundles

def at_once_and_bundled(host: DeployHost) -> dict:
    """Two deploys at once; then a bundle with a wrong sum and with the right one"""
    release = host.release("c1")
    first = host.begin("deploy.sh", release=release)
    for line in first.stderr:
        if "step jobs" in line:
            break
    second = host.run("deploy.sh", release=release)
    ended = first.wait(400)
    first.stderr.close()
    settled(host, "c1", "green")
    bundle = host.folder / "bundle.tar.gz"
    files = sorted(str(each.relative_to(release)) for each in release.rglob("*") if each.is_file())
    subprocess.run(["tar", "-czf", bundle, "-C", release, *files], check=True)  # without folders, as bundle.sh packs it
    total = sha256(bundle.read_bytes()).hexdigest()
    wrong = total[:-1] + ("0" if total[-1] != "0" else "1")
    refused = host.run("deploy.sh", "--bundle", str(bundle), wrong)
    assert not (host.root / "releases" / wrong).exists()
    done = host.run("deploy.sh", "--bundle", str(bundle), total, KEEP_RELEASES="0", BAKE_SECONDS="0")
    return {"ended": ended, "second": second, "refused": refused, "done": done, "total": total,
            "closed": [each for each in (host.root / "releases" / total).rglob("*") if each.is_dir()
                       and each.stat().st_mode & 0o055 != 0o055],
            "current": (host.root / "current").resolve().name,
            "left": {each.name.rstrip("0") for each in (host.root / "releases").iterdir()}}


STORIES = {"recreate": recreate, "bad releases": bad_releases, "errors": errors,
           "bundles": at_once_and_bundled} | {f"killed {name}": killed_at(steps) for name, steps in STEPS.items()}


TOLD_IN = {"recreate": "recreate", "request_fails_over": "recreate", "bad_release": "bad releases",
           "errors_under": "errors", "killed": "killed", "second_deploy": "bundles", "bundle_is": "bundles"}


@pytest.fixture(scope="module")
def stories(request, tmp_path_factory):
    """The stories that the chosen tests look at, begun at once: what each found, or why it did not end well"""
    folder = tmp_path_factory.mktemp("deploy")
    chosen = {story for item in request.session.items for word, story in TOLD_IN.items() if word in item.name}
    names = [name for name in STORIES if any(name.startswith(story) for story in chosen)]

    def tell(name: str):
        with serving(folder / name.replace(" ", "-")) as host:
            return STORIES[name](host)

    with ThreadPoolExecutor(len(names)) as pool:
        yield {name: pool.submit(tell, name) for name in names}


def test_a_recreate_is_an_outage_that_these_clients_see(stories):
    """The oracle: what counts no failure elsewhere can count one"""
    seen = stories["recreate"].result()["oracle"]
    print(f"recreate: {seen.good} answered, {len(seen.bad)} failed, longest {seen.longest:.1f} s")
    assert len(seen.bad) >= 1 and seen.longest > 3


def test_no_request_fails_over_a_deploy_and_a_rollback(stories):
    """GET, POST, slow and streamed answers, kept and new connections; no request waits long; a rollback runs no
    migration"""
    found = stories["recreate"].result()
    clients = found["clients"]
    print(f"deploy and rollback: {clients.good} answered, {len(clients.bad)} failed, longest {clients.longest:.1f} s")
    assert clients.bad == []
    assert clients.good > 200 and clients.longest < 3
    assert found["metrics"]["pretamane_deploy_last_run_success"] == 1
    assert (found["host"].data
            / "pretamane/release/tree/compose/compose.yaml").exists(), "a new host would start the release of Terraform"
    assert [line.split()[0] for line in found["jobs"]] == ["migrate", "bucket-init"]


@pytest.mark.parametrize("kind, reason", [("broken", "healthy: not within the time"), ("job", "step jobs"),
                                          ("changed", "was changed"), ("outage", "is an outage"), ("edge", "step edge"),
                                          ("unseen", "reached from the edge: not within the time"),
                                          ("memory", "of memory are free")])
def test_a_bad_release_is_noticed_by_nobody(stories, kind, reason):
    """The old color goes on; exit code and metric say it"""
    done, metric = stories["bad releases"].result()["runs"][kind]
    assert done.returncode != 0 and reason in done.stderr, done.stderr
    assert metric == 0


def test_no_request_fails_while_seven_bad_releases_are_refused(stories):
    """Not one"""
    clients = stories["bad releases"].result()["clients"]
    assert clients.bad == [] and clients.good > 200


def test_errors_under_traffic_bring_the_old_color_back(stories):
    """A release that says it is ready and answers 500: the edge turns back by itself, and stays there"""
    found = stories["errors"].result()
    assert found["done"].returncode != 0 and "requests failed since" in found["done"].stderr, found["done"].stderr
    assert found["failed"] and all("500" in each for each in found["clients"].bad)
    assert len(found["clients"].bad) == found["failed"], "errors after the old color is back"
    assert found["metrics"]["pretamane_deploy_last_run_success"] == 0
    assert found["image"] == "f1", "after a restart the release that failed would serve"


@pytest.mark.parametrize("name", STEPS)
def test_killed_at_any_step_and_run_again_it_converges(stories, name):
    """The second run brings the release into service; no request fails in between"""
    assert stories[f"killed {name}"].result()["clients"].bad == []


def test_a_second_deploy_is_refused(stories):
    """And the first is not disturbed"""
    found = stories["bundles"].result()
    assert found["second"].returncode == 75 and "another deploy is at work" in found["second"].stderr
    assert found["ended"] == 0


def test_a_bundle_is_verified_before_it_is_opened(stories):
    """A wrong sum installs nothing; the right one deploys; old releases go, but not the one before"""
    found = stories["bundles"].result()
    assert found["refused"].returncode != 0 and "does not have the SHA-256" in found["refused"].stderr
    assert found["done"].returncode == 0, found["done"].stderr
    assert found["current"] == found["total"]
    assert found["closed"] == [], "folders that the users of the containers cannot enter"
    assert found["left"] == {found["total"].rstrip("0"), "c1"}
