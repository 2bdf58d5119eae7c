"""Run worked examples through the package: one JSON line a row, exit 1 if any is wrong, 2 if the file is unreadable."""
from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from examples import ADAPTERS, Row, Unsupported, total

from pretamane_analysis.base.errors import PretamaneError

COPY = Path(__file__).resolve().parent / "data" / "worked_examples.csv"
COLUMNS = ("id", "service", "region", "inputs_json", "unit_rates", "expected_monthly_usd")
HALF_A_CENT = Decimal("0.005")


@dataclass(frozen=True)
class Example:
    """A row as it is printed."""
    id: str
    service: str
    region: str
    inputs: dict[str, Any]
    rates: dict[str, Decimal]
    expected: Decimal
    tolerance: Decimal = HALF_A_CENT


@dataclass(frozen=True)
class Result:
    """What became of a row."""
    id: str
    service: str
    status: str  # `match`, `wrong`, `unsupported` or `out-of-scope`
    expected: Decimal
    got: Decimal | None = None
    reason: str = field(default="")

    def document(self) -> dict[str, Any]:
        """The row's JSON object; amounts are numbers."""
        shown = {"id": self.id, "service": self.service, "status": self.status, "expected": float(self.expected),
                 "got": None if self.got is None else float(round(self.got, 6))}
        return {**shown, "reason": self.reason} if self.reason else shown


def examples_file() -> Path:
    """The file to run: PRETAMANE_WORKED_EXAMPLES, or the copy."""
    return Path(os.environ.get("PRETAMANE_WORKED_EXAMPLES") or COPY)


def read(path: Path) -> list[Example]:
    """All rows. Raises PretamaneError that names the file and the row."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PretamaneError(f"cannot be read: {error}", str(path), "Name a CSV file of worked examples") from error
    if not rows or set(COLUMNS) - set(rows[0]):
        raise PretamaneError("no worked examples", str(path), f"The columns are {', '.join(COLUMNS)}")
    return [_example(row, f"{path}, row {number} ({row['id']})") for number, row in enumerate(rows, 2)]


def _example(row: dict[str, str], place: str) -> Example:
    if any(row[name] is None for name in COLUMNS):
        raise PretamaneError("cells are missing", place)
    inputs, rates = (_object(row[name], name, place) for name in ("inputs_json", "unit_rates"))
    rates = {name: _decimal(value, f"unit_rates {name}",
                            place) for name, value in rates.items() if not name.startswith("_")}
    return Example(row["id"], row["service"], row["region"], inputs, rates,
                   _decimal(row["expected_monthly_usd"], "expected_monthly_usd", place),
                   _decimal(inputs.get("_tol", HALF_A_CENT), "_tol", place))


def _object(text: str, name: str, place: str) -> dict[str, Any]:
    "A JSON object with exact numbers."
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_constant)
    except ValueError as error:
        raise PretamaneError(f"{name} is not JSON: {error}", place) from error
    if not isinstance(value, dict):
        raise PretamaneError(f"{name} is not a JSON object", place)
    return value


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _decimal(value: Any, name: str, place: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or number < 0:
        raise PretamaneError(f"{name} is not a number of 0 or more: {value!r}", place)
    return number


def check(example: Example) -> Result:
    """Compare the package's total with the printed one."""
    base = (example.id, example.service)
    if example.service not in ADAPTERS:
        return Result(*base, "out-of-scope", example.expected)
    row = Row(example.service, example.region, dict(example.inputs), dict(example.rates))
    try:
        got = total(row, ADAPTERS[example.service])
    except (Unsupported, PretamaneError) as error:
        return Result(*base, "unsupported", example.expected, reason=str(error))
    except (ArithmeticError, TypeError, ValueError) as error:
        return Result(*base, "unsupported", example.expected, reason=f"{type(error).__name__}: {error}")
    status = "match" if abs(got - example.expected) <= example.tolerance else "wrong"
    return Result(*base, status, example.expected, got)


def results(path: Path) -> Iterator[Result]:
    """What became of each row of a file."""
    return map(check, read(path))


def main(arguments: Sequence[str]) -> int:
    """Print one JSON object a row; 1 if any is wrong, 2 if the file is unreadable."""
    if len(arguments) > 1 or arguments and arguments[0].startswith("-"):
        print("usage: python tests/worked_examples.py [FILE]", file=sys.stderr)
        return 0 if arguments[0] in ("-h", "--help") else 2
    try:
        found = list(results(Path(arguments[0]) if arguments else examples_file()))
    except PretamaneError as error:
        print(error, file=sys.stderr)
        return 2
    for result in found:
        print(json.dumps(result.document(), ensure_ascii=False))
    return 1 if any(result.status == "wrong" for result in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
