"""Small types and helpers shared by the snapshot tools."""
import csv
import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

COLUMNS = (
    "sku", "rate_code", "usage_type", "operation", "product_family", "attributes",
    "purchase_option", "unit", "begin", "end", "usd", "hourly_usd", "upfront_usd",
    "as_of", "confidence", "source", "note",
)

UNITS = {
    "Hrs": "Hrs", "hours": "Hrs", "Hours": "Hrs",
    "GB": "GB", "GB-Mo": "GB-Mo", "GB-month": "GB-Mo", "GB-Hours": "GB-Hours",
    "IOPS-Mo": "IOPS-Mo", "GiBps-mo": "GiBps-Mo", "MiBps-Mo": "MiBps-Mo", "IOs": "IOs",
    "LCU-Hrs": "LCU-Hrs", "ReservedLCU-Hr": "ReservedLCU-Hrs",
    "Requests": "Requests", "Request": "Requests", "API Requests": "Requests",
    "API interactions": "Requests", "Streams read request units": "Requests",
    "Lambda-GB-Second": "GB-Second", "GB-Second": "GB-Second",
    "vCPU-Hours": "vCPU-Hours", "DSU-Hours": "DSU-Hours", "OCU-hours": "OCU-Hours",
    "ReadRequestUnits": "ReadRequestUnits", "WriteRequestUnits": "WriteRequestUnits",
    "ReadCapacityUnit-Hrs": "ReadCapacityUnit-Hrs",
    "WriteCapacityUnit-Hrs": "WriteCapacityUnit-Hrs",
    "SnapshotAPIUnits": "SnapshotAPIUnits", "Metrics": "Metrics", "Alarms": "Alarms",
    "Dashboards": "Dashboards", "Keys": "Keys", "Secrets": "Secrets",
    "Parameter-Mo": "Parameter-Mo", "Queries": "Queries", "HostedZone": "HostedZone",
    "Health Check": "Health Check", "Messages": "Messages", "Minutes": "Minutes",
    "Month": "Month", "Count": "Count", "ACU-Hr": "ACU-Hr", "ECPU": "ECPU", "MAU": "MAU",
    "Events": "Events", "Invocations": "Invocations", "Paths": "Paths", "1M": "1M",
    "Notifications": "Notifications", "Transitions": "Transitions",
}

TERM = re.compile(
    r"OnDemand|Spot-typical"
    r"|Reserved-[13]yr-(?:No|Partial|All)Upfront(?:-Convertible)?"
    r"|SavingsPlan(?:Compute|EC2Instance)-[13]yr-(?:No|Partial|All)Upfront")


class SnapshotError(Exception):
    """A fact that cannot be turned into a snapshot row."""


@dataclass(frozen=True)
class Product:
    """The identity of a product, without the region prefix of its usage type."""

    usage_type: str
    operation: str = ""
    family: str = ""
    attributes: str = ""


def joined(**attributes):
    """Write attributes as sorted key=value pairs."""
    return ";".join(f"{key}={value}" for key, value in sorted(attributes.items()))


def table(family, **names):
    """Return products of one family; underscores in slugs stand for hyphens."""
    return {slug.replace("_", "-"): Product(name, "", family) for slug, name in names.items()}


@dataclass(frozen=True)
class Fact:
    """One row of the raw prices.csv."""

    where: str
    service_code: str
    region: str
    product: str
    attributes: dict
    term: str
    unit: str
    begin: str
    end: str
    usd: Decimal
    date: str
    source: str
    confidence: str

    def attribute(self, name):
        """Return an attribute that the row must have."""
        if name not in self.attributes:
            raise SnapshotError(f"{self.where}: no attribute {name!r}")
        return self.attributes[name]

    @property
    def raw_note(self):
        """Return the note the raw row carries, or an empty text."""
        return self.attributes.get("note", "")


def decimal_of(text, where):
    """Read a number written as text, naming the row when it is not one."""
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        raise SnapshotError(f"{where}: {text!r} is not a number") from None
    if not value.is_finite():
        raise SnapshotError(f"{where}: {text!r} is not a finite number")
    return value


def plain(value):
    """Write a decimal without exponent and without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def bound(text, where):
    """Write a tier bound: a plain decimal, or Inf."""
    return "Inf" if text == "Inf" else plain(decimal_of(text, where))


def read_csv(path):
    """Yield (row name, row) of a CSV file; the row name is for messages."""
    with open(path, newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        for row in reader:
            where = f"{path.name} line {reader.line_num}"
            if None in row or None in row.values():
                raise SnapshotError(f"{where}: wrong number of columns")
            yield where, row


def read_facts(path):
    """Read prices.csv into facts."""
    facts = []
    for where, row in read_csv(path):
        try:
            attributes = json.loads(row["attributes_json"] or "{}", parse_float=Decimal)
            fact = Fact(
                where, row["service_code"], row["region"], row["product"], attributes,
                row["term"], row["unit"], row["tier_begin"], row["tier_end"],
                decimal_of(row["usd"], where), row["effective_date"], row["source"],
                row["confidence"],
            )
        except (KeyError, ValueError) as error:
            raise SnapshotError(f"{where}: unreadable ({error})") from None
        if fact.confidence not in ("listed", "page", "derived"):
            raise SnapshotError(f"{where}: unknown confidence {fact.confidence!r}")
        if not TERM.fullmatch(fact.term):
            raise SnapshotError(f"{where}: unknown term {fact.term!r}")
        facts.append(fact)
    return facts


def write_csv(path, columns, rows):
    """Write rows (dicts) as CSV with a fixed line end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
