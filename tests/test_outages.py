"""What the loss of a machine or of a zone means, for any way to host any stack."""
from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pretamane_analysis.base.files import data_path
from pretamane_analysis.bill.architectures import architecture
from pretamane_analysis.bill.availability import components, parts_of
from pretamane_analysis.bill.outages import LOSSES, outages
from pretamane_analysis.bill.resilience import survives_machine, survives_zone
from pretamane_analysis.bill.verify import buildable
from pretamane_analysis.cli.main import main
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example, load

HERE = Path(__file__).parent
STACKS = {"example": example(), "saas": load(HERE / "products" / "saas.yaml"),
          "managed": load(HERE / "data" / "managed_shop.yaml"), "vision": load(HERE / "stacks" / "vision.yaml")}


@pytest.mark.parametrize("name", STACKS)
def test_each_part_of_each_way_is_there_or_nothing_was_found(name):
    """Whether all goes on is what the table of ways says; every part that AWS runs has its row, or is named as one of
    which nothing was found; nothing has a time without a source"""
    stack = STACKS[name]
    for way in buildable(stack):
        chosen = architecture(way, stack, bundled())
        found = outages(chosen, stack)
        if not parts_of(chosen, stack):
            assert not found
            continue
        for lost, verdict in zip(LOSSES, (survives_machine(chosen), survives_zone(chosen)), strict=True):
            rows = [each for each in found if each.lost == lost]
            assert rows[0].part == "all of it" and rows[0].effect.startswith(
                {True: "goes on", False: "stops: ", None: "not said"}[verdict.yes])
            named = ", ".join(each.part for each in rows)
            assert all(each.title in named for each in parts_of(chosen, stack)
                       if not each.key.startswith(("ec2-", "ebs-")))
        assert all(each.source for each in found if each.back_in)


def test_the_file_names_parts_that_are_known():
    """Each row is of a part with an availability, once, and says where it stands"""
    rows = list(csv.DictReader(data_path("outages.csv").read_text(encoding="utf-8").splitlines()))
    assert len({(row["part"], row["lost"]) for row in rows}) == len(rows)
    assert all(row["part"] in components() and row["lost"] in LOSSES and row["source"] and None not in row
               for row in rows)


def test_the_verb_shows_the_managed_side_beside_the_others(capsys):
    """The pair, Kubernetes and the managed side in one table, and in the document"""
    assert main(["options", "--outages", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["outages"]
    ways = {row["architecture"] for row in rows}
    assert {"eks", "eks-open-source", "ec2-pair", "ec2-managed", "ec2"} <= ways
    assert main(["options"]) == 0 and "a zone" not in capsys.readouterr().out
