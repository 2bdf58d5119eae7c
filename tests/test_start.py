"""The command starts fast: what is heavy is imported inside the functions that need it."""
from __future__ import annotations

import subprocess
import sys

HEAVY = {"pandas", "matplotlib", "boto3", "botocore", "diagrams", "resvg_py", "numpy", "pydantic"}


def test_command_imports_nothing_heavy(root):
    """`import pretamane_analysis.cli.main` loads none of the heavy packages"""
    command = [sys.executable, "-X", "importtime", "-c", "import pretamane_analysis.cli.main"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)
    assert ended.returncode == 0, ended.stderr
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in ended.stderr.splitlines() if "|" in line}
    assert "pretamane_analysis" in loaded
    assert not loaded & HEAVY
