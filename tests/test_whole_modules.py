"""The list by which CI runs a module once holds those that passed whole, and leaves nothing else out."""
from __future__ import annotations

import os
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
}


def ran(folder, **environment: str) -> str:
    """Run pytest in `folder` on two workers; return what it printed"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WHOLE_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "-p", "whole_modules", "-p",
               "no:cacheprovider", "tests"]
    return subprocess.run(command, cwd=folder, env=kept | {"PYTHONPATH": str(folder)} | environment,
                          capture_output=True, text=True, check=False).stdout


def test_only_modules_that_passed_whole_are_left_out(root, tmp_path):
    """A skip of any kind, a failure and a broken fixture keep a module off the list"""
    shutil.copy(root / "tests/whole_modules.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests").mkdir()
    for name, text in MODULES.items():
        (tmp_path / "tests" / name).write_text(text)
    ran(tmp_path, WHOLE_TO=str(tmp_path / "whole"))
    assert (tmp_path / "whole").read_text() == "tests/test_fine.py\n"
    again = ran(tmp_path, WHOLE_FROM=str(tmp_path / "whole"))
    assert "test_fine.py" not in again and all(name in again for name in MODULES.keys() - {"test_fine.py"}), again
