"""The page docs/mutation.md: what became of a sample of mutants, and which survived."""
from __future__ import annotations

import argparse
import csv
from datetime import date
from pathlib import Path
from typing import Any


def likely(dead: int, count: int) -> str:
    """Return where the share of all mutants lies with 95 %, in percent (Wilson's interval)"""
    share, z = dead / count, 1.96
    middle, half = share + z * z / (2 * count), z * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    low, high = ((middle + sign * half) / (1 + z * z / count) for sign in (-1, 1))
    return f"{100 * low:.0f} to {100 * high:.0f} %"


HEAD = """# Mutants of the package

`make mutation` changes the package's own Python in small ways (mutmut's operators, inside functions and classes) and
runs the tests that run the changed line; `tools/mutation.py` says how. The figures are of a sample: the range is where
the score of all lies with 95 % (Wilson). What killed a mutant is the first test that failed: an example of a notebook
(its outputs are compared, too, as CI does), a text that is kept as a whole (`make golden`), or another test. Kept texts
are asked last: what they killed nothing else noticed within the time that each mutant has.

Nothing is left out by hand: descriptions of fields are part of the schemas in `docs/schema/`, which a test compares.
mutmut itself leaves out docstrings, and what stands in a module outside of functions and classes.
"""
SAMPLES = """## Samples so far

| date | sample | seed | score | range | without kept texts |
|---|--:|--:|--:|---|--:|
"""
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.csv")  # Survivors that nothing can tell, and why
KILLERS = ("examples", "golden", "tests", "too slow")


def reasons() -> dict[tuple[str, str, str], str]:
    """Return why a mutant is equivalent, by module, line before and after"""
    with EQUIVALENT.open(newline="", encoding="utf-8") as file:
        return {(each["module"], each["before"], each["after"]): each["why"] for each in csv.DictReader(file)}


def row(name: str, verdicts: list[str], known: int) -> str:
    """Return a line of the table of scores"""
    dead = len(verdicts) - verdicts.count("survived")
    kinds = " | ".join(str(verdicts.count(each)) for each in KILLERS)
    return (f"| {name} | {known:,} | {len(verdicts)} | {dead} | {kinds} | {100 * dead / len(verdicts):.0f} % | "
            f"{likely(dead, len(verdicts))} |")


def history(verdicts: list[str], asked: argparse.Namespace, old: str) -> list[str]:
    """Return the samples of the page as it was, and this one"""
    count, left = len(verdicts), verdicts.count("survived")
    earlier = old.partition(SAMPLES)[2].partition("\n\n")[0].splitlines()
    return [*earlier, f"| {date.today()} | {count} | {asked.seed} | {100 * (count - left) / count:.0f} % | "
            f"{likely(count - left, count)} | {100 * (count - left - verdicts.count('golden')) / count:.0f} % |"]


def page(rooms: dict[str, tuple[dict[Any, str], int]], asked: argparse.Namespace, old: str = "") -> str:
    """Return the results as Markdown, below what an older page has of earlier samples"""
    every = [each for found, _ in rooms.values() for each in found.values()]
    lines = [HEAD, f"{date.today()}, `python tools/mutation.py --sample {asked.sample} --seed {asked.seed}`.", "",
             f"| room | mutants | sample | killed | by {' | by '.join(KILLERS[:3])} | too slow | score | range |",
             "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
    lines += [row(room, list(found.values()), known) for room, (found, known) in rooms.items()]
    lines += [row("all", every, sum(known for _, known in rooms.values())), "",
              SAMPLES + "\n".join(history(every, asked, old)), "",
              "## Survivors", "", "| module | line as it stands | as it became | why nothing can tell |",
              "|---|---|---|---|"]
    cell, why = {"|": "\\|", "`": "'"}, reasons()
    for mutant in (each for found, _ in rooms.values() for each, verdict in found.items() if verdict == "survived"):
        texts = ["".join(cell.get(letter, letter) for letter in text) for text in (mutant.before, mutant.after)]
        reason = why.get((mutant.module, mutant.before, mutant.after), "")
        lines.append(f"| {mutant.module}:{mutant.line} | `{texts[0]}` | `{texts[1]}` | {reason} |")
    return "\n".join(lines) + "\n"
