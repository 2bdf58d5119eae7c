"""Small trees in the manner of public stacks, each with the findings that a reviewer would sign, and no others.

Each folder holds `tree/` and `findings.txt`: a rule, a file and a line on each row. They were written by hand,
before the rules were.
`python -m foreign` (with `tests` on the path; `make precision`) prints how many of the findings of `check` are among
those.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check, rules

HERE = Path(__file__).parent
AS_OF = date(2026, 11, 22)
Place = tuple[str, str]  # rule; file and line


@dataclass(frozen=True)
class Judged:
    """What was found in a tree against what was signed"""

    name: str
    right: tuple[Place, ...]
    wrong: tuple[Place, ...]  # found, but not signed
    missed: tuple[Place, ...]  # signed, but not found


def names() -> list[str]:
    """The trees"""
    return sorted(path.parent.name for path in HERE.glob("*/findings.txt"))


def signed(name: str) -> set[Place]:
    """The findings that a reviewer would sign"""
    rows = (HERE / name / "findings.txt").read_text(encoding="utf-8").splitlines()
    return {(rule, place) for rule, _, place in (row.partition(" ") for row in rows if row.strip())}


@cache
def judged(name: str) -> Judged:
    """Check a tree"""
    found = {(each.rule, f"{each.file}:{each.line}" if each.line else each.file)
             for each in check(Tree.read(HERE / name / "tree", AS_OF))}
    wanted = signed(name)
    return Judged(name, *(tuple(sorted(each)) for each in (found & wanted, found - wanted, wanted - found)))


def precision(group: str) -> tuple[int, int]:
    """How many findings of a group's rules are right, and how many there are"""
    of_group = {each.id for each in rules().values() if each.group == group}
    count = Counter(kind
                    for each in map(judged, names()) for kind, places in (("right", each.right), ("wrong", each.wrong))
                    for rule, _ in places if rule in of_group)
    return count["right"], count.total()
