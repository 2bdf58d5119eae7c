"""The units by systemd's own analyzer, the scripts by shellcheck, the health watch with a container engine that is
made up."""
from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from needed import program
from operations_host import Host, tree

TASKS = ("backup", "drill", "healthwatch", "wal")
STRICTEST, WITH_SNAP = 2.5, 8.5  # exposure of a unit, 0 to 10; the one of the audit had 9.2


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess:
    """Run systemd-analyze; skip where it is not installed"""
    return subprocess.run([program("systemd-analyze"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.fixture
def system(tmp_path):
    """The root folder of a host on which the example is installed, with stand-ins for what is not its own"""
    for path, text in tree().items():
        place = tmp_path / ("etc/systemd/system"
                            if path.startswith("systemd/") else "opt/pretamane/current") / path.removeprefix("systemd/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755 if text.startswith("#!") else 0o644)
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/docker").write_text("#!/bin/sh\n")
    (tmp_path / "usr/bin/docker").chmod(0o755)
    units = tmp_path / "etc/systemd/system"
    (units / "docker.service").write_text("[Service]\nExecStart=/usr/bin/docker\n")
    for name in ("network-online", "multi-user", "timers", "basic", "sysinit", "shutdown", "network", "time-set",
                 "time-sync", "umount", "local-fs"):
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    return tmp_path


def verify(system: Path, *names: str) -> subprocess.CompletedProcess:
    """systemd-analyze verify of units below a root folder"""
    return analyze(f"--root={system}", "verify", *(system / "etc/systemd/system" / name for name in names))


UNITS = sorted(path.removeprefix("systemd/") for path in tree() if path.startswith("systemd/"))


def test_all_units_are_there():
    """The stack, its secrets, and a service and a timer for each task"""
    expected = ["pretamane.service", "pretamane-secrets.service"]
    expected += [f"pretamane-{task}.{kind}" for task in TASKS for kind in ("service", "timer")]
    assert sorted(expected) == UNITS


def test_systemd_accepts_the_units_without_a_word(system):
    """Known keys, programs that are there and executable, dependencies without a cycle"""
    done = verify(system, *UNITS)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("fault", ["script", "mode", "key", "cycle"])
def test_systemd_would_find_a_fault(system, fault):
    """The oracle: a script that is missing or not executable, a key misspelt, units that wait for each other"""
    units, script = system / "etc/systemd/system", system / "opt/pretamane/current/scripts/backup.sh"
    if fault == "script":
        script.unlink()
    elif fault == "mode":
        script.chmod(0o644)
    elif fault == "key":
        (units / "pretamane-backup.timer").write_text(
            (units / "pretamane-backup.timer").read_text().replace("Persistent", "Persistant"))
    else:
        (units / "pretamane-secrets.service").write_text((units / "pretamane-secrets.service").read_text().replace(
            "Before=pretamane.service", "After=pretamane.service"))
    done = verify(system, *UNITS)
    assert done.returncode or done.stderr


@pytest.mark.parametrize("name", [each for each in UNITS if each.endswith(".service")])
def test_exposure_is_low(system, name):
    """What a script could do to the host if it were not the one that it is"""
    limit = STRICTEST if any(task in name for task in TASKS) else WITH_SNAP
    done = analyze("security", "--offline=true", f"--threshold={round(limit * 10)}",
                   system / "etc/systemd/system" / name)
    found = float(re.search(r"exposure level for \S+ ([\d.]+)", done.stdout)[1])
    assert done.returncode == 0 and found <= limit, done.stdout[-200:]


def test_the_seeds_unit_would_not_pass(tmp_path):
    """The oracle of the threshold"""
    (tmp_path / "app.service").write_text("[Service]\nUser=ubuntu\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=true", f"--threshold={round(WITH_SNAP * 10)}",
                   tmp_path / "app.service").returncode != 0


@pytest.mark.parametrize("task", TASKS)
def test_timers_name_times_that_come(task):
    """systemd can say when next"""
    calendar = re.search(r"^OnCalendar=(.*)$", tree()[f"systemd/pretamane-{task}.timer"], re.M)[1]
    done = analyze("calendar", "--iterations=3", calendar)
    assert done.returncode == 0 and len(re.findall(r"Next elapse|Iter\.", done.stdout)) == 3, done.stderr


# Scripts

def test_shellcheck_finds_nothing(tmp_path):
    """Every emitted script of the operations, with the files that it sources"""
    shellcheck = program("shellcheck")
    for path, text in tree().items():
        if path.startswith("scripts/"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
    scripts = sorted(str(path.relative_to(tmp_path / "scripts")) for path in (tmp_path / "scripts").rglob("*.sh"))
    assert {"backup.sh", "restore.sh", "restore-drill.sh", "deploy.sh", "rollback.sh", "healthwatch.sh",
            "lib/stack.sh"} <= {*scripts}
    done = subprocess.run([shellcheck, "-x", "-P", "SCRIPTDIR", "--severity=style", *scripts], cwd=tmp_path / "scripts",
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_python_helpers_are_of_the_oldest_python_on_a_host():
    """Amazon Linux 2023 has 3.9"""
    for path, text in tree().items():
        if path.startswith("scripts/lib/") and path.endswith(".py"):
            ast.parse(text, feature_version=(3, 9))
            assert not re.search(r"^\s*(match|case) ", text, re.M)


# Health watch

def test_the_health_watch_says_who_is_not_well_and_touches_nothing(tmp_path):
    """Metrics for each service that should run, a line for each that does not, no command that changes anything"""
    host = Host(tmp_path / "host")
    host.install("f" * 64)
    services = ["caddy", "postgresql", "fastapi-app-blue", "minio", "loki", "grafana"]
    host.save(programs={},
              states={"postgresql": "running Up 2 hours (unhealthy)", "minio": "exited Exited (137) 5 seconds ago",
                      "loki": "restarting Restarting (1) 2 seconds ago",
                      "grafana": "running Up 3 seconds (health: starting)", "caddy": "running Up 2 hours (healthy)"})
    host.start(*services)
    (host.engine_folder / "calls").write_text("")
    done = host.run("healthwatch.sh")
    assert done.returncode != 0
    for line in ("postgresql is unhealthy", "minio is exited", "loki is restarting", "meilisearch is missing"):
        assert line in done.stderr
    metrics = host.metrics("healthwatch")
    found = {name: metrics[f'pretamane_service_healthy{{service="{name}"}}'] for name in services}
    assert found == {"caddy": 1, "postgresql": 0, "fastapi-app-blue": 1, "minio": 0, "loki": 0, "grafana": 1}
    assert not any("fastapi-app-green" in name for name in metrics), "the color that waits is not expected"
    assert all(call.startswith("ps ") for call in (host.engine_folder / "calls").read_text().splitlines())


def test_the_health_watch_is_content_when_all_is_well(tmp_path):
    """Exit code 0, nothing said"""
    host = Host(tmp_path / "host")
    host.install("f" * 64)
    names = re.search(r"^LONG_RUNNING=\((.*)\)", tree()["scripts/lib/stack.sh"], re.M)[1].split()
    host.start(*names, "fastapi-app-green")
    (host.state / "color").write_text("green\n")
    done = host.run("healthwatch.sh")
    assert (done.returncode, done.stderr) == (0, "")
    assert {value for name, value in host.metrics("healthwatch").items() if "healthy{" in name} == {1}


def test_the_health_watch_counts_what_goes_over_the_wire_of_the_host(tmp_path):
    """The exporter sees its own container's network; the script reads the counters of the interface that leads
    outside"""
    host = Host(tmp_path / "host")
    host.install("f" * 64)
    (tmp_path / "route").write_text("Iface\tDestination\tGateway\nbr-1\t0011FEA9\t0\nens5\t00000000\t0111A8C0\n")
    (tmp_path / "dev").write_text("Inter-|   Receive    |  Transmit\n face |bytes packets\n"
                                  "    lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
                                  "  ens5: 5000 9 0 0 0 0 0 0 300 8 0 0 0 0 0 0\n")
    host.run("healthwatch.sh", PROC_NET=str(tmp_path))
    found = {name: value for name, value in host.metrics("healthwatch").items() if "network" in name}
    assert found == {f'pretamane_host_network_{each}_bytes_total{{device="ens5"}}': value
                     for each, value in (("receive", 5000), ("transmit", 300))}
