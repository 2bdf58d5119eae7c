"""What installing the package installs may be used: the licenses of all of it, and the page that lists them."""
from __future__ import annotations

import importlib.util
import sys

import pytest


@pytest.fixture
def tool(root, monkeypatch):
    """The script behind `make licenses`"""
    spec = importlib.util.spec_from_file_location("licenses", root / "tools" / "licenses.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "licenses", module)
    spec.loader.exec_module(module)
    return module


def test_licenses_are_allowed_and_listed(tool, capsys):
    """Every package that is shipped has an allowed license, and every requirement stands on the page"""
    assert tool.main(check=True) == 0, capsys.readouterr().out
    assert {"boto3", "pandas", "pydantic", "six"} <= tool.shipped() and "pytest" not in tool.shipped()


@pytest.mark.parametrize(("text", "fine"), [
    ("MIT", True), ("Apache-2.0 OR GPL-3.0", True), ("MPL-2.0 AND MIT", True), ("GPL-3.0", False), ("UNKNOWN", False),
    ("MIT AND AGPL-3.0", False), ("BSD License; GNU General Public License (GPL)", False)])
def test_what_is_refused(tool, text, fine):
    """Of several licenses one of a choice is enough, all of a sum are needed"""
    assert bool(tool.refused({"some-package": text})) is not fine
