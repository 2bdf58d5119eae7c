"""What the emitted rules and panels ask Prometheus for, one selector at a time; and the same rules in less time."""
from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from pretamane_analysis.facts.promql import filled

FACTOR = 10  # so many times as fast as the emitted rules are those that show that a healthy host is quiet
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def expressions(tree: Path) -> Iterator[tuple[str, str]]:
    """Each query of Prometheus in a tree, and where it stands"""
    for file in sorted((tree / "prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                yield rule["expr"], f"{file.name}: {rule.get('alert') or rule['record']}"
    for file in sorted((tree / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            if panel.get("datasource", {}).get("type") == "prometheus":
                for target in panel.get("targets", ()):
                    yield filled(target["expr"]), f"{file.name}: {panel['title']}"


def selectors(node: Any) -> Iterator[str]:
    """The selectors of a parsed query, with their matchers and without their ranges"""
    if type(node).__name__ in ("VectorSelector", "MatrixSelector"):
        yield getattr(node, "vector_selector", node).prettify()
    for name in ("expr", "lhs", "rhs"):
        if (inside := getattr(node, name, None)) is not None:
            yield from selectors(inside)
    for each in getattr(node, "args", ()):
        yield from selectors(each)


def asked(tree: Path) -> dict[str, list[str]]:
    """Where each selector stands that a rule or a panel has"""
    found: dict[str, list[str]] = defaultdict(list)
    for expression, place in expressions(tree):
        for each in selectors(promql_parser.parse(expression)):
            found[each].append(place)
    return dict(found)


def shorter(duration: str, factor: int) -> str:
    """A duration as Prometheus writes it, so many times as short"""
    whole = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", duration))
    return f"{max(1, whole // factor)}ms"


def compressed(content: Any, factor: int) -> Any:
    """The parsed file of Prometheus or of its rules, with each of its durations so many times as short: intervals,
    `for`, and ranges of queries; what stands in a query as a number, such as an age in seconds, stays"""
    if isinstance(content, list):
        return [compressed(each, factor) for each in content]
    if not isinstance(content, dict):
        return content
    found = {}
    for key, value in content.items():
        if key in ("for", "keep_firing_for", "interval", "scrape_interval", "scrape_timeout", "evaluation_interval"):
            found[key] = shorter(value, factor)
        elif key == "expr":
            found[key] = re.sub(r"\[([\dsmhdw]+)\]", lambda each: f"[{shorter(each[1], factor)}]", value)
        else:
            found[key] = compressed(value, factor)
    return found


def write_compressed(tree: Path, folder: Path, factor: int) -> None:
    """Prometheus's files of a tree, compressed; nobody is told of its alerts"""
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    for file in ("prometheus.yml", *(f"rules/{each.name}" for each in (tree / "prometheus/rules").glob("*.yml"))):
        content = yaml.safe_load((tree / "prometheus" / file).read_text())
        content.pop("alerting", None)
        (folder / file).write_text(yaml.safe_dump(compressed(content, factor), sort_keys=False))
