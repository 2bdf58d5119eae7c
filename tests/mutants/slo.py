"""Defects of objectives and their alerts, D53 to D58 and D63: most show only when Prometheus works the rules out.

The mutants of single rules, with the test that notices each, are in tests/test_slo_rules.py; here each defect of the
audit
names the one that makes it.
"""
from __future__ import annotations

from mutants import Files, Mutant, replaced

RULES = "prometheus/rules/slo-availability.yml"
DAMAGED = "behaviour:tests/test_slo_rules.py::test_a_damaged_rule_is_noticed"


def without(path: str):
    """A mutation that leaves a file out"""
    def mutate(files: Files) -> Files:
        assert path in files
        return {name: text for name, text in files.items() if name != path}

    return mutate


MUTANTS = [
    Mutant("D53", "rules of an objective that are named and not there", without(RULES), "X05"),
    Mutant("D53", "an objective's rules under another name",
           replaced("prometheus/prometheus.yml", "rules/slo-availability.yml", "rules/slo-rules.yml"), "X05"),
    Mutant("D55", "an alert without sums, which never fires", None, f"{DAMAGED}[availability: drop the sum of errors]"),
    Mutant("D56", "no ratio without an error", None, f"{DAMAGED}[availability: nothing in place of 0 without errors]"),
    Mutant("D57", "a factor of the wrong size", None, f"{DAMAGED}[availability: a tenth of the factor]"),
    Mutant("D57", "a window of the wrong length", None, f"{DAMAGED}[availability: three days that count one]"),
    Mutant("D57", "a wait on top of the window", None, f"{DAMAGED}[availability: a wait on top of the window]"),
    Mutant("D58", "nobody says that nothing is counted", None, f"{DAMAGED}[availability: no alert without data]"),
    Mutant("D63", "a latency that is not of its threshold", None, f"{DAMAGED}[latency: the next lower bucket]"),
]
