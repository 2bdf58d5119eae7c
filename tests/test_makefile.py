"""What `make` does before anything runs: an environment that is whole, and commands that start wherever the clone
is."""
from __future__ import annotations

import re
import shutil
import subprocess

from needed import program

PYTHON = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$*" in
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; touch "$3/whole" ;;
    "-m pip --version") [ -e "$(dirname "$0")/../whole" ] ;;
esac
"""


def made(root, folder, *arguments: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Run make in `folder`, with a Python that only notes how it is called; return what it did and the calls"""
    for name in ("Makefile", "settings.ini", "setup.py"):
        shutil.copy(root / name, folder / name)
    (folder / "tools").mkdir(exist_ok=True)
    for name in ("check_python.sh", "install.sh"):
        shutil.copy(root / "tools" / name, folder / "tools")
    (folder / "python3").write_text(PYTHON)
    (folder / "python3").chmod(0o755)
    calls = folder / "calls"
    calls.write_text("")
    done = subprocess.run([program("make"), f"PYTHON={folder}/python3", *arguments], cwd=folder, capture_output=True,
                          text=True, check=False, env={"PATH": "/usr/bin:/bin", "CALLS": str(calls)})
    return done, calls.read_text().splitlines()


def test_a_half_made_environment_is_made_again(root, tmp_path):
    """Without ensurepip `python -m venv` leaves a Python without pip behind; once python3-venv is there, make begins
    anew"""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").write_text(PYTHON)
    (tmp_path / ".venv/bin/python").chmod(0o755)
    done, calls = made(root, tmp_path, ".venv/.runtime")
    assert done.returncode == 0, done.stderr
    assert "python3 -m venv .venv" in calls and any(each.startswith("python -m pip install") for each in calls)
    done, calls = made(root, tmp_path, "-B", ".venv/.runtime")
    assert done.returncode == 0 and not any("-m venv" in each for each in calls), calls  # one that is whole is kept


UV = """#!/bin/sh
echo "uv $*" "$UV_DEFAULT_INDEX" "$UV_INDEX_STRATEGY" >>"$CALLS"
exit "$CODE"
"""


def installed(root, folder, code: int | None) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Install with a uv that ends with `code`, or with none, where pip has settings; return what was done, the calls"""
    for name, text in (("python", PYTHON), ("uv", UV)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    if code is None:
        (folder / "uv").unlink()
    # the stand-in of Python answers the question for pip's settings
    (folder / "python").write_text(PYTHON + """[ "$*" != - ] || echo "export UV_DEFAULT_INDEX='the index'"\n""")
    calls = folder / "calls"
    calls.write_text("")
    done = subprocess.run(["sh", str(root / "tools/install.sh"), str(folder / "python"), "--use-pep517", "some thing"],
                          capture_output=True, text=True, check=False,
                          env={"PATH": "/usr/bin:/bin", "CALLS": str(calls), "UV": f"{folder}/uv", "CODE": str(code)})
    return done, [each for each in calls.read_text().splitlines() if each != "python -"]


def test_uv_installs_and_pip_where_it_fails(root, tmp_path):
    """What pip's settings say of indexes is handed on; whatever is wrong with uv, pip still does what it would have"""
    done, calls = installed(root, tmp_path, 0)
    assert done.returncode == 0, done.stderr
    assert calls == [f"uv pip install --quiet --python {tmp_path}/python some thing the index unsafe-best-match"]
    done, calls = installed(root, tmp_path, 2)
    assert done.returncode == 0 and "pip tries" in done.stderr
    assert calls[-1] == "python -m pip install --quiet --use-pep517 some thing"
    done, calls = installed(root, tmp_path, None)
    assert done.returncode == 0 and calls[-1].startswith("python -m pip install")


def test_verbs_call_modules(root):
    """A script starts with the path of its Python, which may hold a space or be too long: Makefile and CI call what
    has a module by it"""
    for path in ("Makefile", ".ci/run", "tools/wheel_alone.sh"):
        scripts = re.findall(r"(?:\$\(BIN\)|\.venv/bin)/([\w-]+)", (root / path).read_text(encoding="utf-8"))
        assert {each for each in scripts if not each.startswith("nbdev_")} <= {"python", "docker-compose", "uv"}, path


def test_readme_names_what_the_bare_root_has(root):
    """The bare root of CI holds the packages that README.md names, since it reads them there"""
    command = re.search(r"^packages=.*$", (root / "tools/bare_root.sh").read_text(encoding="utf-8"), re.MULTILINE)[0]
    said = subprocess.run(["bash", "-c", f'here="$0"; {command}; echo "$packages"', str(root)], capture_output=True,
                          text=True, check=True)
    assert said.stdout.strip().split(",") == ["python3", "python3-venv", "python3-pip", "make", "git"]
