"""All ways to host a stack: the example and the guides' stacks through every verb, and what each way is."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from test_coverage import guide_stacks

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import TITLES, architecture, bill_of, names_for
from pretamane_analysis.bill.compare import compare, document, no_migration
from pretamane_analysis.bill.optimized import without_arm64, without_standby
from pretamane_analysis.bill.options import options
from pretamane_analysis.bill.own_stack import CHECKS
from pretamane_analysis.bill.resilience import survives_machine, survives_zone
from pretamane_analysis.bill.sides import parity_rows, side
from pretamane_analysis.bill.sizing import needs
from pretamane_analysis.cli.main import main
from pretamane_analysis.draw import draw
from pretamane_analysis.facts.known_images import arm64_source, known_images
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.resources import (
    DbInstance,
    FargateTasks,
    LoadBalancer,
    NatGateway,
    NodeGroup,
    SearchDomain,
    Volume,
)
from pretamane_analysis.stack.stack import dump, example, loads

BOOK, EXAMPLE = bundled(), example()
STACKS = guide_stacks()
PAIRS = [(stack, name) for stack in STACKS for name in names_for(STACKS[stack])]


def cannot(stack, name):
    """Whether a way cannot run a stack: Fargate has no GPUs"""
    return name == "ecs-fargate" and any(each.gpus for each in STACKS[stack].services.values())


@pytest.mark.parametrize(("stack", "name"), PAIRS)
def test_every_way_is_priced_drawn_and_compared(stack, name):
    """A bill whose lines say their SKU or source, a drawing, parity rows; or a message that says what is lacking"""
    one = STACKS[stack]
    if cannot(stack, name):
        with pytest.raises(PretamaneError, match="Fargate has no GPUs"):
            architecture(name, one, BOOK)
        return
    chosen = architecture(name, one, BOOK)
    priced = bill_of(chosen, one, BOOK)
    assert chosen.title == (one.as_is.title if name == "as-is" else TITLES[name])
    assert all(line.sku or line.source for line in priced.lines if line.cost)
    assert all(line.note for line in priced.lines if line.tier == "free")
    assert len(chosen.assumptions) > 0 and draw.dot(chosen, one).startswith("digraph")
    first, second = side(name, one, BOOK), side("ec2", one, BOOK)
    assert all(row["baseline"] and row["alternative"] for row in parity_rows(first, second, one))


@pytest.mark.parametrize("name", STACKS)
def test_every_verb_answers(name, tmp_path, capsys):
    """The table of options, a comparison, sizes, a check of the file, the files of the host and their check"""
    place = tmp_path / "stack.yaml"
    place.write_text(dump(STACKS[name]))
    file = ["--stack", str(place)]
    for verb in (
        ["options", *file],
        ["options", *file, "--format", "md"],
        ["options", *file, "--format", "csv"],
        ["size", *file],
        ["compare", *file],
        ["stack", "check", str(place)],
        ["prices", "coverage", *file, "--region", "us-east-1"],
    ):
        assert main(verb) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["options", *file, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["options"]
    assert {row["architecture"] for row in rows} == {*names_for(STACKS[name])}
    assert all(bool(row["usd"]) != bool(row["lacks"]) for row in rows)
    if not name.startswith(("your-stack", "example")):
        assert main(["emit", str(tmp_path / "tree"), *file]) == 0
        assert main(["check", "--no-tools", str(tmp_path / "tree")]) in (0, 1)


@pytest.mark.parametrize("name", [each for each in STACKS if each.split()[0] in ("gpu", "saas", "static-site")])
def test_report_audit_and_objectives_of_a_guide(name, tmp_path, capsys):
    """The verbs that take longest: a report with all ways and the guide's own services, an audit, an error budget"""
    place, claim = tmp_path / "stack.yaml", Path(__file__).parent / "data" / "claims" / "vps.yaml"
    place.write_text(dump(STACKS[name]))
    file = ["--stack", str(place)]
    assert main(["report", *file, "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    said = (tmp_path / "out" / "report.md").read_text() + (tmp_path / "out" / "index.html").read_text()
    assert all(each in said for each in (STACKS[name].name, "All ways to host it", *STACKS[name].services))
    assert "OpenSearch" not in said and "90.9 %" not in said
    capsys.readouterr()
    assert main(["audit", *file, "--claim", str(claim)]) == 1 and "78 % can be defended" in capsys.readouterr().out
    assert main(["slo", *file]) == 2 and "Add an objective" in capsys.readouterr().err
    place.write_text(place.read_text() + "slos: {availability: {objective: 99.5}}\n")
    assert main(["slo", *file]) == 0 and "99.5" in capsys.readouterr().out


def test_a_machine_can_be_lost():
    """Two of three hosts, or one of two, hold every service; their data is there twice; one host is one host"""
    for name in ("ec2-pair", "k3s"):
        chosen = architecture(name, EXAMPLE, BOOK)
        left = chosen.capacity.usable_mib * (chosen.capacity.machines - 1) // chosen.capacity.machines
        assert left >= needs(EXAMPLE, chosen.on_machines).memory_mib and survives_zone(chosen).yes
        assert any(isinstance(each, LoadBalancer) for each in chosen.resources)
        assert (
            next(each for each in chosen.resources if isinstance(each, Volume) and each.name == "data disks").count > 1
        )
    assert survives_machine(architecture("ec2", EXAMPLE, BOOK)).yes is False


def test_optimized_is_cheaper_and_says_what_it_changed():
    """No NAT gateway, a plan, one zone for data; what needs no migration is said, and is part of the saving"""
    chosen = architecture("eks-optimized", EXAMPLE, BOOK)
    assert not any(isinstance(each, NatGateway) for each in chosen.resources)
    assert all(each.purchase_option != "OnDemand" for each in chosen.resources if isinstance(each, NodeGroup))
    assert [each.count for each in chosen.resources if isinstance(each, SearchDomain)] == [1]
    found = compare(EXAMPLE, BOOK)
    shown = document(found)["without_migration"]
    assert 0 < shown["usd"] < found.saving.usd and "need no migration" in no_migration(found)
    assert (
        no_migration(compare(EXAMPLE, BOOK, "ec2", "eks")) == ""
        and document(compare(EXAMPLE, BOOK, "eks", "eks-open-source"))["without_migration"] == {}
    )


def test_graviton_only_where_every_image_is_known_to_have_it():
    """An image of one's own keeps x86_64 nodes and is named; `architecture: arm64` says that there is a build"""
    text = """name: a
services:
  web: {image: "me/web:1.0", memory: 64Mi}
  db: {image: "postgres:17.11", role: database, memory: 64Mi}
"""
    assert without_arm64(loads(text), ("web", "db")) == ("me/web:1.0",)
    assert without_arm64(loads(text + "eks: {architecture: arm64}\n"), ("web", "db")) == ()
    said = architecture("eks-optimized", loads(text), BOOK)
    assert "no arm64 build is known of me/web:1.0" in said.assumptions[0]


def test_builds_for_arm64_say_where_they_are_published():
    """Facts with a source, by the exact repository; what nobody has checked is said in the answer"""
    known = {each.image: each.arm64 for each in known_images() if each.arm64}
    assert len(known) > 60 and all(each == "unchecked" or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{8}:\S+", each)
                                   for each in known.values())
    assert sum(each == "unchecked" for each in known.values()) < len(known) / 3
    assert arm64_source("postgres:17.11") and not arm64_source("ghcr.io/me/postgres:1")
    text = 'name: a\nservices: {%s: {image: "%s", memory: 64Mi, role: %s}}\n'
    for name, image, role, said in (("web", "nginx:1.29.3", "application", "arm64 build: Graviton nodes"),
                                    ("vectors", "qdrant/qdrant:v1.15.5", "vector-database",
                                     "Graviton nodes (from memory for qdrant/qdrant)")):
        assert architecture("eks-optimized", loads(text % (name, image, role)), BOOK).assumptions[0].endswith(said)


def test_nats_is_not_asked_by_http(tmp_path):
    """What speaks no HTTP is asked on its port: a queue, a cache, a mail relay; the known ones by their own program"""
    place = tmp_path / "stack.yaml"
    assert main(["stack", "init", "--name", "a", "--out", str(place), "--service", "bus=nats:2.12.1-alpine",
                 "--service", "api=me/api:1.0", "--service", "db=cockroachdb/cockroach:v25.3.0"]) == 0
    found = loads(place.read_text()).services
    assert found["bus"].health_check.test == ["CMD", "nc", "-z", "127.0.0.1", "4222"]
    assert found["api"].health_check.test[1] == "wget" and found["db"].health_check.test[1] == "nc"


def test_a_standby_goes_where_the_other_side_has_none():
    """Multi-AZ becomes one zone, two search nodes one with half of the disks"""
    assert not without_standby(DbInstance(instance_type="db.t4g.micro", multi_az=True)).multi_az
    domain = without_standby(SearchDomain(instance_type="t3.small.search", count=2, disk_gb=Decimal(40)))
    assert (domain.count, domain.disk_gb) == (1, 20)


def test_tasks_have_a_size_that_fargate_sells():
    """A task has at least what its service keeps; replicas are so many tasks"""
    text = "name: a\nservices: {web: {image: 'me/web:1.0', memory: 3Gi, cpu: 0.25, replicas: 3}}\n"
    task = next(
        each for each in architecture("ecs-fargate", loads(text), BOOK).resources if isinstance(each, FargateTasks)
    )
    assert (task.vcpu, task.memory_gb, task.task_hours) == (Decimal("0.5"), 3, 2190)


def test_a_way_without_a_price_keeps_its_row():
    """Where a region lacks a price, the row says which; the others have theirs"""
    rows = {each.name: each for each in options(EXAMPLE.model_copy(update={"region": "us-west-1"}), BOOK)}
    assert all(bool(each.side) != bool(each.lacks) for each in rows.values())
    assert rows["ec2"].side or "no price" in rows["ec2"].lacks


HOURS = """name: a
services: {web: {image: "me/web:1.0", memory: 64Mi}}
work_hours: {host: 3, source: time sheets of 2026}
"""


def test_hours_of_work_can_be_the_readers_own(tmp_path, capsys):
    """A host of 3 hours in every row with hosts, the rest as assumed; table, JSON and parity say whose they are"""
    place = tmp_path / "stack.yaml"
    place.write_text(HOURS)
    assert main(["options", "--stack", str(place), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hours_of_work"]["a host"] == "3" and found["hours_of_work"]["source"] == "time sheets of 2026"
    hours = {row["architecture"]: Decimal(row["hours_of_work"]) for row in found["options"]}
    assert (hours["ec2"], hours["ec2-pair"], hours["eks"]) == (3, 6, 5)
    assert main(["options", "--stack", str(place)]) == 0
    assert "are yours (time sheets of 2026)" in capsys.readouterr().out
    assert loads(dump(loads(HOURS))).work_hours.host == 3


@pytest.mark.parametrize(("wrong", "said"), [
    ("{host: 3}", "stack.yaml:3: work_hours.source: say where the hours come from"),
    ("{hosts: 3, source: a}", "stack.yaml:3: work_hours.hosts: unknown key. Did you mean 'host'?"),
    ("{host: -1, source: a}", "stack.yaml:3: work_hours.host"),
    ("{host: 900, source: a}", "stack.yaml:3: work_hours.host"),
])
def test_bad_hours_of_work(wrong, said):
    """File, line and key"""
    with pytest.raises(PretamaneError) as caught:
        loads(HOURS.replace("{host: 3, source: time sheets of 2026}", wrong))
    assert said in str(caught.value)


# A first stack file

PRODUCTS = {
    "saas": [
        "--service",
        "web=ghcr.io/shop/web:4.2.0",
        "--service",
        "mail-worker=ghcr.io/shop/web:4.2.0",
        "--service",
        "postgres=postgres:17.11",
        "--service",
        "redis=redis:8.4.0",
        "--region",
        "eu-west-1",
        "--egress",
        "250",
    ],
    "shop": [
        "--service",
        "site=nginx:1.29.3",
        "--service",
        "api=ghcr.io/x/api:1.2",
        "--service",
        "files=pgsty/silo:RELEASE.2026-09-16T00-00-00Z",
        "--service",
        "find=getmeili/meilisearch:v1.53.1",
        "--service",
        "mq=rabbitmq:4.2.0",
    ],
    "one": ["--service", "app=ghcr.io/me/app:1.0.0"],
}


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_first_file_works(product, tmp_path, capsys):
    """It loads, is priced and compared, its files are emitted, and the check finds nothing; guesses say so"""
    place = tmp_path / "stack.yaml"
    assert main(["stack", "init", "--name", product, "--out", str(place), *PRODUCTS[product]]) == 0
    text = place.read_text()
    assert f"name: {product}\n" in text and text.count("# guessed") > 5
    assert ("egress_gb: 250\n" in text) == (product == "saas") and loads(text, str(place), CHECKS)
    for verb in (
        ["stack", "check", str(place)],
        ["cost", "--stack", str(place)],
        ["compare", "--stack", str(place)],
        ["emit", str(tmp_path / "tree"), "--stack", str(place)],
        ["check", "--no-tools", str(tmp_path / "tree")],
    ):
        assert main(verb) == 0, capsys.readouterr()


def test_a_file_that_is_there_stays(tmp_path, capsys):
    """Without --force nothing is written; with it the file is replaced"""
    place = tmp_path / "stack.yaml"
    place.write_text("mine")
    asked = ["stack", "init", "--out", str(place), *PRODUCTS["one"]]
    assert main(asked) == 2 and place.read_text() == "mine" and "--force" in capsys.readouterr().err
    assert main([*asked, "--force"]) == 0 and "app:" in place.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no service was named"),
        (["--service", "web"], "NAME=IMAGE is expected"),
        (["--service", "Web=a:1.0"], "NAME=IMAGE is expected"),
        (["--service", "web=me/web"], "names no fixed version"),
        (["--service", "s3=minio/minio:x"], "pgsty/silo"),
        (["--service", "web=me/web:1.0", "--requests", "many"], "a number of 0 or more"),
        (["--service", "web=me/web:1.0", "--region", "eu-west-99"], "Did you mean"),
    ],
)
def test_bad_answers_write_nothing(words, said, tmp_path, capsys):
    """What cannot be is said with its option, and no file is there"""
    place = tmp_path / "stack.yaml"
    assert main(["stack", "init", "--out", str(place), *words]) == 2
    assert said in capsys.readouterr().err and not place.exists()


def test_it_asks_on_a_terminal(tmp_path):
    """Somebody at a terminal is asked for services, region and figures; an empty answer takes the usual one"""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "pretamane_analysis", "stack", "init", "--out", str(tmp_path / "stack.yaml")],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
        env=os.environ,
    ) as run:
        os.write(ours, b"web=ghcr.io/me/web:1.0.0\n\neu-west-1\n5000\n\n\n")
        said = run.communicate(timeout=60)[0].decode()
    text = (tmp_path / "stack.yaml").read_text()
    assert run.returncode == 0 and "Requests a month" in said
    assert "requests: 5000\n" in text and "region: eu-west-1\n" in text and "egress_gb: 100  # guessed" in text
