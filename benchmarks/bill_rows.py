"""Reading a large Cost and Usage Report, against DuckDB doing a bare sum over the same file.

    python benchmarks/bill_rows.py [ROWS]

A report of ROWS rows (200,000 unless given) is made with DuckDB: 40 columns, hourly, 3,000 resources, 60 kinds of line.
Both run in processes of their own; the ratio of their times and the peak of memory are printed. Exit code 1 when
reading takes more than three times as long as the bare sum, or more than 2 GB.
"""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pretamane_analysis.base.tables import to_table

SLOWEST, LARGEST_GB = 3, 2
NAMES = """
identity/LineItemId identity/TimeInterval bill/InvoiceId bill/BillingEntity bill/BillType bill/PayerAccountId
bill/BillingPeriodStartDate bill/BillingPeriodEndDate lineItem/UsageAccountId lineItem/LineItemType
lineItem/UsageStartDate lineItem/UsageEndDate lineItem/ProductCode lineItem/UsageType lineItem/Operation
lineItem/AvailabilityZone lineItem/ResourceId lineItem/UsageAmount lineItem/CurrencyCode lineItem/UnblendedRate
lineItem/UnblendedCost lineItem/BlendedRate lineItem/BlendedCost lineItem/LineItemDescription pricing/unit
pricing/publicOnDemandCost pricing/publicOnDemandRate pricing/term product/ProductName product/region product/sku
product/instanceType product/operatingSystem product/tenancy product/vcpu product/memory product/servicecode
resourceTags/user:Name resourceTags/user:team resourceTags/user:environment
""".split()
VALUES = """md5(i::VARCHAR), strftime(h, '%Y-%m-%dT%H:%M:%SZ/') || strftime(h + INTERVAL 1 HOUR,
 '%Y-%m-%dT%H:%M:%SZ'), '1', 'AWS', 'Anniversary', '111122223333', '2026-09-01T00:00:00Z',
 '2026-10-01T00:00:00Z', '111122223333', 'Usage', strftime(h, '%Y-%m-%dT%H:%M:%SZ'),
 strftime(h + INTERVAL 1 HOUR, '%Y-%m-%dT%H:%M:%SZ'), 'AmazonEC2', 'BoxUsage:t3.' || size, 'RunInstances',
 'us-east-1a', 'i-' || lpad(((i * 7919) % 3000)::VARCHAR, 17, '0'), '1.0', 'USD', '0.0832', '0.0832',
 '0.0832', '0.0832', '$0.0832 per On Demand Linux Instance Hour', 'Hrs', '0.0832', '0.0832', 'OnDemand',
 'Amazon Elastic Compute Cloud', 'us-east-1', 'ABCDEFGH', 't3.' || size, 'Linux', 'Shared', '2', '8 GiB',
 'AmazonEC2', 'node ' || i % 3000, 'team ' || i % 12, 'production'"""
SOURCE = """(SELECT i, TIMESTAMP '2026-09-01' + INTERVAL (i % 720) HOUR AS h,
 ['nano', 'micro', 'small', 'medium', 'large', 'xlarge', '2xlarge'][i % 7 + 1] ||
 (CASE WHEN i % 60 > 6 THEN '.' || i % 60 ELSE '' END) AS size
 FROM range({rows}) t(i))"""
BARE = """import duckdb
con = duckdb.connect(config={{"threads": 2}})
asked = "SELECT \\"lineItem/UsageType\\", sum(\\"lineItem/UnblendedCost\\") FROM '{path}' GROUP BY 1"
print(con.execute(asked).fetchall()[:1])"""
OURS = """from pretamane_analysis.intake.read_bill import read_bill
print(read_bill('{path}').totals()["usage"])"""


def made(path: Path, rows: int) -> None:
    """Write a report of so many rows"""
    import duckdb

    names = ", ".join(f'v{n} AS "{name}"' for n, name in enumerate(NAMES))
    fields = ", ".join(f"v{n} := {value}" for n, value in enumerate(split(VALUES)))
    inner = f"SELECT unnest([struct_pack({fields})], recursive := true)"
    duckdb.sql(f"COPY (SELECT {names} FROM ({inner} FROM {SOURCE.format(rows=rows)})) TO '{path}' (FORMAT csv, HEADER)")


def split(text: str) -> list[str]:
    """The expressions of a list, parted at commas outside brackets and strings"""
    parts, depth, quoted = [""], 0, False
    for sign in text:
        quoted ^= sign == "'"
        depth += 0 if quoted else (sign in "([") - (sign in ")]")
        if sign == "," and not quoted and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [" ".join(each.split()) for each in parts]


def measured(code: str) -> tuple[float, float]:
    """Run code in a process of its own; return its seconds and its peak of memory in GB"""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise SystemExit(f"failed: {code}")
    return time.perf_counter() - start, used.ru_maxrss / 1024**2 * (1 if sys.platform != "darwin" else 1 / 1024)


def main() -> int:
    """Print the table; exit code 1 when a limit is exceeded"""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.csv")
        made(path, rows)
        size = path.stat().st_size / 1e9
        (bare, bare_gb), (ours, ours_gb) = measured(BARE.format(path=path)), measured(OURS.format(path=path))
    print(f"{rows:,} rows of {len(NAMES)} columns, {size:.2f} GB of CSV\n")
    measures = (("DuckDB, SELECT usage type, sum(cost)", bare, bare_gb), ("pretamane bill read", ours, ours_gb))
    print(to_table([{"what": name, "s": f"{seconds:.1f}", "peak GB": f"{peak:.2f}", "ratio": f"{seconds / bare:.1f}"}
                    for name, seconds, peak in measures]))
    return int(ours > SLOWEST * bare and ours > 5 or ours_gb > LARGEST_GB)


if __name__ == "__main__":
    sys.exit(main())
