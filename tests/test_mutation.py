"""`make mutation` puts a change into the loaded package, counts what became of it, and lists the survivors."""
from __future__ import annotations

import argparse

import mutation
from mutation import Mutant, functions_of, likely, page, path_of, put

from pretamane_analysis.base import tables


def changed(old: str, new: str) -> Mutant:
    """A mutant of `base.tables`, whose text has `old` once"""
    text = path_of("base.tables").read_text(encoding="utf-8")
    assert text.count(old) == 1
    return Mutant("base.tables", 1, old, new, text.replace(old, new))


def test_a_change_is_put_into_the_loaded_function():
    """A change inside one function is seen by whoever has imported it already, and by nobody after it is taken back"""
    counted, code = tables.counted, tables.counted.__code__
    assert counted(1, "file") == "1 file"
    body = next(line
                for line in path_of("base.tables").read_text(encoding="utf-8").splitlines() if "number == 1" in line)
    try:
        put(changed(body, body.replace("number == 1", "number != 1")),
            path_of("base.tables").read_text(encoding="utf-8"))
        assert counted is tables.counted and counted(1, "file") == "1 files"
    finally:
        counted.__code__ = code
    assert counted(1, "file") == "1 file"


def test_methods_have_the_name_of_their_class():
    """Functions are known by their name in the module, nested ones belong to the outer"""
    source = "class A:\n    def b(self):\n        def c(): pass\n\ndef d(): return lambda: 1\n"
    assert set(functions_of(compile(source, "x", "exec"))) == {"A.b", "d"}


def test_the_page_has_the_score_and_the_survivors():
    """Three of four killed are 75 %, with the range that so few leave open; what survived stands in the table"""
    mutants = [Mutant("stack.slo", line, f"a | {line}", f"b | {line}", "") for line in range(4)]
    found = dict(zip(mutants, ["killed", "killed", "too slow", "survived"]))
    text = page({"stack": (found, 1234)}, argparse.Namespace(sample=4, seed=1, examples_only=False))
    assert "| stack | 1,234 | 4 | 3 | 1 | 1 | 75 % | 30 to 95 % |" in text
    assert "| stack.slo:3 | `a \\| 3` | `b \\| 3` |" in text and "stack.slo:2" not in text
    assert likely(10, 10) == "72 to 100 %"


def test_the_rooms_have_tests_that_exist(root):
    """Every room names test files, and each is there"""
    assert set(mutation.TESTS) == set(mutation.ROOMS)
    assert all((root / "tests" / f"{name}.py").exists() for names in mutation.TESTS.values() for name in names)
