"""The package's metadata agrees with itself; what a build makes of it is checked in .ci/run."""
from __future__ import annotations

import runpy
import sys
from configparser import ConfigParser
from types import SimpleNamespace

import pytest

import pretamane_analysis


@pytest.fixture
def settings(root):
    """Return settings.ini as nbdev reads it"""
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


@pytest.fixture
def metadata(root, monkeypatch):
    """Return what setup.py hands to setuptools, without setuptools"""
    given: dict = {}
    fake = SimpleNamespace(setup=given.update, find_packages=lambda include: ["pretamane_analysis"])
    monkeypatch.setitem(sys.modules, "setuptools", fake)
    runpy.run_path(str(root / "setup.py"))
    return given


def test_one_version(settings, metadata):
    """settings.ini, the package and setup.py say the same version"""
    assert settings["version"] == pretamane_analysis.__version__ == metadata["version"]


def test_changelog_has_the_version(root, settings):
    """CHANGELOG.md has a heading for the version"""
    assert f"\n## {settings['version']} " in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_source_distribution_can_build(root):
    """MANIFEST.in includes what setup.py reads"""
    included = (root / "MANIFEST.in").read_text(encoding="utf-8").splitlines()[0].split()
    assert {"settings.ini", "README.md", "LICENSE"} <= set(included)


def test_requirements(settings, metadata):
    """Runtime requirements hold no tool of development, and each requirement names a version"""
    names = {item.split(">")[0].split("=")[0].split("<")[0] for item in metadata["install_requires"]}
    assert not names & {"nbdev", "fastcore", "execnb", "jupyterlab", "nbconvert", "pytest"}
    every = metadata["install_requires"] + metadata["extras_require"]["dev"] + metadata["extras_require"]["lab"]
    assert all(any(sign in item for sign in "<=>") for item in every)
    assert metadata["python_requires"] == f">={settings['min_python']}"


def test_entry_points(metadata):
    """The command and nbdev's index are registered"""
    assert metadata["entry_points"]["console_scripts"] == ["pretamane=pretamane_analysis.cli.main:main"]
    assert metadata["entry_points"]["nbdev"] == ["pretamane_analysis=pretamane_analysis._modidx:d"]
