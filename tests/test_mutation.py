"""`make mutation` puts a change into the loaded package, counts what became of it, and lists the survivors."""
from __future__ import annotations

import argparse
import ast

from mutation import Mutant, chosen, functions_of, path_of, put, span
from mutation_page import likely, page
from mutation_tests import FILES, Seen, source_of

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
        assert not put(changed(body, body.replace("number == 1", "number != 1")),
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
    found = dict(zip(mutants, ["golden", "examples", "too slow", "survived"]))
    text = page({"stack": (found, 1234)}, argparse.Namespace(sample=4, seed=1))
    assert "| stack | 1,234 | 4 | 3 | 1 | 1 | 0 | 1 | 75 % | 30 to 95 % |" in text
    assert "| stack.slo:3 | `a \\| 3` | `b \\| 3` |  |" in text and "stack.slo:2" not in text
    assert likely(10, 10) == "72 to 100 %"
    later = page({"stack": (dict(zip(mutants, ["tests"] * 4)), 1234)}, argparse.Namespace(sample=4, seed=2), text)
    scores = [[line.split(" | ")[each] for each in (2, 3, 5)] for line in later.splitlines() if line.startswith("| 2")]
    assert scores == [["1", "75 %", "50 % |"], ["2", "100 %", "100 % |"]]


def test_the_lines_of_a_statement():
    """A statement over two lines is both, a loop is its head; the owner is the innermost function or class"""
    tree = ast.parse("class A:\n    b = f(\n        1)\n\n    def c(self):\n        for d in e:\n            d()\n")
    found = {line: span(tree, line) for line in (3, 6, 7)}
    assert found[3] == (range(2, 4), range(1, 8), True)
    assert found[6] == (range(6, 7), range(5, 8), False) and found[7][0] == range(7, 8)


def test_the_tests_of_a_mutant_are_those_that_run_its_line():
    """The notebook of the module comes first, then the quickest; what runs at the import needs a new one"""
    text = path_of("base.tables").read_text(encoding="utf-8").splitlines()
    line = next(number for number, each in enumerate(text, 1) if "number == 1" in each)
    seen = Seen(seconds={"::examples of base.tables": 3, "tests/test_a.py::a": 2, "tests/test_a.py::b": 1, "c": 1},
                lines={"base.tables": {line: {"tests/test_a.py::a", "tests/test_a.py::b", "gone"}}})
    mutant = Mutant("base.tables", line, "", "", "")
    assert chosen(mutant, seen) == (["::examples of base.tables", "tests/test_a.py::b", "tests/test_a.py::a"], False)
    seen.lines["base.tables"][line].add("")
    assert chosen(mutant, seen)[1]
    assert [source_of(each) for each in ("::examples of a.b", "tests/test_a.py::b")] == ["examples of a.b",
                                                                                         "tests/test_a.py"]


def test_the_test_files_exist(root):
    """Every file that may notice a change is there, and none compares modules with notebooks: it would kill all"""
    assert all((root / name).exists() for name in FILES) and "tests/test_notebooks.py" not in FILES
