"""False pages and misses of two ways to write the same objective, over made-up histories of traffic, judged by
Prometheus.

    python benchmarks/slo_histories.py [--seeds N] [--format table|md|csv]

Ours are the emitted rules. The others are the rules that one gets by following sloth's documented output by hand:
the ratio of
two rates in each window, the four pairs of the SRE Workbook, the period as the mean of the five-minute ratios.

The truth is what the history was made from. A history says for each minute how many requests come and how likely
each is to
fail; the requests are then drawn. A page is due when the likelihood itself, weighed by traffic, reaches 14.4 times
the budget
over an hour or 6 times over six: the service is ill, whatever the dice say. A page at another time is false; a time
when
one is due without a page is a miss. `promtool test rules` works out both sets of rules, minute by minute.
"""
from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pretamane_analysis.base.tables import render
from pretamane_analysis.emit.observability.slo_rules import Named, files, source
from pretamane_analysis.stack.stack import example

BUDGET, LENGTH, BEFORE = 0.005, 720, 360  # share, minutes of a history, minutes before its trouble
NAME = "availability"
OF = Named(example(), NAME)


@dataclass
class History:
    """Requests and failures of each minute, and when a page was due"""

    requests: list[int]
    failures: list[int]
    due: bool
    restarts: set[int] = field(default_factory=set)  # minutes at which the counters begin again
    late_errors: bool = False  # the series of failures appears with the first one


def drawn(rate: Callable[[int], float], failing: Callable[[int], float], dice: random.Random, **more) -> History:
    """Draw a history from a rate (requests in a minute) and a likelihood of failure for each minute"""
    requests = [sum(dice.random() < rate(at) / 1000 for _ in range(1000)) if rate(at) < 50
                else round(dice.gauss(rate(at), rate(at) ** 0.5))
                for at in range(LENGTH)]
    failures = [sum(dice.random() < failing(at) for _ in range(count)) if failing(at) < 1 else count
                for at, count in enumerate(requests)]
    return History(requests, failures, is_due(rate, failing), **more)


def is_due(rate: Callable[[int], float], failing: Callable[[int], float]) -> bool:
    """Whether the likelihood of failure, weighed by traffic, reaches a page's limit in one of its windows"""
    bad, all_of = ([value(at) for at in range(LENGTH)] for value in (lambda at: rate(at) * failing(at), rate))
    for window, burn in ((60, 14.4), (360, 6)):
        for end in range(window, LENGTH + 1):
            total = sum(all_of[end - window:end])
            if total and sum(bad[end - window:end]) / total >= burn * BUDGET * 1.05:
                return True
    return False


def trouble(length: int, likelihood: float, usual: float = 0.001) -> Callable[[int], float]:
    """A likelihood of failure that is high for a while"""
    return lambda at: likelihood if BEFORE <= at < BEFORE + length else usual


def night(at: int) -> float:
    """No traffic for hours, then a few requests"""
    return 1 if at < 200 else 0.1 if at > 400 else 0


def one_failure(rate: Callable[[int], float], dice: random.Random) -> History:
    """A healthy service: drawn again until exactly one request fails, after the first hours"""
    while True:
        found = drawn(rate, lambda at: 0.004, dice)
        if sum(found.failures) == 1 and sum(found.failures[BEFORE:]) == 1:
            return found


KINDS: dict[str, Callable[[random.Random], History]] = {
    "10 requests an hour, one fails": lambda dice: one_failure(lambda at: 10 / 60, dice),
    "10 requests an hour, outage of 3 hours": lambda dice: drawn(lambda at: 10 / 60, trouble(180, 1), dice),
    "2 requests an hour, outage of 6 hours": lambda dice: drawn(lambda at: 2 / 60, trouble(360, 1), dice),
    "bursts, healthy": lambda dice: drawn(lambda at: 2000 if at % 60 < 3 else 0.3, lambda at: 0.001, dice),
    "silence at night, one fails after it": lambda dice: one_failure(night, dice),
    "blip of 2 minutes": lambda dice: drawn(lambda at: 100, trouble(2, 1), dice),
    "restarts, healthy": lambda dice: drawn(lambda at: 100, lambda at: 0.002, dice,
                                            restarts=set(range(20, LENGTH, 20))),
    "slow burn, 8 times, 6 hours": lambda dice: drawn(lambda at: 100, trouble(360, 0.04), dice),
    "burn at the budget's rate": lambda dice: drawn(lambda at: 100, lambda at: 0.005, dice),
    "outage of 10 minutes": lambda dice: drawn(lambda at: 100, trouble(10, 1), dice),
    "first failures ever, outage of 10 minutes": lambda dice: drawn(lambda at: 100, trouble(10, 1, 0), dice,
                                                                    late_errors=True),
    "outage after a restart": lambda dice: drawn(lambda at: 100, trouble(15, 1, 0), dice, restarts={BEFORE},
                                                 late_errors=True),
}


def counter(values: list[int], history: History, late: bool = False) -> str:
    """A counter in promtool's notation"""
    total, parts, seen = 0, ["_" if late else "0"], not late
    for at, value in enumerate(values):
        total = value if at in history.restarts else total + value
        seen = seen or value > 0
        parts.append(str(total) if seen else "_")
    return " ".join(parts)


def series(history: History) -> list[dict]:
    """What the edge would count"""
    found = source(OF.stack, OF.slo)
    labels = ",".join(f'{name}="{value}"' for name, value in found.labels.items())
    good = [count - failed for count, failed in zip(history.requests, history.failures, strict=True)]
    return [{"series": f'{found.counter}{{{labels},code="200"}}', "values": counter(good, history)},
            {"series": f'{found.counter}{{{labels},code="502"}}',
             "values": counter(history.failures, history, history.late_errors)}]


def by_hand() -> str:
    """The same objective as sloth's getting-started page shows its output"""
    found = source(OF.stack, OF.slo)
    labels = ",".join(f'{name}="{value}"' for name, value in found.labels.items())
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    rules = [{"record": f"slo:sli_error:ratio_rate{window}", "labels": {"slo": NAME, "window": window},
              "expr": f'(sum(rate({found.counter}{{{labels},code=~"5.."}}[{window}]))) / '
              f'(sum(rate({found.counter}{{{labels}}}[{window}])))'} for window in windows]
    rules.append({"record": "slo:sli_error:ratio_rate30d", "labels": {"slo": NAME, "window": "30d"}, "expr":
                  f'sum_over_time(slo:sli_error:ratio_rate5m{{slo="{NAME}"}}[30d]) / ignoring (window) '
                  f'count_over_time(slo:sli_error:ratio_rate5m{{slo="{NAME}"}}[30d])'})

    def pair(short: str, long: str, burn: str) -> str:
        return " and ".join(f'max(slo:sli_error:ratio_rate{window}{{slo="{NAME}"}} > ({burn} * 0.005)) without (window)'
                            for window in (short, long))

    for severity, first, second in (("page", ("5m", "1h", "14.4"), ("30m", "6h", "6")),
                                    ("ticket", ("2h", "1d", "3"), ("6h", "3d", "1"))):
        rules.append({"alert": f"ByHand{severity.title()}", "expr": f"({pair(*first)}) or ({pair(*second)})",
                      "labels": {"severity": severity}})
    return yaml.safe_dump({"groups": [{"name": "by-hand", "rules": rules}]}, sort_keys=False, width=4096)


QUESTIONS = {
    "before": (f'count_over_time(count(ALERTS{{severity="page",alertstate="firing"}})[{BEFORE}m:1m])', BEFORE),
    "after": (f'count_over_time(count(ALERTS{{severity="page",alertstate="firing"}})[{LENGTH - BEFORE}m:1m])', LENGTH),
    "ratio": (f'count_over_time((slo:sli_error:ratio_rate5m >= 0)[{LENGTH}m:1m])', LENGTH),  # NaN is no ratio
    "period": ("sum(slo:sli_error:ratio_rate30d)", LENGTH),
}


def asked(rules: str, history: History) -> dict[str, float]:
    """What promtool finds at the end of a history; 0 where there is nothing"""
    checks = [{"expr": expression, "eval_time": f"{at}m", "exp_samples": [{"labels": "{}", "value": -1}]}
              for expression, at in QUESTIONS.values()]
    test = {"rule_files": ["rules.yml"], "evaluation_interval": "1m",
            "tests": [{"interval": "1m", "input_series": series(history), "promql_expr_test": checks}]}
    with tempfile.TemporaryDirectory() as name:
        Path(name, "rules.yml").write_text(rules)
        Path(name, "test.yml").write_text(yaml.safe_dump(test, sort_keys=False, width=10**6))
        said = subprocess.run(["promtool", "test", "rules", f"{name}/test.yml"], capture_output=True, text=True)
    got = re.findall(r"got: ?(?:nil|(.*))", said.stdout + said.stderr)
    if len(got) != len(QUESTIONS):
        raise SystemExit(f"promtool did not answer: {(said.stdout + said.stderr)[:2000]}")
    return {question: float(each.rsplit(" ", 1)[1]) if each else 0.0
            for question, each in zip(QUESTIONS, got, strict=True)}


def judged(rules: str, history: History) -> dict[str, float]:
    """Pages that should not have been, pages that were not, minutes in the dark, and how far off the budget is"""
    found = asked(rules, history)
    paged = bool(found["after"])
    truth = sum(history.failures) / max(sum(history.requests), 1) / BUDGET
    told = found["period"] / BUDGET
    counted = sum(any(history.requests[max(at - 5, 0):at]) for at in range(1, LENGTH + 1))
    return {"false": bool(found["before"]) + (paged and not history.due), "missed": history.due and not paged,
            "dark": max(counted - found["ratio"], 0), "off": abs(told - truth)}


def mean(values: list[float], percent: bool) -> str:
    """The mean of what is a number, and how many are none"""
    numbers = [each for each in values if each == each]
    lost = len(values) - len(numbers)
    shown = ("" if not numbers else f"{100 * sum(numbers) / len(numbers):.0f} %" if percent
             else f"{sum(numbers) / len(numbers):.0f}")
    return shown + (f" ({lost} NaN)" if lost else "")


def rows(seeds: int) -> list[dict]:
    """One row for each kind of history, and one for all"""
    sets = {"by hand": by_hand(), "ours": files(OF.stack)[f"prometheus/rules/slo-{NAME}.yml"]}
    made = {kind: [make(random.Random(f"{kind} {seed}")) for seed in range(seeds)] for kind, make in KINDS.items()}
    jobs = [(kind, name, history) for kind, histories in made.items() for history in histories for name in sets]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: (job[0], job[1], judged(sets[job[1]], job[2])), jobs))
    table = []
    for kind in [*KINDS, "all"]:
        histories = made.get(kind) or [each for found in made.values() for each in found]
        row = {"history": kind, "runs": str(len(histories)), "page due": str(sum(each.due for each in histories))}
        for title, key in (("false pages", "false"), ("missed", "missed")):
            row |= {f"{title}, {name}": str(
                int(sum(each[key] for k, n, each in results if n == name and kind in (k, "all")))) for name in sets}
        for title, key in (("minutes without a ratio", "dark"), ("budget off by", "off")):
            for name in sets:
                row[f"{title}, {name}"] = mean([each[key] for k, n, each in results if n == name
                                                and kind in (k, "all")], key == "off")
        table.append(row)
    return table


def main() -> None:
    """Print the table"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="histories of each kind (default: 3)")
    parser.add_argument("--format", choices=("table", "md", "csv"), default="table")
    options = parser.parse_args()
    if not shutil.which("promtool"):
        sys.exit("promtool is missing; `make tools` installs it")
    print(render(rows(options.seeds), options.format))


if __name__ == "__main__":
    main()
