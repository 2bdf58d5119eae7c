"""Every kind of resource with every field changed: what it asks of the price list, as text for a golden file."""
from __future__ import annotations

import ast
import inspect
import itertools
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from decimal import Decimal
from functools import cache
from typing import Any

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.resources import KINDS, Load

NO_FIGURES = str.maketrans("", "", "0123456789")
HOURS = Decimal(730)
LARGEST = 1_000_003
WORDS = {  # field, perhaps of one kind -> its values; what nobody sells comes last
    "protocol": "http rest websocket soap", "architecture": "x86_64 arm64", "to_region": "eu-west-1",
    "operating_system": "Linux Windows", "tenancy": "Shared Dedicated", "cpu_credits": "unlimited standard",
    "purchase_option": "OnDemand Reserved-1yr-NoUpfront", "support": "standard extended ended eternal",
    "version": "- 1.33", "area": "us eu moon", "tier": "essentials lite plus legacy gold",
    "balancer": "alb nlb clb xlb", "volume_type": "gp3 gp2 io1 io2 st1 sc1 standard gp9",
    "deployment": "single active-standby cluster lonely", "source": "- the_bill", "service": "External",
    "description": "gift", "reason": "nobody_sells_it", "disk_type": "gp3 gp2 io1 standard gp9",
    "Broker.engine": "rabbitmq activemq rabbit", "AuroraCluster.engine": "aurora-postgresql aurora-mysql aurora-x",
    "DbInstance.engine": "postgresql mysql mariadb db3", "engine": "valkey redis memcached cash",
    "Broker.instance_type": "mq.m5.large", "AuroraCluster.instance_type": "- db.r6g.large",
    "DocumentCluster.instance_type": "- db.r6g.large", "CacheNodes.instance_type": "cache.m6g.large",
    "DbInstance.instance_type": "db.m6g.large db.t4g.micro db.r5b.24xlarge",
    "KafkaCluster.instance_type": "kafka.m5.large express.m7g.large m5.large",
    "Instances.instance_type": "t3.medium m7g.large t3.unknown", "ManagedInstances.instance_type": "m7g.large",
    "NodeGroup.instance_type": "t3.medium m6i.large", "SearchDomain.instance_type": "m6g.large.search t3.small.search",
    "manager_type": "- m6g.large.search", "warm_type": "- ultrawarm1.medium.search",
}
HALF = Decimal("0.5")
LOADS = ((), (Load(share=HALF, new_connections_per_second=Decimal(100), requests_per_second=Decimal(2000), rules=11),
              Load(share=HALF, active_connections=Decimal(7000), gb_per_hour=Decimal(3), rules=10)))


@cache
def edges(module: str) -> list[Decimal]:
    """Return the numbers that stand in a module, each with what is just above it: where a rule may begin"""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    known = {Decimal(str(each.value)) for each in ast.walk(tree) if isinstance(each, ast.Constant)
             and isinstance(each.value, (int, float, str)) and not isinstance(each.value, bool)
             and str(each.value).replace(".", "").isdecimal()}
    return sorted({near for each in known if each < LARGEST for near in (each, each + 1)} | {Decimal(LARGEST)})


def words(kind: type, name: str) -> tuple[str, ...]:
    """Return the values of a field of text"""
    known = WORDS.get(f"{kind.__name__}.{name}") or WORDS[name]
    return tuple("" if each == "-" else each for each in known.split())


def asked(kind: type, given: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a resource is charged for: what it is with all that tells it apart, and how much"""
    try:
        owner = kind(**given)
        found = []
        for each in owner.charges(HOURS):
            query = each.query
            more = "".join(f" {key}={value}" for key, value in query.attributes)
            place = " ".join(part for part in (query.region, query.purchase_option.replace("OnDemand", "")) if part)
            paid = f" at {each.usd} from {each.source}" if each.usd is not None else ""
            why = "".join(f" | {part}" for part in (each.note, each.free and f"free: {each.free}") if part)
            asked_for = f"{query.service} {query.usage_type} ({query.unit}) {place}{more}"
            found.append((f"{asked_for}: {each.description}{why}{paid}", f"{each.quantity.normalize():f}"[:24]))
        return found
    except (PretamaneError, ArithmeticError, KeyError, ValueError, TypeError, IndexError) as error:
        return [(f"{type(error).__name__}: {error}", "")]


def lines(found: list[tuple[str, str]]) -> list[str]:
    """Return charges as lines"""
    return [f"    {f'{number} x ' if number else ''}{what}" for what, number in found]


def shape(found: list[tuple[str, str]]) -> list[str]:
    """Return what charges are without how much, nor the figures in their notes"""
    return [what.translate(NO_FIGURES) + ("0" if number == "0" else "") for what, number in found]


def scanned(kind: type, given: dict[str, Any], name: str, values: list[Any], base: list) -> Iterator[str]:
    """Yield charges where a rising field changes their kinds, and for its largest value; only what the base lacks"""
    before: list[str] = []
    for value in values:
        found = asked(kind, {**given, name: value})
        if shape(found) != before or value == values[-1]:
            if other := [each for each in found if each not in base]:
                yield from [f"  {name}={value}", *lines(other)]
        before = shape(found)


def flagged(kind: type, given: dict[str, Any], base: list) -> Iterator[str]:
    """Yield what every flag and every share of a hundred add to a resource whose numbers are all 7, and what
    changes without each"""
    known = fields(kind)
    on = {each.name: True for each in known if each.type == "bool"} | {
        each.name: Decimal(50) for each in known if "percent" in each.name}
    if on:
        found = asked(kind, {**given, **on})
        yield from [f"  every flag, percents 50: {', '.join(on)}", *lines([each for each in found if each not in base])]
        for name, value in on.items():
            changed = asked(kind, {**given, **on, name: False if value is True else None})
            if changed != found:
                yield from [f"  without {name}", *lines([each for each in changed if each not in found])]


def cases(kind: type) -> Iterator[str]:
    """Yield the lines of a kind: each combination of its words, and each number and flag changed on top of it"""
    known = [each for each in fields(kind) if each.name not in ("name", "feature")]
    texts = [each for each in known if each.type == "str"]
    must = {each.name: Decimal(2) if each.type.startswith("Decimal") else 2 for each in known
            if each.default is MISSING and each.type != "str"}
    yield f"{kind.__name__}: {kind.title}, paid for by use: {', '.join(kind.usage) or 'nothing'}"
    yield from [f"  {each.name} is {each.default!r}" for each in known if each.default is not MISSING]
    known_shapes: list[list[str]] = []  # whose fields were changed one by one
    first = {each.name: words(kind, each.name)[0] for each in texts} | must
    some = {each.name: 7 for each in known if each.type.startswith(("Decimal", "int")) and "percent" not in each.name}
    for name, values in itertools.chain((("", [""]),), ((each.name, words(kind, each.name)[1:]) for each in texts)):
        for value in values:
            given = {**first, **({name: value} if name else {})}
            base = asked(kind, given)
            yield from [f" {' '.join(f'{key}={text}' for key, text in given.items())}", *lines(base)]
            full = asked(kind, {**given, **some})
            yield from ["  every number 7", *lines(full)]
            if shape(full) in known_shapes:
                continue
            known_shapes.append(shape(full))
            yield from flagged(kind, {**given, **some}, full)
            for each in known:
                if each.type == "bool":
                    yield from scanned(kind, {**given, **some}, each.name, [not each.default], full)
                elif each.type.startswith("tuple"):
                    yield from scanned(kind, given, each.name, list(LOADS), base)
                elif each.type.startswith(("Decimal", "int")):
                    rising = edges(kind.__module__)
                    whole = map(int, rising) if each.type.startswith("int") else rising
                    yield from scanned(kind, given, each.name, sorted(set(whole)), base)


def text() -> str:
    """Return the golden file of all kinds"""
    return "\n".join(line.rstrip() for name, kind in sorted(KINDS.items()) if kind.__module__.startswith("pretamane")
                     for line in cases(kind))
