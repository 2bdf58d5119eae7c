"""What reads the code without running it finds nothing: ruff.toml and mypy.ini say what is asked of it."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("tool", [["ruff", "check", "--no-cache", "."], ["mypy", "--cache-dir", os.devnull, "pretamane_analysis"]], ids=lambda tool: tool[0])
def test_static(root, tool):
    """The tool has no word to say"""
    done = subprocess.run([sys.executable, "-m", *tool], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
