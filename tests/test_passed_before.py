"""The list by which CI runs a test once holds those that passed, and leaves nothing else out."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

MODULES = {
    "test_fine.py": "def test_one():\n    pass\n",
    "test_lacks.py": "import pytest\n\ndef test_one():\n    pass\n\ndef test_two():\n    pytest.skip('needs a tool')\n",
    "test_allowed.py": "import pytest\n\n@pytest.mark.skipif(True, reason='allowed: here')\n"
    "def test_one():\n    pass\n", "test_fails.py": "def test_one():\n    assert False\n",
    "test_breaks.py": "import pytest\n\n@pytest.fixture\ndef broken():\n    raise OSError\n\n"
    "def test_one(broken):\n    pass\n",
    "test_late.py": "import pytest\n\n@pytest.fixture\ndef late():\n    yield\n    raise OSError\n\n"
    "def test_one(late):\n    pass\n",
    "test_asks.py": "def test_one():\n    assert 'run_tools'\n",
}
AGAIN = {"lacks.py::test_two", "allowed.py::test_one", "fails.py::test_one", "breaks.py::test_one", "late.py::test_one",
         "asks.py::test_one"}


def ran(folder, **environment: str) -> str:
    """Run pytest in `folder` on two workers; return what it printed"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PASSED_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "-p", "passed_before", "-p",
               "no:cacheprovider", "tests"]
    return subprocess.run(command, cwd=folder, env=kept | {"PYTHONPATH": str(folder)} | environment,
                          capture_output=True, text=True, check=False).stdout


def test_only_what_passed_is_left_out(root, tmp_path):
    """A skip of any kind, a failure and a broken fixture keep a test off the list; a module that asks for tools runs
    again"""
    shutil.copy(root / "tests/passed_before.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests").mkdir()
    for name, text in MODULES.items():
        (tmp_path / "tests" / name).write_text(text)
    ran(tmp_path, PASSED_TO=str(tmp_path / "passed"))
    fine = {f"tests/test_{name}.py::test_one" for name in ("fine", "lacks", "asks")}
    assert set((tmp_path / "passed").read_text().splitlines()) == fine
    again = ran(tmp_path, PASSED_FROM=str(tmp_path / "passed"))
    assert set(re.findall(r"tests/test_(\w+\.py::\w+)", again)) == AGAIN, again
