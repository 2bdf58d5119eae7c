"""Build the bundled price snapshot from a folder of raw price facts.

Usage: python tools/build_snapshot.py FACTS_DIR [--out pretamane_analysis/data]

The output depends on the input alone: two runs give the same bytes.
"""
import argparse
import gzip
import hashlib
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from snapshot_commitments import add_commitments
from snapshot_common import COLUMNS, UNITS, SnapshotError, read_facts, write_csv
from snapshot_offers import read_offers
from snapshot_rows import (
    Result,
    add_fargate,
    add_one_rates,
    keep_facts,
    resolve_collisions,
    sort_rows,
)
from snapshot_rules import LATE_REASONS, REASONS, RULES
from snapshot_sources import SOURCE_IDS
from snapshot_tables import (
    ALLOWANCE_COLUMNS,
    INSTANCE_COLUMNS,
    VERSION_COLUMNS,
    allowance_rows,
    instance_rows,
    version_rows,
)

FORMAT = 3
OWN = Path(__file__).parent / "read_facts.csv"  # rates that were looked up for holes in the gathered facts
LIMITS = Path(__file__).parent / "instance_limits.csv"  # network and EBS requests of each instance type


def input_files(folder):
    """Return the files of the facts folder that the snapshot is built from."""
    return sorted([*fact_files(folder), *instance_files(folder), *(folder / "offers").glob("*.json"),
                   *(folder / "getproducts").glob("recorded-*.json")])


def fact_files(folder):
    """Return the files of price facts that are there: the first must be, then those of later gatherings."""
    return [folder / "prices.csv", *sorted(folder.glob("prices_*.csv")), *sorted(folder.glob("candidates_*.csv"))]


def instance_files(folder):
    """Return the files of instance types: the first must be there, then those of later gatherings."""
    return [folder / "instances.csv", *sorted(folder.glob("instances_*.csv"))]


def digests(folder):
    """Return the sha256 of every input file by its name inside the folder."""
    named = {path.relative_to(folder).as_posix(): path for path in input_files(folder)} | {
        f"tools/{path.name}": path for path in (OWN, LIMITS)}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in named.items()}


def build_rows(folder):
    """Return the raw facts and the rows made of them."""
    facts = [fact for path in (*fact_files(folder), OWN) for fact in read_facts(path)]
    result = Result()
    keep_facts(facts, read_offers(folder), result)
    add_one_rates(result)
    add_fargate(result)
    resolve_collisions(result)
    add_commitments(result)
    sort_rows(result)
    expected = len(facts) - sum(result.excluded.values()) + sum(result.added.values())
    if expected != len(result.rows):
        raise SnapshotError(f"{len(result.rows)} rows were made where {expected} are expected")
    return facts, result


def services(rows):
    """Return the regions and the number of rows of every service."""
    found = {}
    for row in rows:
        entry = found.setdefault(row["service_code"], {"regions": set(), "rows": 0})
        entry["regions"].add(row["region"])
        entry["rows"] += 1
    return {code: {"regions": sorted(entry["regions"]), "rows": entry["rows"]}
            for code, entry in sorted(found.items())}


def manifest(folder, facts, result):
    """Describe the snapshot: dates, coverage, counts, rules and inputs."""
    dates = sorted(row["as_of"] for row in result.rows if row["as_of"])
    texts = {reason.id: reason.text for reason in (*REASONS, *LATE_REASONS)}
    return {
        "format": FORMAT, "as_of": dates[-1], "oldest": dates[0],
        "services": services(result.rows),
        "facts": {"rows": len(facts),
                  "by_confidence": dict(Counter(fact.confidence for fact in facts))},
        "kept": {"rows": len(result.rows),
                 "by_confidence": dict(Counter(row["confidence"] for row in result.rows))},
        "excluded": {"rows": sum(result.excluded.values()),
                     "by_confidence": dict(result.excluded_confidence),
                     "by_reason": {reason: {"rows": count, "text": texts[reason]}
                                   for reason, count in result.excluded.items()}},
        "added": {"rows": sum(result.added.values()), "by_rule": dict(result.added)},
        "rules": {rule.id: {"text": rule.text, "publication": rule.publication}
                  for rule in RULES},
        "units": UNITS,
        "inputs": digests(folder),
    }


def write_prices(out, rows):
    """Write one compressed CSV file for each service and region; the header of gzip holds no date."""
    shutil.rmtree(out / "prices", ignore_errors=True)
    groups = {}
    for row in rows:
        groups.setdefault((row["service_code"], row["region"]), []).append(
            {column: row[column] for column in COLUMNS})
    for (service_code, region), group in groups.items():
        path = out / "prices" / service_code / f"{region}.csv"
        write_csv(path, COLUMNS, group)
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
        path.unlink()


def write_sources(out, rows):
    """Write the citation of every source in use."""
    citations = {}
    for citation, identifier in SOURCE_IDS.items():
        if citations.setdefault(identifier, citation) != citation:
            raise SnapshotError(f"two sources have the id {identifier!r}")
    used = sorted({row["source"] for row in rows})
    write_csv(out / "prices" / "sources.csv", ("id", "citation"),
              [{"id": identifier, "citation": citations[identifier]} for identifier in used])


def build(folder, out):
    """Build the whole snapshot and return its manifest."""
    facts, result = build_rows(folder)
    instances, allowances = instance_rows(instance_files(folder), LIMITS), allowance_rows(folder)
    summary = manifest(folder, facts, result)
    write_prices(out, result.rows)
    write_sources(out, result.rows)
    text = json.dumps(summary, indent=2, sort_keys=True) + "\n"
    (out / "prices" / "manifest.json").write_text(text, encoding="utf-8", newline="\n")
    write_csv(out / "instances.csv", INSTANCE_COLUMNS, instances)
    write_csv(out / "eks_versions.csv", VERSION_COLUMNS, version_rows())
    write_csv(out / "allowances.csv", ALLOWANCE_COLUMNS, allowances)
    return summary


def report(summary):
    """Print what was kept and what was not."""
    for name in ("facts", "kept", "excluded"):
        counts = sorted(summary[name]["by_confidence"].items())
        print(f"{name}: {summary[name]['rows']} rows", *(f"{key} {n}" for key, n in counts),
              sep="  ")
    for reason, entry in sorted(summary["excluded"]["by_reason"].items()):
        print(f"  excluded {entry['rows']:5}  {reason}: {entry['text']}")
    for rule, count in sorted(summary["added"]["by_rule"].items()):
        print(f"  added    {count:5}  {rule}")


def main(arguments=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facts", type=Path, help="folder with prices.csv, instances.csv, offers/")
    parser.add_argument("--out", type=Path, default=Path("pretamane_analysis/data"))
    options = parser.parse_args(arguments)
    try:
        report(build(options.facts, options.out))
    except (SnapshotError, OSError, json.JSONDecodeError) as error:
        print(f"build_snapshot: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
