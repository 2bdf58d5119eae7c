"""The example's emitted tree, made once, and trees that differ from it in a few files: those alone are parsed again."""
from __future__ import annotations

from datetime import date
from functools import cache

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import example


@cache
def example_files() -> dict[str, str]:
    """What `pretamane emit` writes for the example, by path; not to be changed"""
    return emitted(example())


@cache
def whole() -> Tree:
    """The example's tree after a check, with all that was parsed for it"""
    tree = Tree(example_files())
    check(tree)
    assert not tree.problems
    return tree


def changed(files: dict[str, str], as_of: date | None = None) -> Tree:
    """A tree that takes the parsed form of a file from the example's where its text is the same"""
    found, known = Tree(files, as_of), whole()
    found.shared.update({key: value for key, value in known.shared.items() if key[0] in ("kind", "documents")
                         and files.get(key[1]) == known.files[key[1]]})
    return found
