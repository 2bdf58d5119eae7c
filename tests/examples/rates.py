"""What the name of a printed rate says: its subject, its divisor and its tier."""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from pretamane_analysis.prices.book import Tier

SIZE = r"(\d+(?:\.\d+)?)(k|M|B|TB|PB|GB)?"
TIER = re.compile(rf"(?:^|_)t(\d)(?:_{SIZE})?(?=_|$)")
EDGE = re.compile(rf"(?:^|_)(first|next|over|above)_?{SIZE}(?=_|$)")
PER = re.compile(r"(?:^|_)per_?(\d*)(k|M|B)?(?=_|$)")
BARE_PER = re.compile(r"(?:^|_)(\d+)(k|M|B)(?=_|$)")
# PB as the sources print it, decimal
UNITS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "GB": 1, "TB": 1024, "PB": 10**6}


class Unsupported(Exception):
    """Something in a row that the adapter does not know."""


@dataclass(frozen=True)
class Rate:
    """A printed rate, its name taken apart."""
    name: str
    usd: Decimal
    stem: str  # The name without divisor and tier
    per: Decimal | None = None  # Units that the rate pays for, where the name says it
    tier: int = 0  # Number of the tier, 0 for none
    edge: str = ""  # `first`, `next` or `over`
    size: Decimal | None = None  # Of the tier


@dataclass(frozen=True)
class Line:
    """Which printed rate pays for which usage type, and which inputs tell the quantity."""
    usage: str  # Pattern of the usage type, or of the usage type and its attributes
    rate: str  # Pattern of the rate's stem; {0} is the first group of `usage`
    inputs: str = ""  # Pattern of the inputs; a rate that pays for nothing is right only beside one of them
    field: str = ""  # Field of the resource that the input fills as it is
    scale: Decimal = Decimal(1)  # Units of the price for each unit of a printed rate
    tier_per: int = 1  # Units that a tier's rate pays for unless its name says so
    ends: tuple[int, ...] = ()  # Known ends of tiers, so that a printed one is not read as a width
    tier: int = 0  # For usage types that are one tier of a printed group each
    included: int | None = None  # What `over_3000` in a name must say
    shared: bool = False  # One rate pays for all the usage types that match
    free: str = ""  # Pattern of the input that tells a quantity to be deducted


def _number(digits: str, unit: str | None) -> Decimal:
    return Decimal(digits or 1) * UNITS[unit or ""]


def parse(name: str, usd: Decimal) -> Rate:
    """A printed rate from its name and number."""
    stem, per, tier, edge, size = name, None, 0, "", None
    if found := TIER.search(stem):
        tier, size = int(found[1]), _number(found[2], found[3]) if found[2] else None
    elif found := EDGE.search(stem):
        edge, size = found[1].replace("above", "over"), _number(found[2], found[3])
    if found:
        stem = stem[: found.start()] + stem[found.end():]
    if found := PER.search(stem) or BARE_PER.search(stem):
        per, stem = _number(found[1], found[2]), stem[: found.start()] + stem[found.end():]
    return Rate(name, usd, stem.strip("_"), per, tier, edge, size)


def _order(rate: Rate) -> tuple[int, str]:
    return (rate.tier or ("first", "next", "over").index(rate.edge) + 1 if rate.tier or rate.edge else 0), rate.name


def tiers(rates: Iterable[Rate], line: Line, unit: str, free: Decimal) -> tuple[Tier, ...]:
    """The rates of one usage type as tiers, the deducted quantity as a tier at 0 before them."""
    ordered = sorted(rates, key=_order)
    names = ", ".join(rate.name for rate in ordered)
    if line.tier:
        ordered = [_one_tier(ordered, line, names)]
    if len(ordered) == 1 and ordered[0].edge == "over":
        if ordered[0].size != line.included:
            raise Unsupported(f"rate {names}: {ordered[0].size} is not what is included")
    elif len(ordered) > 1 and [_order(rate)[0] for rate in ordered] != list(range(1, len(ordered) + 1)):
        raise Unsupported(f"rates {names}: not tiers of one price")
    elif len(ordered) == 1 and ordered[0].tier > 1 and not line.tier:
        raise Unsupported(f"rate {names}: the tiers before it are not printed")
    return tuple(_tiers(ordered, line, unit, free))


def _one_tier(ordered: list[Rate], line: Line, names: str) -> Rate:
    "The rate of one tier of a group, without its bounds: the resource knows them."
    if len(ordered) != 1 or (ordered[0].size and ordered[0].size not in line.ends):
        raise Unsupported(f"rates {names}: not the tiers of this usage type")
    return Rate(ordered[0].name, ordered[0].usd, ordered[0].stem, ordered[0].per)


def _tiers(ordered: list[Rate], line: Line, unit: str, free: Decimal) -> Iterator[Tier]:
    if free:
        yield Tier(Decimal(0), Decimal(0), free, note="deducted as the row says")
    begin = Decimal(0)
    for position, rate in enumerate(ordered):
        per = rate.per or (line.tier_per if rate.tier or rate.edge else 1)
        usd = rate.usd / per / line.scale
        if re.search(r"_(s|sec|second)$", rate.stem) and "h" in unit.lower():
            usd *= 3600
        end = None
        if rate.edge == "over" and len(ordered) > 1 and rate.size != begin:
            raise Unsupported(f"rate {rate.name}: the tier before it ends at {begin:f}")
        if rate.size and rate.edge != "over":
            end = rate.size if rate.size in line.ends and rate.size > begin else begin + rate.size
        elif not rate.edge and position + 1 < len(ordered):
            raise Unsupported(f"rate {rate.name}: its end is not printed")
        yield Tier(usd, begin + free, None if end is None else end + free, source=rate.name)
        begin = end or begin
