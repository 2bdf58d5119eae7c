"""Pages made from the package's own facts: a page for each rule, the emitted tree, the command line, the changelog.

Nothing on these pages is written twice: a rule's page shows the mutant that it kills and what it says of it; the
command line is
what `--help` prints; the tree is the one that is emitted for the example.
"""

import difflib
import os
import re
import sys
from contextlib import redirect_stdout, suppress
from fnmatch import fnmatch
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from tabulate import tabulate


def mutants_of(
    root: Path,  # the repository
) -> list[Any]:
    "The mutants of `tests/mutants`."
    place = str(root / "tests")
    if place not in sys.path:
        sys.path.insert(0, place)
    from mutants import all_mutants

    found: list[Any] = all_mutants()
    return found


def difference(
    before: dict[str, str],  # files by path
    after: dict[str, str],
) -> str:
    "What changed, without context further than a line away."
    lines = []
    for path in sorted(path for path in {*before, *after} if before.get(path) != after.get(path)):
        found = difflib.unified_diff(before.get(path, "").splitlines(), after.get(path, "").splitlines(), path,
                                     path, n=1, lineterm="")
        lines += list(found)[1:]
    return "\n".join(lines)


def _example(mutant: Any, files: dict[str, str], rule: str) -> str:
    "One mutant: the change, and what the rule says of it."
    from trees import changed  # of the tests, as the mutants

    from pretamane_analysis.check.rules.registry import check

    mutated = mutant.mutate(dict(files))
    found = [each for each in check(changed(mutated), [rule]) if each.rule == rule][:3]
    said = "\n".join(f"{each.file}:{each.line}: {each.message}\n    {each.remedy}" for each in found)
    return (f"### {mutant.defect}: {mutant.title}\n\n```diff\n{difference(files, mutated)}\n```\n\n```text\n"
            f"{said}\n```\n")


def rule_pages(
    root: Path,  # the repository
) -> dict[str, str]:  # text by path
    "A page for each rule, and their table."
    from pretamane_analysis.check.rules.registry import rules
    from pretamane_analysis.emit.tree import emitted
    from pretamane_analysis.stack.stack import example

    files, mutants, pages, rows = emitted(example()), mutants_of(root), {}, []
    for name, rule in rules().items():
        killed = [each for each in mutants if each.killer == name]
        head = f"# {name}: {rule.title}\n\nSeverity: {rule.severity}. {_text(rule.find.__doc__)}\n\n"
        examples = "## What it finds\n\n" + "\n".join(_example(each, files, name) for each in killed) if killed else ""
        pages[f"rules/{name}.md"] = head + examples
        rows.append([f"[{name}]({name}.md)", rule.title, rule.severity, ", ".join(rule.defects)])
    table = tabulate(rows, headers=["rule", "what must hold", "severity", "defects"], tablefmt="pipe")
    return {"rules/index.md": f"# Rules\n\n{_RULES}\n\n{table}\n", **pages}


_RULES = """`pretamane check` reads a folder and applies these rules. Each was written for a defect that was found
by running the source document's artifacts; the defect's number stands in the last column. Each has a mutant: the
same defect put into a good tree, which the rule must find."""


def _text(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def explained(
    files: list[str],  # paths of emitted files
    entries: list[dict[str, Any]],  # what `docs/tree.yaml` says, patterns in `path`
) -> list[list[str]]:  # path, what it is for, items
    "Each file with its entry. Raises KeyError for a file without one, and for an entry without a file."
    rows, used = [], set()
    for path in files:
        number = next((number for number, each in enumerate(entries) if fnmatch(path, each["path"])), None)
        if number is None:
            raise KeyError(f"docs/tree.yaml does not explain {path}")
        used.add(number)
        rows.append([f"`{path.removeprefix('eks/')}`", entries[number]["what"],
                     ", ".join(map(str, entries[number]["items"]))])
    if unused := [each["path"] for number, each in enumerate(entries) if number not in used]:
        raise KeyError(f"docs/tree.yaml explains what is not emitted: {', '.join(unused)}")
    return rows


def tree_page(
    root: Path,  # the repository
) -> dict[str, str]:  # text by path
    """Every file of the example's two trees with what it is for. Raises KeyError where `docs/tree.yaml` does not fit
    them."""
    from pretamane_analysis.emit.tree import OF_CLUSTER, emitted
    from pretamane_analysis.stack.stack import example

    entries = yaml.safe_load((root / "docs" / "tree.yaml").read_text(encoding="utf-8"))
    host, cluster = sorted(emitted(example())), [f"eks/{path}" for path in sorted(emitted(example(), of=OF_CLUSTER))]
    rows = explained([*host, *cluster], entries)
    tables = [tabulate(part, headers=["file", "what it is for", "items"], tablefmt="pipe", disable_numparse=True)
              for part in (rows[:len(host)], rows[len(host):])]
    return {"tree/index.md": f"# The emitted tree\n\n{_TREE}\n\n{tables[0]}\n\n## The other side\n\n{_CLUSTER}\n"
            f"\n{tables[1]}\n"}


_TREE = """What `pretamane emit` writes for the example stack; `infra/` in the repository holds it. The last column
names the items of the source document's list that a file answers: section and number, so `3.4` is the fourth
promise of its third section."""
_CLUSTER = ("What `pretamane emit --architecture eks` writes: the side that the bill compares with, each line "
            "of it caused by a resource here.")


def _help(*words: str) -> str:
    from pretamane_analysis.cli.main import main

    with redirect_stdout(StringIO()) as printed, suppress(SystemExit), patch.dict(os.environ, COLUMNS="110"):
        main([*words, "--help"])
    return printed.getvalue()


def command_page() -> dict[str, str]:
    "What `--help` prints, for the command, each of its verbs and each of theirs."
    from pretamane_analysis.cli.main import VERBS

    parts = ["# Command line\n", f"```text\n{_help()}```\n"]
    for verb in sorted(VERBS):
        text = _help(verb)
        inner = re.match(r"usage: pretamane \w+ \[-h\] ([a-z|]+) \.\.\.", text)
        parts += [f"## {verb}\n\n```text\n{text}```\n"]
        parts += [f"### {verb} {each}\n\n```text\n{_help(verb, each)}```\n"
                  for each in (inner[1].split("|") if inner else ())]
    return {"command-line.md": "\n".join(parts)}


def coverage_page() -> dict[str, str]:
    """In which regions the example can be priced with the prices that come with the package, and what is missing
    elsewhere."""
    from pretamane_analysis.bill.coverage import coverage, option_rows
    from pretamane_analysis.prices.snapshot import bundled
    from pretamane_analysis.stack.stack import example

    stack, book = example(), bundled()
    found = coverage(stack, book, book.regions("AmazonEKS"))
    tables = [tabulate(rows, headers="keys", tablefmt="pipe") for rows in (
        [each.row() for each in found], option_rows(stack, book, [each.region for each in found if each.complete]))]
    complete = sum(each.complete for each in found)
    return {"coverage.md": f"# Prices by region\n\n"
            f"{_COVERAGE.format(complete=complete, all=len(found), as_of=book.as_of)}\n\n"
                           f"{tables[0]}\n\n## How machines can be bought\n\n{_OPTIONS}\n\n{tables[1]}\n"}


_COVERAGE = """Every price that the four bills of the example need at typical usage is known in {complete} of {all}
regions, from the snapshot of {as_of}. Elsewhere a bill names what it lacks and stops; no region's price is used for
another. `pretamane prices coverage --stack FILE` prints this table for your own stack, and a rate that you know
goes under `prices:` in its file."""
_OPTIONS = "The purchase options that have a price for the example's nodes and for its host."


def pages(
    root: Path,  # the repository
) -> dict[str, str]:  # text by path below the site's sources
    "Every page that is made from facts."
    return {
        **command_page(),
        **tree_page(root),
        **rule_pages(root),
        **coverage_page(),
        **{name: (root / "docs" / name).read_text(encoding="utf-8")
           for name in ("benchmarks.md", "e2e.md", "licenses.md", "precision.md")},
        "changelog.md": (root / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
