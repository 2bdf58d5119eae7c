"""Products with other databases, queues and streams than the example: what replaces their services, what is said."""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.bill import bill, bill_rows
from pretamane_analysis.bill.compare import compare, document
from pretamane_analysis.bill.own_stack import load
from pretamane_analysis.bill.sizing import needs
from pretamane_analysis.cli.main import main
from pretamane_analysis.facts.known_images import known_images, program
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.providers.catalog import capabilities, providers, self_run
from pretamane_analysis.providers.choice import allowed, choices, fitting, gone, role_hints
from pretamane_analysis.providers.replacement import replacements
from pretamane_analysis.resources import (
    KINDS,
    AuroraCluster,
    CacheNodes,
    DbInstance,
    Queue,
    Table,
    Volume,
)
from pretamane_analysis.stack.service import Service
from pretamane_analysis.stack.stack import example, loads

BOOK = bundled()
FOLDER = Path(__file__).parent / "products"
PRODUCTS = {path.stem: load(path) for path in sorted(FOLDER.glob("*.yaml"))}
BY = {
    "saas": "RDS for PostgreSQL; ElastiCache for Redis OSS; ElastiCache for Valkey",
    "django": "RDS for MySQL; Amazon MQ for RabbitMQ; ElastiCache for Memcached",
    "rails": "RDS for PostgreSQL; ElastiCache for Valkey; OpenSearch; S3",
    "events": "MSK; DocumentDB",
    "login": "Cognito; RDS for PostgreSQL",
}
ALL = {each.title for each in providers().values()} - {
    "Elastic Load Balancing",
    "ECR",
    "Route 53",
    "SES",
    "S3",
    "Secrets Manager",
}
SQL = "name: a\nservices:\n  db: {image: 'IMAGE', role: database, memory: MEMORY}\n"


def sql(image="postgres:17.11", memory="1Gi", more=""):
    """A stack with one database"""
    return loads(SQL.replace("IMAGE", image).replace("MEMORY", memory) + more)


# What replaces what


@pytest.mark.parametrize("name", sorted(PRODUCTS))
def test_each_product_sees_its_own_managed_services(name):
    """The managed side of a product is what replaces its services, in the order of the stack"""
    found = [each.choice.provider.title for each in replacements(PRODUCTS[name], BOOK)]
    assert "; ".join(dict.fromkeys(found)) == BY[name]


@pytest.mark.parametrize(
    "role, image, key",
    [
        ("database", "postgres:17", "rds-postgresql"),
        ("database", "bitnami/postgresql:17", "rds-postgresql"),
        ("database", "pgvector/pgvector:pg17", "rds-postgresql"),
        ("database", "mysql:8", "rds-mysql"),
        ("database", "mariadb:11", "rds-mariadb"),
        ("database", "mongo:8", "documentdb"),
        ("database", "amazon/dynamodb-local:3", "dynamodb"),
        ("cache", "redis:8", "elasticache-redis"),
        ("queue", "redis:8", "elasticache-redis"),
        ("cache", "valkey/valkey:8", "elasticache-valkey"),
        ("cache", "memcached:1", "elasticache-memcached"),
        ("queue", "rabbitmq:4", "mq-rabbitmq"),
        ("queue", "softwaremill/elasticmq:1", "sqs"),
        ("stream", "apache/kafka:4", "msk"),
        ("stream", "redpandadata/redpanda:25", "msk"),
        ("search", "getmeili/meilisearch:1", "opensearch"),
        ("search", "elasticsearch:9", "opensearch"),
        ("object-store", "minio/minio:1", "s3"),
        ("identity", "quay.io/keycloak/keycloak:26", "cognito"),
        ("metrics", "prom/prometheus:v3", "cloudwatch"),
        ("database", "neo4j:5", None),
        ("queue", "nats:2", None),
        ("database", "ghcr.io/acme/thing:1", None),
    ],
)
def test_role_and_image_decide(role, image, key):
    """PostgreSQL becomes RDS, MongoDB becomes DocumentDB; what speaks like nothing managed has no replacement"""
    found = fitting(Service(image=image, memory="1Gi", role=role))
    assert (found[0].key if found else None) == key
    assert {each.key for each in found} <= {each.key for each in allowed(Service(image=image, memory="1Gi", role=role))}


def test_workers_stay_on_the_nodes():
    """Applications, workers, jobs and gateways are nobody's managed service"""
    for name, product in PRODUCTS.items():
        stay = {"application", "worker", "scheduler", "gateway"}
        assert not {product.services[each].role for each in gone(product)} & stay, name
    assert gone(PRODUCTS["events"]) == {"kafka", "keeper", "mongo"}


@pytest.mark.parametrize(
    "memory, size",
    [
        ("256Mi", "db.t4g.micro"),
        ("1Gi", "db.t4g.micro"),
        ("1025Mi", "db.t4g.small"),
        ("8Gi", "db.t4g.large"),
        ("9Gi", "db.r6g.large"),
        ("40Gi", "db.r6g.2xlarge"),
    ],
)
def test_the_class_follows_from_memory(memory, size):
    """The smallest class that has at least the service's memory"""
    (found,) = replacements(sql(memory=memory), BOOK)
    assert (
        found.resources[0].instance_type == size and f"{size}: the smallest class that has its {memory}" in found.words
    )


def test_a_class_without_a_price_is_passed_over_and_said():
    """In Paris no db.t4g.small is known: the next one is taken, and the sentence says so"""
    stack = sql(memory="2Gi").model_copy(update={"region": "eu-west-3"})
    (found,) = replacements(stack, BOOK)
    assert found.resources[0].instance_type == "db.t4g.medium"
    assert re.search("no price is known here for (db.t3.small, db.t4g.small|db.t4g.small, db.t3.small)", found.words)


def test_a_region_without_any_price_names_it():
    """No class has a price: the bill says which query has none, not 0 and not another region's"""
    stack = sql().model_copy(update={"region": "ap-east-1"})
    with pytest.raises(PretamaneError, match="AmazonRDS"):
        bill_of(architecture("eks", stack, BOOK), stack, BOOK)


# What a stack chooses


@pytest.mark.parametrize(
    "key, kind",
    [
        ("rds-postgresql", DbInstance),
        ("aurora-postgresql", AuroraCluster),
        ("aurora-serverless-v2", AuroraCluster),
        ("dynamodb", Table),
    ],
)
def test_a_stack_chooses(key, kind):
    """Each of the four ways to have PostgreSQL's data run by AWS"""
    stack = sql(memory="4Gi", more=f"managed: {{db: {key}}}\n")
    (found,) = replacements(stack, BOOK)
    assert isinstance(found.resources[0], kind) and "as the stack says" in found.words
    assert bill_of(architecture("eks", stack, BOOK), stack, BOOK).by()["database"] > 0 or key == "dynamodb"


def test_a_stack_sets_up_what_it_chooses():
    """A standby, another class; `none` keeps the service on the machines, with a disk for its data"""
    stack = sql(
        more="managed: {db: {provider: rds-postgresql, settings: {multi_az: true, instance_type: db.r6g.large}}}\n"
    )
    (one,) = replacements(stack, BOOK)
    assert (one.resources[0].multi_az, one.resources[0].instance_type) == (
        True,
        "db.r6g.large",
    ) and "in one zone" not in one.words
    more = "volumes: {v: {size_gb: 70}}\nmanaged: {db: none}\n"
    stays = loads(SQL.replace("IMAGE", "postgres:17").replace("MEMORY", "1Gi, mounts: [{volume: v, path: /v}]") + more)
    side = architecture("eks", stays, BOOK)
    assert "db" in side.on_machines and any(isinstance(each, Volume) and each.gb == 70 for each in side.resources)


@pytest.mark.parametrize(
    "managed, words",
    [
        (
            "{db: rds-mysql}",
            "stack.yaml:4: managed.db: RDS for MySQL does not replace MongoDB (mongo:8). Known for it: documentdb, ",
        ),
        (
            "{db: documentbd}",
            "stack.yaml:4: managed.db: provider 'documentbd' does not exist. Did you mean 'documentdb'?",
        ),
        ("{bd: documentdb}", "stack.yaml:4: managed.bd: service 'bd' does not exist. Did you mean 'db'?"),
        (
            "{db: {provider: documentdb, settings: {instnces: 2}}}",
            "has no setting 'instnces'. Did you mean 'instances'?",
        ),
        ("{db: {providr: documentdb}}", "Did you mean 'provider'?"),
    ],
)
def test_what_does_not_fit_is_refused(managed, words, tmp_path, capsys):
    """File, line, what is wrong, the nearest fit; exit code 2 and nothing on stdout"""
    (tmp_path / "stack.yaml").write_text(
        SQL.replace("IMAGE", "mongo:8").replace("MEMORY", "1Gi") + f"managed: {managed}\n"
    )
    for verb in (["cost", "--stack"], ["compare", "--stack"], ["stack", "check"], ["size", "--stack"]):
        assert main([*verb, str(tmp_path / "stack.yaml")]) == 2
        said = capsys.readouterr()
        assert words in said.err.replace(str(tmp_path) + "/", "") and not said.out and "Traceback" not in said.err


def test_a_class_that_does_not_exist_in_any_size(tmp_path, capsys):
    """More memory than any class has: the service, its memory, what to do"""
    (tmp_path / "stack.yaml").write_text(
        SQL.replace("IMAGE", "redis:8").replace("database", "cache").replace("MEMORY", "100Gi")
    )
    assert main(["cost", "--architecture", "eks", "--stack", str(tmp_path / "stack.yaml")]) == 2
    assert "services.db.memory: no class of ElastiCache for Redis OSS has 102,400 MiB" in capsys.readouterr().err


def test_the_example_names_dynamodb_itself():
    """Its figures are those of its source; without the choice it would have RDS"""
    assert example().managed["postgresql"].provider == "dynamodb"
    other = example().model_copy(update={"managed": {}})
    assert [each.provider.key for each in choices(other).values() if each.provider][0] == "rds-postgresql"
    assert f"{compare(example(), BOOK).baseline.bill.total:.2f}" == "355.77"


# Replicas, several of a kind


def test_replicas_count_on_every_side():
    """Three workers are three pods and three times the memory on the host; what keeps data runs once there"""
    product = PRODUCTS["saas"]
    one = product.model_copy(
        update={
            "services": {**product.services, "mailer": product.services["mailer"].model_copy(update={"replicas": 1})}
        }
    )
    assert needs(product).memory_mib - needs(one).memory_mib == 2 * 512
    assert len(architecture("eks", product, BOOK).on_machines) == len(architecture("eks", one, BOOK).on_machines)
    assert PRODUCTS["events"].services["kafka"].on_one_host == 1 and product.services["mailer"].on_one_host == 3


def test_several_databases_have_a_line_each():
    """Two MySQL servers are two RDS databases with their own class, disk and name"""
    found = [
        one for each in replacements(PRODUCTS["django"], BOOK) for one in each.resources if isinstance(one, DbInstance)
    ]
    assert [(each.name, each.instance_type, each.disk_gb) for each in found] == [
        ("RDS database orders", "db.t4g.small", 72),
        ("RDS database catalog", "db.t4g.micro", 20),
    ]


# Usage that nobody gave


def test_unknown_usage_is_neither_zero_nor_an_error():
    """Cognito without a number of users says what one costs, in the bill, the comparison and JSON"""
    product = PRODUCTS["login"]
    found = compare(product, BOOK)
    (row,) = (each for each in bill_rows(found.baseline.bill) if each["resource"] == "Cognito user pool")
    assert row["quantity"] == "depends on usage: 0.015 USD per MAU" and row["USD"] is None and row["what"].endswith("*")
    (line,) = (each for each in found.baseline.bill.rows() if each["resource"] == "Cognito user pool")
    assert line["EffectiveCost"] is None and line["unknown"]
    assert any("0.015 USD per MAU" in each for each in document(found)["depends_on_usage"])
    known = product.model_copy(
        update={
            "usage": product.usage.model_validate(
                {**product.usage.model_dump(exclude_unset=True), "active_users": 20000}
            )
        }
    )
    assert bill_of(architecture("eks", known, BOOK), known, BOOK).by()["identity"] == 10000 * Decimal("0.015")


@pytest.mark.parametrize(
    "kind", sorted(name for name, each in KINDS.items() if each.usage and each.__module__.startswith("pretamane"))
)
def test_every_usage_field_is_a_field(kind):
    """The usage schema beside a resource names its fields, and no number among its settings"""
    assert {*KINDS[kind].usage} <= set(KINDS[kind].__dataclass_fields__)


def test_a_rate_that_is_not_known_is_said():
    """Usage unknown and price unknown: a sentence"""
    assert (
        bill([Queue(requests=None)], BOOK, "ap-east-2").lines[0].depends()
        == "depends on usage: its price is not known here"
    )


# The catalogue


def test_the_catalogue_is_whole():
    """Each capability of the issue is there; images, classes and kinds exist; each loss and gain has a source"""
    wanted = {
        "sql-database",
        "document-database",
        "cache",
        "queue",
        "stream",
        "search",
        "objects",
        "files",
        "cdn",
        "mail",
        "identity",
        "secrets",
        "metrics",
        "logs",
        "traces",
        "edge",
        "names",
        "images",
        "jobs",
    }
    assert {*capabilities()} == wanted
    covered = {key for each in providers().values() for key in (each.capability, *each.also_for)}
    assert wanted - covered == {"traces"}  # X-Ray is not priced here
    assert all(self_run(each) for each in wanted - {"files"})
    for each in providers().values():
        assert all(kind["kind"] in KINDS for kind in each.resources)
        assert bool(each.lost) == bool(each.lost_source) and bool(each.gained) == bool(each.gained_source)
        assert [one.memory_mib for one in each.classes] == sorted(one.memory_mib for one in each.classes)


def test_known_images_are_found_by_their_mirrors():
    """Every name in the table finds its own line, and an image of one's own finds none"""
    for each in known_images():
        for name in (each.image, *each.also):
            assert program(f"{name}:1") == program(f"{each.image}:1"), name


# Every verb


@pytest.mark.parametrize("name", sorted(PRODUCTS))
def test_every_verb_names_the_products_own_services(name, capsys, tmp_path):
    """cost, compare, size, draw, audit: no managed service that the product does not have, no word of the example"""
    path = str(FOLDER / f"{name}.yaml")
    claim = tmp_path / "claim.yaml"
    claim.write_text("claim: c\nbaseline: {title: b, total: 300, lines: [{what: all, usd: 300}]}\n")
    said = []
    for verb in (
        ["cost", "--architecture", "eks"],
        ["cost", "--architecture", "ec2-managed", "--format", "json"],
        ["compare"],
        ["compare", "--format", "json"],
        ["size"],
        ["audit", "--claim", str(claim)],
        ["cost", "--architecture", "eks-open-source", "--format", "md"],
    ):
        assert main([*verb, "--stack", path]) in (0, 1), verb
        said.append(capsys.readouterr().out)
    assert main(["draw", "--stack", path, "--architecture", "eks", "--out", str(tmp_path / "drawing.svg")]) == 0
    said.append((tmp_path / "drawing.svg").read_text(encoding="utf-8"))
    strange = {
        title
        for title in ALL - {*BY[name].split("; ")}
        if re.search(rf"(?<![\w/]){re.escape(title)}(?![\w/])", "\n".join(said))
    }
    assert not {each for each in strange if not any(each in own for own in BY[name].split("; "))}, strange
    assert not re.search("meilisearch|minio|pretamane/|fastapi|cloudflare", "\n".join(said), re.IGNORECASE)
    for title in BY[name].split("; "):
        assert title in said[2]


def test_the_host_of_a_product_is_emitted_with_its_replicas(tmp_path, capsys):
    """Three workers are `scale: 3`; the Terraform of the other side has RDS, and is refused where it lacks a service"""
    path = str(FOLDER / "saas.yaml")
    assert main(["emit", str(tmp_path / "host"), "--stack", path]) == 0
    compose = (tmp_path / "host" / "compose" / "compose.yaml").read_text(encoding="utf-8")
    assert re.search(r"mailer:\n(    .*\n)*    scale: 3\n", compose) and not re.search(
        r"db:\n(    .*\n)*    scale:", compose
    )
    capsys.readouterr()
    assert main(["emit", str(tmp_path / "cluster"), "--stack", path, "--architecture", "eks"]) == 0
    assert 'resource "aws_db_instance" "db"' in (tmp_path / "cluster" / "terraform" / "managed.tf").read_text()
    capsys.readouterr()
    broker = ["emit", str(tmp_path / "broker"), "--stack", str(FOLDER / "django.yaml"), "--architecture", "eks"]
    assert main(broker) == 2 and not (tmp_path / "broker").exists()
    assert "no Terraform is written here for Amazon MQ broker" in capsys.readouterr().err


def test_a_report_of_a_product(tmp_path, capsys):
    """Page and Markdown name RDS and ElastiCache, and say what was assumed and what is in no total"""
    text = (FOLDER / "saas.yaml").read_text(encoding="utf-8").replace("host: {", "host: {instance_type: r6a.large, ")
    (tmp_path / "stack.yaml").write_text(f"{text}\neks: {{node_instance_type: t3a.small, nodes: 3}}\n")
    assert main(["report", "--stack", str(tmp_path / "stack.yaml"), "--out", str(tmp_path / "report")]) == 0
    for each in ("index.html", "report.md"):
        text = (tmp_path / "report" / each).read_text(encoding="utf-8")
        assert (
            "RDS for PostgreSQL replaces PostgreSQL (db)" in text
            and "ElastiCache" in text
            and "depends on usage" in text
        )
        assert not re.search("DynamoDB|OpenSearch|Cognito", text)


def test_csv_has_nothing_where_nobody_knows(capsys):
    """The amount of a line that depends on usage is empty for programs, not 0"""
    assert main(["cost", "--stack", str(FOLDER / "login.yaml"), "--architecture", "eks", "--format", "csv"]) == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    (row,) = (each for each in rows if each["resource"] == "Cognito user pool")
    assert (row["EffectiveCost"], row["PricingQuantity"], row["ListUnitPrice"]) == ("", "", "0.015")
    assert main(["cost", "--stack", str(FOLDER / "login.yaml"), "--architecture", "eks", "--format", "json"]) == 0
    assert any(each["EffectiveCost"] is None for each in json.loads(capsys.readouterr().out)["lines"])


def test_an_unknown_cache_size_is_named_by_its_engine():
    """Valkey, Redis and Memcached have each their own rate for the same node"""
    usd = {
        engine: bill([CacheNodes(instance_type="cache.t4g.micro", engine=engine)], BOOK, "us-east-1").total
        for engine in ("valkey", "redis", "memcached")
    }
    assert usd["valkey"] < usd["redis"] == usd["memcached"]


TWELVE = """us-east-1 us-east-2 us-west-2 eu-west-1 eu-west-2 eu-central-1 eu-west-3
ap-southeast-1 ap-southeast-2 ap-northeast-1 ap-northeast-2 ap-south-1""".split()


@pytest.mark.parametrize("region", TWELVE)
def test_rds_has_a_price_in_twelve_regions(region):
    """Where the usual disk has no price the one before it is taken, and that is said"""
    stack = PRODUCTS["saas"].model_copy(update={"region": region})
    database = next(each for each in replacements(stack, BOOK) if each.choice.service == "db")
    assert bill(database.resources, BOOK, region).total > 0
    gp2 = region in ("us-east-2", "eu-central-1", "ap-southeast-2", "ap-northeast-1")
    assert database.resources[0].disk_type == ("gp2" if gp2 else "gp3")
    assert ("disk type gp2, because the usual one has no price here" in database.words) == gp2


def test_a_role_that_was_left_out_is_hinted_at(tmp_path, capsys):
    """PostgreSQL without a role stays on the nodes: bill, comparison and check of the file say which role it is"""
    text = ("name: shop\nservices: {web: {image: 'me/web:1.0', memory: 512Mi}, db: {image: 'postgres:17.11', "
            "memory: 1Gi}}\n")
    place, said = tmp_path / "stack.yaml", ("db has no role and stays on the machines: PostgreSQL is usually `role: "
                                            "database`, which RDS for PostgreSQL replaces")
    place.write_text(text)
    assert role_hints(loads(text)) == (said,) and said in architecture("eks", loads(text), bundled()).assumptions
    for verb in (["stack", "check", str(place)], ["cost", "--stack", str(place), "--architecture", "eks"],
                 ["compare", "--stack", str(place)]):
        assert main(verb) == 0 and said in " ".join(capsys.readouterr().out.split()), verb
    place.write_text(text.replace("memory: 1Gi", "memory: 1Gi, role: other"))  # said on purpose
    assert main(["stack", "check", str(place)]) == 0 and "no role" not in capsys.readouterr().out
