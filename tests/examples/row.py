"""One row of the worked examples: its inputs are taken one by one, so that none is overlooked."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pretamane_analysis.bill.bill import HOURS_PER_MONTH, bill
from pretamane_analysis.prices.book import Price, PriceBook, Query
from pretamane_analysis.resources import Charge, Resource

from .rates import Line, Rate, Unsupported, parse, tiers

NONE = object()


@dataclass
class Row:
    """Inputs and printed rates of a row."""
    service: str
    region: str
    inputs: dict[str, Any]
    rates: dict[str, Decimal]
    taken: set[str] = field(default_factory=set)

    def names(self, pattern: str) -> list[str]:
        """Inputs whose name matches; notes are none."""
        return [name for name in self.inputs if not name.startswith("_") and re.fullmatch(pattern, name)]

    def given(self, pattern: str) -> bool:
        """Is there such an input?"""
        return bool(pattern and self.names(pattern))

    def printed(self, pattern: str) -> bool:
        """Is there a rate with such a stem?"""
        return any(re.fullmatch(pattern, parse(name, usd).stem) for name, usd in self.rates.items())

    def take(self, pattern: str, default: Any = NONE) -> Any:
        """The one input that matches. Raises Unsupported for several, or for none without a default."""
        names = self.names(pattern)
        self.taken.update(names)
        if len(names) > 1:
            raise Unsupported(f"inputs {', '.join(names)} contradict each other")
        if not names and default is NONE:
            raise Unsupported(f"no input {pattern}")
        return self.inputs[names[0]] if names else default

    def number(self, pattern: str, default: Any = NONE) -> Any:
        """A number of 0 or more, perhaps written as an expression such as 730/24."""
        value = self.take(pattern, default)
        return value if value is default else number(value, pattern)

    def whole(self, pattern: str, default: Any = NONE) -> Any:
        """A whole number."""
        value = self.number(pattern, default)
        if value != int(value):
            raise Unsupported(f"input {pattern}: {value} is not a whole number")
        return int(value)

    def text(self, pattern: str, default: Any = NONE) -> Any:
        """A text."""
        value = self.take(pattern, default)
        if value is not default and not isinstance(value, str):
            raise Unsupported(f"input {pattern}: {value!r} is not a text")
        return value

    def flag(self, pattern: str) -> bool:
        """True or false, false unless given."""
        value = self.take(pattern, False)
        if not isinstance(value, bool):
            raise Unsupported(f"input {pattern}: {value!r} is neither true nor false")
        return value

    def agree(self, pattern: str, computed: Decimal | int, what: str) -> None:
        """An input that follows from others must say the same."""
        if self.given(pattern) and self.number(pattern) != computed:
            raise Unsupported(f"input {self.names(pattern)[0]}: {what} is {computed}")


def number(value: Any, name: str) -> Decimal:
    """A number, or the value of a text of digits and + - * /."""
    if isinstance(value, str):
        value = _expression(value, name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value < 0:
        raise Unsupported(f"input {name}: {value!r} is not a number of 0 or more")
    return Decimal(value)


def _expression(text: str, name: str) -> Decimal:
    "Value of an expression, products before sums."
    tokens = re.findall(r"\d+(?:\.\d+)?|[-+*/]", text)
    if not re.fullmatch(r"\d+(\.\d+)?([-+*/]\d+(\.\d+)?)*", re.sub(r"\s*([-+*/])\s*", r"\1", text.strip())):
        raise Unsupported(f"input {name}: {text!r} is not an expression of numbers")
    terms = [Decimal(tokens[0])]
    for operator, digits in zip(tokens[1::2], tokens[2::2], strict=True):
        value = Decimal(digits)
        if operator in "+-":
            terms.append(value if operator == "+" else -value)
        else:
            terms[-1] = terms[-1] * value if operator == "*" else terms[-1] / value
    return sum(terms, Decimal(0))


@dataclass
class Work:
    """What an adapter makes of a row."""
    resources: list[Resource]
    lines: list[Line]
    hours: Decimal = HOURS_PER_MONTH


Adapter = Callable[[Row], Work]


def values(row: Row, lines: Iterable[Line]) -> dict[str, Any]:
    """Arguments of a resource: the inputs that lines name for its fields."""
    found = {line.field: row.number(line.inputs) for line in lines if line.field and row.given(line.inputs)}
    return {name: int(value) if value == int(value) else value for name, value in found.items()}


def total(row: Row, adapter: Adapter) -> Decimal:
    """The package's bill of a row. Raises Unsupported where anything is left over."""
    if all(name.startswith("_") for name in row.inputs):
        raise Unsupported("no inputs")
    work = adapter(row)
    free_tier = row.flag("free_tier")
    charges = [charge for each in work.resources for charge in each.charges(work.hours)]
    book = _book(row, work.lines, charges)
    if left := [name for name in row.inputs if not name.startswith("_") and name not in row.taken]:
        raise Unsupported(f"unknown inputs: {', '.join(left)}")
    return bill(work.resources, book, row.region, hours=work.hours, free=free_tier).total


def _book(row: Row, lines: list[Line], charges: list[Charge]) -> PriceBook:
    "Prices of the usage types that are charged, from the rates that the row prints."
    rates = [parse(name, usd) for name, usd in row.rates.items()]
    paid: dict[str, Query] = {}
    deducted: dict[str, Line] = {}
    prices: dict[Query, Price] = {}
    for charge in charges:
        if charge.free:
            continue
        query = charge.query.at(row.region)
        line, group = _group(query, lines, rates)
        if not group or not (charge.quantity or row.given(line.inputs)):
            continue
        for rate in group:
            if paid.setdefault(rate.name, query) != query and not line.shared:
                raise Unsupported(f"rate {rate.name} would pay for {paid[rate.name].usage_type} and {query.usage_type}")
        free = _deducted(row, line, deducted)
        prices[query] = Price(query.service, query.usage_type, query.unit, query.region, query.purchase_option,
                              tiers(group, line, query.unit, free), attributes=query.attributes)
    idle = [rate.name for rate in rates if rate.name not in paid and not any(
        "{0}" not in line.rate and re.fullmatch(line.rate, rate.stem) and row.given(line.inputs) for line in lines)]
    if idle:
        raise Unsupported(f"rates that pay for nothing: {', '.join(idle)}")
    return PriceBook(list(prices.values()), "the rates that the row prints")


def _deducted(row: Row, line: Line, deducted: dict[str, Line]) -> Decimal:
    "The quantity that the row deducts from a line; from no second one."
    for name in row.names(line.free) if line.free else ():
        if deducted.setdefault(name, line) != line:
            raise Unsupported(f"input {name}: deducted from what?")
        return row.number(line.free)
    return Decimal(0)


def _group(query: Query, lines: list[Line], rates: list[Rate]) -> tuple[Line, list[Rate]]:
    "The line of a usage type and the printed rates that pay for it."
    full = " ".join([query.usage_type, *(value for _, value in query.attributes)])
    for line in lines:
        if found := re.fullmatch(line.usage, query.usage_type) or re.fullmatch(line.usage, full):
            pattern = line.rate.replace("{0}", re.escape(found[1])) if "{0}" in line.rate else line.rate
            matching = [rate for rate in rates if re.fullmatch(pattern, rate.stem)
                        and (not line.tier or max(rate.tier, 1) == line.tier)]
            longest = max((rate.stem for rate in matching), key=len, default="")  # `ia_gb` says more than `gb`
            return line, [rate for rate in matching if rate.stem == longest]
    raise Unsupported(f"no line for {full}")
