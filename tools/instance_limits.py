"""Gather what each EC2 instance type has for ever of network and EBS requests: the facts in tools/instance_limits.csv.

Usage: python tools/instance_limits.py KARPENTER [--out tools/instance_limits.csv]

Two sources, each of AWS's own: the answers of DescribeInstanceTypes that moto holds (Apache-2.0; taken from 5.2.5), and
AWS's tables of instance types (docs.aws.amazon.com/ec2/latest/instancetypes) as aws/karpenter-provider-aws writes
them down (Apache-2.0; KARPENTER is a copy of pkg/providers/instancetype/zz_generated.bandwidth.go, taken from commit
7f27b4e8 of 2026-08-18). Where they differ the lesser figure stands: of several network cards the API adds up what
they share.
"""
import argparse
import gzip
import json
import re
from importlib.util import find_spec
from pathlib import Path

from snapshot_common import write_csv

COLUMNS = ("instance_type", "network_baseline_mbps", "network_source", "ebs_baseline_iops", "iops_source")


def recorded():
    """Return what moto holds of the API, by instance type."""
    folder = Path(find_spec("moto").submodule_search_locations[0])
    return json.loads(gzip.decompress((folder / "ec2/resources/instance_types.json.gz").read_bytes()))


def of_api(answer):
    """Return Mbit/s of all network cards and requests a second to EBS; None for what an answer does not say."""
    cards = [card.get("BaselineBandwidthInGbps") for card in answer["NetworkInfo"].get("NetworkCards", [])]
    mbps = None if not cards or None in cards else int(round(sum(cards) * 1000, 6))
    return mbps, answer["EbsInfo"].get("EbsOptimizedInfo", {}).get("BaselineIops")


def row_of(name, answer, tabled):
    """Return one row of the facts."""
    mbps, iops = of_api(answer) if answer else (None, None)
    known = [each for each in (mbps, tabled) if each]
    source = "api" if not tabled else "docs" if not mbps else "both" if abs(mbps - tabled) < 0.01 * mbps else "lesser"
    return dict(zip(COLUMNS, (name, min(known) if known else "", source if known else "", iops or "",
                              "api" if iops else "")))


def main(arguments=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("karpenter", type=Path, help="zz_generated.bandwidth.go")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "instance_limits.csv")
    options = parser.parse_args(arguments)
    tables = {name: int(mbps) for name, mbps in re.findall(
        r'^\s*"([\w.-]+)":\s+(\d+),$', options.karpenter.read_text(encoding="utf-8"), re.M)}
    answers = recorded()
    write_csv(options.out, COLUMNS, [row_of(name, answers.get(name), tables.get(name))
                                     for name in sorted(answers.keys() | tables.keys())])


if __name__ == "__main__":
    main()
