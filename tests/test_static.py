"""What reads the code without running it finds nothing: ruff.toml and mypy.ini say what is asked of it."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Tools that mypy reads as strictly as the package, which they once were part of.
TYPED = [f"tools/{name}.py"
         for name in ("publish", "reference", "guide", "site_pages", "build_site", "plan_to_resources")]


@pytest.mark.parametrize("tool", [["ruff", "check", "--no-cache", "."],
                                  ["mypy", "--cache-dir", os.devnull, "pretamane_analysis", *TYPED]],
                         ids=lambda tool: tool[0])
def test_static(root, tool):
    """The tool has no word to say"""
    done = subprocess.run([sys.executable, "-m", *tool], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
