"""Programs that tests start: where each is, and one form of words for what a test has to do without.

A test that needs a program asks here for its path and is skipped where there is none; conftest.py makes an error of
that in CI.
"""
from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

APT = {  # Which package of Debian brings a program; one that is not named here comes with the environment
    "alertmanager": "prometheus-alertmanager", "amtool": "prometheus-alertmanager",
    "blackbox_exporter": "prometheus-blackbox-exporter",
    "chromedriver": "chromium-driver", "chromium": "chromium", "flock": "util-linux", "git": "git",
    "htpasswd": "apache2-utils", "initdb": "postgresql",
    "jq": "jq", "node_exporter": "prometheus-node-exporter", "openssl": "openssl", "pg_dump": "postgresql",
    "postgres_exporter": "prometheus-postgres-exporter",
    "prometheus": "prometheus", "promtool": "prometheus", "psql": "postgresql", "restic": "restic",
    "systemd-analyze": "systemd",
}
OTHER = {"axe-core": "install npm, then run `make -B .venv/.axe`", "checkov": "run `make checkov`",
         "focus-validator": "run `make .venv/.focus`",
         "docker-compose": "run `python tools/compose.py`"}
ALIASES = {  # Names that upstream or a distribution gives the same program
    "alertmanager": ("prometheus-alertmanager",), "blackbox_exporter": ("prometheus-blackbox-exporter",),
    "chromium": ("chromium-browser", "google-chrome"), "node_exporter": ("prometheus-node-exporter",),
    "postgres_exporter": ("prometheus-postgres-exporter",),
}


def reason(name: str) -> str:
    """Return why a test is skipped without a program: what it needs and what brings that"""
    package = APT.get(name.split()[0])  # Of "promtool rules" the first word is the program
    remedy = f"apt-get install {package}, or `make tools`" if package else "run `make test`, whose environment has it"
    return f"needs {name}, which is not installed: {OTHER.get(name, remedy)}"


def found(name: str) -> str | None:
    """Return the path of a program: beside this Python, in PATH, where a system keeps its own or PostgreSQL's; None
    where there is none"""
    clusters = sorted(Path("/usr/lib/postgresql").glob("*/bin"),
                      key=lambda folder: float(folder.parent.name), reverse=True)
    places = [Path(sys.executable).parent, *os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin",
              "/sbin", *clusters]
    path = os.pathsep.join(map(str, places))
    return next(filter(None, (shutil.which(each, path=path) for each in (name, *ALIASES.get(name, ())))), None)


def program(name: str) -> str:
    """Return the path of a program; skip the test where there is none"""
    path = found(name)
    if path is None:
        pytest.skip(reason(name))
    return path


def programs(*names: str) -> list[str]:
    """Return the paths of several programs; skip the test where one is missing. Ask before anything is made, so that
    nothing is left half made"""
    return [program(each) for each in names]


def needs(*names: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test, or a module's tests, where a program is missing"""
    missing = next((each for each in names if found(each) is None), None)
    return pytest.mark.skipif(missing is not None, reason=reason(missing or names[0]))
