"""Defects put into a good tree, one at a time: the checker, a tool or a behaviour test must tell.

Each module beside this one holds `MUTANTS`. `make mutants` prints who kills which.
A mutant is killed by a rule (`X05`), a tool (`tool:caddy`) or, where only running shows the defect, by a test
(`behaviour:tests/test_app.py::test_ready`). A test counts only where it was run on the mutant and failed: that a
test of this name
exists proves nothing.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import yaml
from trees import changed

from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.check.tools.runs import run_tools

ROOT = Path(__file__).resolve().parent.parent.parent
Files = dict[str, str]


@dataclass(frozen=True)
class Mutant:
    """One defect: its number in the audit, what it is, how to make it, who must notice"""

    defect: str
    title: str
    mutate: Callable[[Files], Files] | None
    killer: str

    @property
    def id(self) -> str:
        """A name for tests and tables"""
        return f"{self.defect} {self.title}"


@dataclass(frozen=True)
class Fate:
    """What became of a mutant"""

    mutant: Mutant
    killers: tuple[str, ...]  # everything that noticed, not only what was expected
    seconds: float
    ran: bool = True  # whether anything was run that could notice it

    @property
    def killed(self) -> bool:
        """Whether the one that was expected noticed"""
        return self.mutant.killer in self.killers

    @property
    def killed_by(self) -> str:
        """`a rule`, `a tool` or `a test` where the one that was expected noticed; `nothing`; `not run`"""
        if not self.ran:
            return "not run"
        ways = {"behaviour": "a test", "tool": "a tool"}
        return ways.get(self.mutant.killer.partition(":")[0], "a rule") if self.killed else "nothing"


def replaced(path: str, old: str, new: str, count: int = 1) -> Callable[[Files], Files]:
    """A mutation that replaces text in one file; the text must be there"""
    def mutate(files: Files) -> Files:
        assert old in files[path], f"{path} has no {old!r}"
        return {**files, path: files[path].replace(old, new, count)}

    return mutate


def substituted(path: str, pattern: str, new: str, count: int = 1) -> Callable[[Files], Files]:
    """A mutation that replaces what a regular expression finds in one file"""
    def mutate(files: Files) -> Files:
        text, found = re.subn(pattern, new, files[path], count=count, flags=re.M)
        assert found, f"{path} has nothing like {pattern!r}"
        return {**files, path: text}

    return mutate


COMPOSE = "compose/compose.yaml"
CADDYFILE = "caddy/Caddyfile"


def compose(change: Callable[[dict], None]) -> Callable[[Files], Files]:
    """A mutation of the compose file as data"""
    def mutate(files: Files) -> Files:
        data = yaml.load(files[COMPOSE], Loader=yaml.CSafeLoader)
        change(data)
        return {**files, COMPOSE: yaml.dump(data, Dumper=Plain, sort_keys=False, width=4096)}

    return mutate


def service(name: str, *gone: str, **keys) -> Callable[[Files], Files]:
    """A mutation of one service: keys that it loses, keys that it gets"""
    def change(data: dict) -> None:
        for key in gone:
            assert key in data["services"][name], f"{name} has no {key!r}"
            del data["services"][name][key]
        data["services"][name].update(keys)

    return compose(change)


def added(path: str, text: str) -> Callable[[Files], Files]:
    """A mutation that adds lines at the end of a file, or a file"""
    return lambda files: {**files, path: files.get(path, "") + text}


def removed(path: str) -> Callable[[Files], Files]:
    """A mutation that loses a file, or every file of a folder"""
    def mutate(files: Files) -> Files:
        kept = {name: text for name, text in files.items() if name != path and not name.startswith(f"{path}/")}
        assert kept != files, f"there is no {path}"
        return kept

    return mutate


class Plain(yaml.CSafeDumper):
    """YAML without anchors"""

    def ignore_aliases(self, data) -> bool:
        """Write everything out"""
        return True


def by_module() -> dict[str, list[Mutant]]:
    """The mutants of every module of this folder"""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return {name: import_module(f"{__name__}.{name}").MUTANTS for name in names}


def all_mutants() -> list[Mutant]:
    """All mutants"""
    return [mutant for mutants in by_module().values() for mutant in mutants]


def test_exists(name: str) -> bool:
    """Whether `tests/file.py::function` is there"""
    file, _, function = name.partition("::")
    path = ROOT / file
    return bool(function) and path.is_file() and re.search(rf"^def {re.escape(function.partition('[')[0])}\(",
                                                           path.read_text(encoding="utf-8"), re.M) is not None


test_exists.__test__ = False  # not a test itself


def noticed(files: Files, mutant: Mutant, everybody: bool) -> Iterator[str]:
    """What tells of a mutant: the rule or tool that is expected to, or every rule beside it"""
    tree = changed(files)
    tool = mutant.killer.partition(":")[2]
    rules = None if everybody else [] if tool else [mutant.killer]
    yield from dict.fromkeys(each.rule for each in check(tree, rules))
    yield from (f"tool:{each.tool}" for each in run_tools(tree, [tool]) if each.status == "fail")


def fate(mutant: Mutant, files: Files, everybody: bool = True) -> Fate:
    """Put a defect into a good tree and see who notices: everybody, or only the one who is expected to"""
    import time

    began = time.perf_counter()
    if mutant.killer.startswith("behaviour:"):
        return Fate(mutant, (), 0.0, ran=False)
    try:
        changed = mutant.mutate(dict(files))
        assert changed != files, "changes nothing"
    except (AssertionError, KeyError, AttributeError) as error:
        return Fate(mutant, (f"CANNOT BE MADE: {error}",), 0.0)
    return Fate(mutant, tuple(noticed(changed, mutant, everybody)), time.perf_counter() - began)
