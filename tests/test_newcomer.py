"""A newcomer's hour: README and the guides, followed to the letter in a fresh clone with an environment of its own."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from guide import commands

GUIDES = sorted((Path(__file__).resolve().parent.parent / "docs" / "guide").glob("*.md"))
NOT_RUN = {  # commands of the pages that this test does not run, and why; one that no page has any more is an error
    "make test": "this is what runs it",
    "terraform -chdir=host/terraform init && terraform -chdir=host/terraform apply": "needs an AWS account",
    "pretamane cost --source api": "needs an AWS account",
    "pretamane cost --source offers": "downloads hundreds of megabytes",
    "pretamane prices refresh --source offers --out mine": "downloads hundreds of megabytes",
    "pretamane prices verify --source offers": "downloads hundreds of megabytes",
    "pretamane prices rows index.csv.gz": "needs a file that somebody downloaded",
    "pretamane import compose.yaml plan.json": "needs files that somebody has; guides import those that they show",
}
FINDS_SOMETHING = {"pretamane audit"}  # exit code 1, as the page says
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n(?:\n(\|.*?\n)(?=\n))?", re.MULTILINE | re.DOTALL)
PYTHON = """
import ast, contextlib, io, json, sys
space, said = {}, []
for code in json.load(sys.stdin):
    body, out, last = ast.parse(code).body, io.StringIO(), None
    if isinstance(body[-1], ast.Expr):
        last = ast.Expression(body.pop().value)
    with contextlib.redirect_stdout(out):
        exec(compile(ast.Module(body, []), "page", "exec"), space)
        value = eval(compile(last, "page", "eval"), space) if last else None
    said.append(out.getvalue() + (value.to_markdown(disable_numparse=True) + "\\n" if hasattr(value, "to_markdown") else ""))
print(json.dumps(said))
"""  # noqa: E501


def lines(block: str) -> list[str]:
    """Return the commands of a block of shell, without what is said of them"""
    return [line.split("  #")[0].strip() for line in block.splitlines() if line.strip()]


def figures(text: str) -> list[list[str]]:
    """Return the words of each line; of a table the rows with figures, because its head is drawn in several ways"""
    return [line.replace("|", " ").split() for line in text.splitlines() if not line.startswith("|")
            or re.search(r"\d", line)]


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Return the fenced blocks of a page: language, text, and the table that follows at once"""
    return FENCE.findall(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory) -> Path:
    """A folder with what git would give, and nothing that this machine has made in it"""
    folder = tmp_path_factory.mktemp("newcomer") / "pretamane_analysis"
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                            capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def run(clone):
    """Run a command as a newcomer's shell does: nothing is installed but what the pages say"""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    path = os.pathsep.join([str(clone / ".venv/bin"),
                            *(each for each in os.environ["PATH"].split(os.pathsep) if ".venv" not in each)])
    environment = {**kept, "PATH": path, "PYTHON": sys._base_executable, "PRETAMANE_CACHE": ""}

    def call(command: str, folder: Path, given: str = "") -> subprocess.CompletedProcess:
        return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, input=given, capture_output=True,
                              text=True, timeout=900, check=False)

    return call


@pytest.fixture(scope="module")
def made(clone, run) -> str:
    """What `make report`, the first command of README, prints in a fresh clone"""
    assert lines(next(text for kind, text, _ in blocks(clone / "README.md") if kind == "sh")) == ["make report"]
    done = run("make report", clone)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_command_does_everything(clone, made):
    """Environment, package, report; and it prints the answer that README shows at its top"""
    answer = re.search(r"^\*\*(.+ USD a month on EKS .+)\*\*\n\n(.+)$",
                       (clone / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    printed = made.splitlines()
    assert answer and all(line in printed for line in answer.groups()), (answer, made)
    assert (clone / "report" / "index.html").stat().st_size > 100_000


def test_commands_of_the_readme(clone, made, run, tmp_path):
    """Each command of README runs in an empty folder, in the order of the page, or is named above with the reason"""
    shell = [command for kind, text, _ in blocks(clone / "README.md") if kind == "sh"
             for command in lines(text) if command != "make report"]
    assert len(shell) >= 15
    for command in shell:
        if command not in NOT_RUN:
            done = run(command, tmp_path)
            assert done.returncode == (command in FINDS_SOMETHING), (command, done.stdout[-2000:], done.stderr[-2000:])
            assert "Traceback" not in done.stderr


def test_python_of_the_readme(clone, made, run, tmp_path):
    """Each block of Python runs after those before it, and prints what the page shows below it"""
    found = blocks(clone / "README.md")
    python = [(text, found[at + 1][1] if found[at + 1][0] == "text" else table)
              for at, (kind, text, table) in enumerate(found) if kind == "python"]
    done = run(f"python -c '{PYTHON}'", tmp_path, json.dumps([text for text, _ in python]))
    assert done.returncode == 0, done.stderr
    for (code, shown), said in zip(python, json.loads(done.stdout), strict=True):
        assert figures(said) == figures(shown), code
    assert sum(bool(shown) for _, shown in python) >= 4


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_print_what_they_show(page, clone, made, run):
    """Every command of a guide, taken from the page, prints what stands below it"""
    done = run(f"python tools/guide.py --check docs/guide/{page.name}", clone)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_not_run_is_on_a_page(clone):
    """The list above holds no command that the pages have lost, and every guide has its commands in blocks that are
    run or listed"""
    pages = [clone / "README.md", *(clone / "docs/guide" / each.name for each in GUIDES)]
    shell = {command for page in pages for kind, text, _ in blocks(page) if kind == "sh" for command in lines(text)}
    assert not NOT_RUN.keys() - shell
    guides = {command for page in pages[1:] for kind, text, _ in blocks(page) if kind == "sh"
              for command in lines(text)}
    assert guides <= NOT_RUN.keys()
    assert sum(len(commands(text)) for page in pages for kind, text, _ in blocks(page) if kind == "console") >= 25
