"""Run promtool on files of a tree: what passes, and which value it got where a test expected another."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml
from needed import program


def run(*words: str | Path) -> subprocess.CompletedProcess:
    """Run promtool and keep what it prints"""
    return subprocess.run([program("promtool"), *map(str, words)], capture_output=True, text=True, timeout=120)


def written(folder: Path, files: dict[str, str]) -> Path:
    """Write files by path below a folder"""
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return folder


def complaint(folder: Path, files: dict[str, str], name: str) -> str:
    """Run one test file of a tree; empty when it passes, else what promtool says"""
    written(folder, files)
    found = run("test", "rules", folder / name)
    return "" if found.returncode == 0 else found.stdout + found.stderr


def only(text: str, *words: str) -> str:
    """A test file with only the tests whose name has one of these words"""
    content = yaml.safe_load(text)
    content["tests"] = [each for each in content["tests"] if any(word in each["name"] for word in words)]
    assert content["tests"], f"no test is about {words}"
    return yaml.safe_dump(content, sort_keys=False)


def measured(folder: Path, rules: dict[str, str], tests: list[dict], questions: list[str],
             every: str = "1m") -> list[dict[str, float | None]]:
    """Ask promtool for the values of expressions at the end of each test; None where there is none

    promtool only compares, so each question is asked with an answer that is never right, and what it got is read.
    """
    wrong = -987654.0
    for test in tests:
        end = test.pop("end")
        test["promql_expr_test"] = [{"expr": each, "eval_time": end, "exp_samples": [{"labels": "{}", "value": wrong}]}
                                    for each in questions]
    content = {"rule_files": sorted(Path(path).name for path in rules), "evaluation_interval": every, "tests": tests}
    written(folder, {Path(path).name: text
                     for path, text in rules.items()} | {"measure.yml": yaml.safe_dump(content, sort_keys=False)})
    output = run("test", "rules", folder / "measure.yml")
    got = re.findall(r"got: ?(?:nil|(.*))", output.stdout + output.stderr)
    assert len(got) == len(tests) * len(questions), (output.stdout + output.stderr)[:2000]
    values = [float(each.rsplit(" ", 1)[1]) if each else None for each in got]
    return [dict(zip(questions, values[at:at + len(questions)], strict=True))
            for at in range(0, len(values), len(questions))]
