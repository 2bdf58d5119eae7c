"""Reading notebooks for the tests: their cells, directives, place and module."""
from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "pretamane_analysis"
ROOT = Path(__file__).resolve().parent.parent
# The rooms in the order of imports, lowest first.
ROOMS = ["base", "stack", "facts", "prices", "resources", "providers", "bill", "intake", "draw", "emit",
         "emit.host", "emit.cloud",
         "emit.observability", "emit.kubernetes", "emit.pair",
         "check.read", "check.views", "check.rules", "check.tools", "check", "report", "cli"]
EXPORTS = {"export", "exports", "exporti"}


@dataclass(frozen=True)
class Cell:
    """One cell: what it is, its text and its outputs"""

    kind: str
    source: str
    outputs: tuple
    id: str

    @cached_property
    def directives(self) -> dict[str, str]:
        """The `#|` lines: name to value"""
        found = re.findall(r"^#\|\s*([\w-]+):?[ \t]*(.*)$", self.source, flags=re.MULTILINE)
        return {name: value.strip() for name, value in found}

    @property
    def exported(self) -> bool:
        """Whether the cell goes into a module"""
        return bool(EXPORTS & self.directives.keys())

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed code; lines that only IPython knows are left out, a cell magic makes it empty"""
        if self.kind != "code" or re.match(r"(\s*#\|.*\n)*\s*%%", self.source):
            return ast.Module([], [])
        code = "\n".join("pass" if re.match(r"[%!]", line) else line for line in self.source.splitlines())
        return ast.parse(code)


@dataclass(frozen=True)
class Notebook:
    """One notebook of nbs/"""

    path: Path

    @property
    def name(self) -> str:
        """The path below nbs/, for messages"""
        return self.path.relative_to(ROOT / "nbs").as_posix()

    @cached_property
    def content(self) -> dict:
        """The file as JSON"""
        return json.loads(self.path.read_text(encoding="utf-8"))

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell"""
        return [
            Cell(cell["cell_type"], "".join(cell["source"]), tuple(cell.get("outputs", ())), cell.get("id", ""))
            for cell in self.content["cells"]
        ]

    @property
    def code(self) -> list[Cell]:
        """The code cells"""
        return [cell for cell in self.cells if cell.kind == "code"]

    @property
    def place(self) -> tuple[int, int, str] | None:
        """The place in the order of imports: room, number, letter; None for the index and tutorials, which may
        import everything"""
        *folders, name = self.path.relative_to(ROOT / "nbs").parts
        found = re.match(r"(\d+)([a-z]?)_.+\.ipynb", name)
        if not found or not folders or folders == ["tutorials"]:
            return None
        return ROOMS.index(".".join(folders)), int(found[1]), found[2]

    @property
    def module(self) -> str | None:
        """The module that `default_exp` names"""
        names = [cell.directives["default_exp"] for cell in self.code if "default_exp" in cell.directives]
        return names[0] if names else None


def notebooks() -> list[Notebook]:
    """Return the notebooks that nbdev sees, in order"""
    paths = (ROOT / "nbs").rglob("*.ipynb")
    kept = [path for path in paths if not any(part[0] in "_." for part in path.relative_to(ROOT / "nbs").parts)]
    return [Notebook(path) for path in sorted(kept)]


def imported(tree: ast.AST) -> set[str]:
    """Return the modules of the package that `tree` imports, named from the package on"""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}
