"""How fast a regional EC2 offer file answers, against the obvious ways, in one run.

    python benchmarks/offer_files.py [--size BYTES] [--runs N] [--format json]

The question: all Linux on-demand prices and all EBS prices of the region. Every way runs in a process of its own and
must give the same
answer. The shortest of the runs counts. Peak memory is the resident set of the process and, where it starts others,
of all together
(each counted whole, so pages that they share count twice). Exit code 1: ours is not the fastest of a form, holds 150
MB or more, or
takes 5 % of the first question or more for a later one.

`find` are `OfferBook.find`: the first one, for a volume, makes the index; then in the same process one for an
instance; then that in a
new process, whose time contains the import of the package. `again` is the question above in a new process. The limit
of 5 % is for the
second question of a process; the others are shown beside it.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

COLUMNS = ["SKU", "usageType", "Unit", "StartingRange", "EndingRange", "PricePerUnit"]
READ = [*COLUMNS, "TermType", "Operating System"]
LIMIT_MB, LIMIT_LATER = 150, 0.05
Answer = Iterable[tuple]


def ours(path: str) -> Answer:
    """Our own way"""
    from pretamane_analysis.prices.offer_book import matching

    found = matching(path, {"operatingSystem": "Linux"}, {"usagetype": "*EBS:*"}, whole=False)
    return [(row.sku, row.usage_type, row.unit, row.begin_range, row.end_range, row.usd) for row in found]


def find(path: str, *questions: tuple[str, str]) -> Answer:
    """Prices through one price book, each with the seconds that it took"""
    from pretamane_analysis.prices.book import Query
    from pretamane_analysis.prices.offer_book import OfferBook

    book, found = OfferBook(place=path), []
    for usage_type, unit in questions:
        begin = time.perf_counter()
        price = book.find(Query("AmazonEC2", usage_type, unit, "sa-east-1"))
        found.append((price.sku, str(price.tiers[0].usd), str(time.perf_counter() - begin)))
    return found


def of_products(products: Iterable[tuple[str, dict]], terms: Callable[[], Iterable[tuple[str, dict]]]) -> Answer:
    """The answer from parsed JSON"""
    wanted = {sku: each["attributes"]["usagetype"] for sku, each in products
              if each["attributes"].get("operatingSystem") == "Linux" or "EBS:" in each["attributes"]["usagetype"]}
    return [(sku, wanted[sku], one["unit"], one["beginRange"], one["endRange"], one["pricePerUnit"]["USD"])
            for sku, each in terms()
            if sku in wanted for term in each.values() for one in term["priceDimensions"].values()]


def json_load(path: str) -> Answer:
    """The standard library"""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    return of_products(document["products"].items(), lambda: document["terms"]["OnDemand"].items())


def with_ijson(path: str) -> Answer:
    """Ijson in two passes"""
    import ijson

    with open(path, "rb") as first, open(path, "rb") as second:
        return of_products(ijson.kvitems(first, "products"), lambda: ijson.kvitems(second, "terms.OnDemand"))


def with_pandas(path: str) -> Answer:
    """Pandas, chosen columns; `NA` is a value here"""
    import pandas as pd

    table = pd.read_csv(path, skiprows=5, usecols=READ, dtype=str, keep_default_na=False)
    table = table[(table["TermType"] == "OnDemand")
                  & ((table["Operating System"] == "Linux") | table["usageType"].str.contains("EBS:", regex=False))]
    return table[COLUMNS].itertuples(index=False, name=None)


def with_duckdb(path: str) -> Answer:
    """DuckDB"""
    import duckdb

    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return duckdb.sql(f"""SELECT {names} FROM read_csv('{path}', skip=5, header=true, all_varchar=true)
                          WHERE "TermType" = 'OnDemand'
                          AND ("Operating System" = 'Linux' OR "usageType" LIKE '%EBS:%')""").fetchall()


def with_polars(path: str) -> Answer:
    """Polars, lazy and streaming"""
    import polars as pl

    wanted = (pl.col("Operating System") == "Linux") | pl.col("usageType").str.contains("EBS:", literal=True)
    lazy = pl.scan_csv(path, skip_rows=5,
                       infer_schema=False).filter((pl.col("TermType") == "OnDemand") & wanted).select(COLUMNS)
    return lazy.collect(engine="streaming").rows()


WAYS: dict[str, dict[str, Callable[[str], Answer]]] = {
    "json": {"ours": ours, "json.load": json_load, "ijson": with_ijson},
    "csv": {"ours": ours, "pandas": with_pandas, "DuckDB": with_duckdb, "polars": with_polars},
}
VOLUME, INSTANCE = ("EBS:VolumeUsage.gp3", "GB-Mo"), ("BoxUsage:m8g.2xlarge", "Hrs")
FINDS = {"find two": (VOLUME, INSTANCE), "find one": (INSTANCE,)}


def child(form: str, way: str, path: str) -> None:
    """Answer in this process and print what it took"""
    begin = time.perf_counter()
    found = [tuple(value or "" for value in row) for row in (find(path, *FINDS[way]) if way in FINDS
                                                             else WAYS[form][way](path))]
    seconds = time.perf_counter() - begin
    second = float(found[-1][2]) if way in FINDS else 0
    found = found if way in FINDS else sorted(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    helpers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if helpers and way == "ours":
        from pretamane_analysis.prices.offer_scan_csv import MOST_PROCESSES

        helpers *= min(MOST_PROCESSES, len(os.sched_getaffinity(0))) - 1
    digest = hashlib.sha256(repr(found).encode()).hexdigest()
    print(json.dumps({"seconds": seconds, "mb": (peak + helpers) / 1024, "rows": len(found), "digest": digest,
                      "second": second}))


def measure(form: str, way: str, path: Path, cache: str, runs: int) -> dict:
    """The shortest of some runs of one way"""
    environment = {**os.environ, "PRETAMANE_CACHE": cache}
    command = [sys.executable, __file__, "--child", form, way, str(path)]
    found = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)
             for _ in range(runs)]
    return {**min(found, key=lambda each: each["seconds"]), "mb": max(each["mb"] for each in found)}


def compare(form: str, folder: Path, size: int, runs: int) -> tuple[list[dict], list[str]]:
    """All ways of one form: table and complaints"""
    path = folder / f"index.{form}"
    subprocess.run([sys.executable, str(Path(__file__).with_name("offer_generator.py")), form, str(path),
                    str(size)], check=True)
    results: dict[str, dict] = {}
    for _ in range(runs):  # in turns, so that what else the machine does meets every way
        for way in WAYS[form]:
            once = measure(form, way, path, "", 1)
            last = results.get(way, once)
            results[way] = {**min(once, last, key=lambda each: each["seconds"]), "mb": max(once["mb"], last["mb"])}
    complaints = [f"{form}: {way} answers otherwise than ours"
                  for way in results if results[way]["digest"] != results["ours"]["digest"]]
    complaints += [f"{form}: {way} is faster"
                   for way in results if results[way]["seconds"] < results["ours"]["seconds"]]
    cache = str(folder / "cache")
    measure(form, "ours", path, cache, 1)
    results["ours, again"] = measure(form, "ours", path, cache, runs)
    two = measure(form, "find two", path, cache, 1)
    results["ours, find first"] = {**two, "rows": 1, "seconds": two["seconds"] - two["second"]}
    results["ours, find second"] = {**two, "rows": 1, "seconds": two["second"]}
    results["ours, find in a new process"] = measure(form, "find one", path, cache, runs)
    later = two["second"] / min(results["ours, find first"]["seconds"], results["ours"]["seconds"])
    complaints += [f"{form}: the second question takes {later:.1%} of the first"] if later >= LIMIT_LATER else []
    complaints += [f"{form}: {way} holds {each['mb']:.0f} MB"
                   for way, each in results.items() if way.startswith("ours") and each["mb"] >= LIMIT_MB]
    one = results["ours"]["seconds"]
    return [{"form": form, "way": way, "seconds": round(each["seconds"], 4), "peak MB": round(each["mb"]),
             "times ours": round(each["seconds"] / one, 3),
             "rows": each["rows"]} for way, each in results.items()], complaints


def main() -> int:
    """Measure, print, and return 1 when a limit is exceeded"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=400_000_000, help="bytes of each generated file")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return 0
    from pretamane_analysis.base.tables import to_table

    table, complaints = [], []
    with tempfile.TemporaryDirectory() as folder:
        for form in WAYS:
            found, bad = compare(form, Path(folder), options.size, options.runs)
            table, complaints = table + found, complaints + bad
    print(json.dumps({"rows": table, "failed": complaints}, indent=1) if options.format == "json" else
          to_table([{key: str(value) for key, value in row.items()} for row in table]))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
