"""The command starts fast: what is heavy is imported inside the functions that need it."""
from __future__ import annotations

import subprocess
import sys

from pretamane_analysis.bill import compare as comparisons
from pretamane_analysis.bill import sides
from pretamane_analysis.bill.architectures import bill_of
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example

HEAVY = {"pandas", "matplotlib", "boto3", "botocore", "diagrams", "resvg_py", "numpy", "pydantic", "duckdb"}


def test_command_imports_nothing_heavy(root):
    """`import pretamane_analysis.cli.main` loads none of the heavy packages"""
    command = [sys.executable, "-X", "importtime", "-c", "import pretamane_analysis.cli.main"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)
    assert ended.returncode == 0, ended.stderr
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in ended.stderr.splitlines() if "|" in line}
    assert "pretamane_analysis" in loaded
    assert not loaded & HEAVY


COST = """
import sys
from pretamane_analysis.cli.main import main
main(["cost"])
from pretamane_analysis.stack.model_file import Model
kinds = [Model]
for kind in kinds:
    kinds += kind.__subclasses__()
print(*sys.modules)
print(*(kind.__name__ for kind in kinds if kind.__pydantic_complete__))
"""


def test_cost_loads_and_builds_only_what_it_needs(root):
    """A bill needs no metadata of installed packages and no offer reader, and one validator for the whole stack
    instead of one for each part"""
    ended = subprocess.run([sys.executable, "-c", COST], check=True, capture_output=True, text=True, cwd=root)
    *_, modules, built = ended.stdout.splitlines()
    assert not (HEAVY - {"pydantic"} | {"importlib.metadata", "email", "ijson", "urllib3",
                                        "jinja2"}) & set(modules.split())
    assert "Stack" in built.split() and len(built.split()) <= 4


def test_compare_prices_nothing_twice(monkeypatch):
    """Each architecture is priced once for each scenario that is shown, the larger host and the optimized
    baseline once"""
    priced = []
    monkeypatch.setattr(sides, "bill_of", lambda chosen, *more: priced.append(chosen) or bill_of(chosen, *more))
    comparisons.compare(example(), bundled())
    assert len(priced) == len(set(priced)) == 4 + 2 * 2 + 1 + 1
