"""README.md is what the index notebook gives, and its commands exist."""
from __future__ import annotations

import re

import pytest

from pretamane_analysis.publish import markdown


@pytest.fixture
def page(root):
    """Return README.md"""
    return (root / "README.md").read_text(encoding="utf-8")


def test_readme_is_the_index(root, page):
    """README.md equals the index notebook (`make export` writes it)"""
    assert page == markdown(root / "nbs" / "index.ipynb")


def test_the_two_commands(page):
    """The first two commands of README.md are `make report` and `make test`"""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    made = list(dict.fromkeys(command for command in commands if command.startswith("make ")))
    assert made[:2] == ["make report", "make test"]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_verbs_exist(root, document):
    """Every make verb that a document names is in the Makefile"""
    verbs = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    text = (root / document).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE))
    assert named and named <= verbs


def test_ci_runs_the_readmes_test_command(root):
    """CI runs the very command that README.md gives"""
    assert re.search(r"^\s*make test$", (root / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE)
