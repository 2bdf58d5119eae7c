"""Bills for many cases of usage, against the exact bill in a loop and against a formula written by hand.

    python benchmarks/many_bills.py [CASES]

CASES is a power of two (1,048,576 unless given). All run in this process on one core and on the example stack; the
formula by hand is that of its bill on EKS, so that all three must agree to a billionth. `ranges` is then measured as a
whole, with drawing, both bills and percentiles, in processes of their own: for CASES, and for sixteen times as many.
Exit code 1 when a million bills take more than a second, when the formula by hand is more than twice as fast, when the
amounts differ, or when sixteen times the cases need more than 1.2 times the memory.
"""
from __future__ import annotations

import subprocess
import sys
import time
from decimal import Decimal

import numpy as np

from pretamane_analysis.base.tables import to_table
from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.break_even import FINEST
from pretamane_analysis.bill.ranges import open_fields, points
from pretamane_analysis.bill.surface import CHUNK, Surface, with_usage
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example

FEWEST, SLOWEST, LARGEST, ONE_BY_ONE = 1_000_000, 2.0, 1.2, 20
RANGES = """import re, time
from pathlib import Path
from pretamane_analysis.bill.break_even import FINEST
from pretamane_analysis.bill.ranges import ranges
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example
ranges(example(), bundled(), cases={cases}).rows()
print(time.process_time(), int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)"""


def by_hand(c: dict[str, np.ndarray]) -> np.ndarray:
    """The example's bill on EKS in us-east-1 at the rates of the snapshot, as one would write it in NumPy"""
    requests, egress, logs = c["requests"], c["egress_gb"], c["log_gb"]
    balancer = np.maximum(egress, requests / 2.628e6 * 730 / 25)
    fixed = 73 + 2190 * 0.0416 + 4.8 + 730 * 0.0225 + 730 * 0.045 + 10.95 + 0.5 + 1460 * 0.036 + 0.4
    return (fixed + 0.008 * balancer + 0.045 * (logs + 3 * c["image_gb"])
            + 0.01 * np.maximum(2 * c["cross_zone_gb"] - 1, 0) + 0.1 * c["image_gb"]
            + 0.09 * np.maximum(egress - 100, 0) + 4e-8 * requests + 1e-4 * c["emails"]
            + requests * (6.25e-7 * c["database_writes_per_request"] + 1.25e-7 * c["database_reads_per_request"]
                          + 5e-6 * c["object_writes_per_request"] + 4e-7 * c["object_reads_per_request"])
            + 0.25 * np.maximum(c["database_gb"] - 25, 0) + 0.023 * (c["stored_gb"] + c["audit_gb"])
            + 5e-6 * c["audit_writes"]
            + 0.122 * 2 * np.maximum(np.ceil(1.45 * c["index_gb"]), 20) + 0.53 * np.maximum(logs - 5, 0)
            + 0.3 * np.maximum(c["metrics"] - 10, 0) + 0.1 * np.maximum(c["alarms"] - 10, 0))


def exactly(columns: dict[str, np.ndarray], at: int) -> float:
    """The bill of one case, as `pretamane cost` makes it"""
    here = with_usage(STACK, {key: Decimal(float(each[at])).quantize(FINEST) for key, each in columns.items()})
    return float(bill_of(architecture("eks", here, BOOK), here, BOOK).total)


def in_chunks(columns: dict[str, np.ndarray]) -> np.ndarray:
    """The formula by hand over rows that fit the cache, as ours goes over them"""
    size = len(columns["requests"])
    return np.concatenate([by_hand({key: each[at:at + CHUNK] for key, each in columns.items()})
                           for at in range(0, size, CHUNK)])


def best(work: object, times: int = 3) -> float:
    """Seconds of processor of the fastest of several runs"""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work()  # type: ignore[operator]
        taken.append(time.process_time() - start)
    return min(taken)


def whole(cases: int) -> tuple[float, float]:
    """Seconds of processor and peak MB of `ranges` in a process of its own: Linux's count since its start, because
    that of `getrusage` begins with what the parent had"""
    done = subprocess.run([sys.executable, "-c", RANGES.format(cases=cases)], capture_output=True, text=True,
                          check=True)
    taken, peak = map(float, done.stdout.split())
    return taken, peak


STACK, BOOK = example(), bundled()


def main() -> int:
    """Measure, print, judge"""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 1 << 20
    columns = points(STACK, cases, 0)
    bounds = {name: (low, high) for name, (low, _, high) in open_fields(STACK).items()}
    made = time.process_time()
    surface = Surface(STACK, BOOK, "eks", bounds)
    ours = surface.at(columns)
    made = time.process_time() - made
    one = best(lambda: [exactly(columns, at) for at in range(ONE_BY_ONE)], 1) / ONE_BY_ONE
    many, hand = best(lambda: surface.at(columns)) / cases, best(lambda: in_chunks(columns)) / cases
    off = max(abs(ours / in_chunks(columns) - 1).max(), *(abs(ours[at] / exactly(columns, at) - 1) for at in range(5)))
    (few_s, few_mb), (more_s, more_mb) = whole(cases), whole(16 * cases)
    rows = [{"what": what, "bills a second of one core": f"{1 / each:,.0f}", "times the loop": f"{one / each:,.0f}"}
            for what, each in (("the exact bill in a loop", one), ("all at once, of the same code", many),
                               ("NumPy by hand", hand))]
    print(to_table(rows))
    print(f"\n{made:.1f} s once, to write the formula down with the first {cases:,}; by hand is {many / hand:.2f} "
          f"times as fast (limit {SLOWEST}); largest difference of all three {off:.0e}\n")
    print(to_table([{"ranges, both bills, with drawing": f"{count:,} cases", "s of processor": f"{taken:.1f}",
                     "peak MB": f"{size:.0f}"}
                    for count, taken, size in ((cases, few_s, few_mb), (16 * cases, more_s, more_mb))]))
    fine = 1 / many >= FEWEST and many <= SLOWEST * hand and off < 1e-9 and more_mb <= LARGEST * few_mb
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
