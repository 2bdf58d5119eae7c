"""Disks, snapshots, buckets, file systems and registries."""
from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from math import floor

from pretamane_analysis.resources import (
    Bucket,
    DiskSnapshots,
    FileSystem,
    ImageRegistry,
    InterRegionTraffic,
    Volume,
)
from pretamane_analysis.resources.storage import (
    GP3_FREE_IOPS,
    GP3_FREE_MIBPS,
    IO2_TIERS,
    VOLUME_USAGE,
)

from .rates import Line, Unsupported
from .row import Row, Work, number, values
from .traffic import egress

MIBPS = "(?:mbps|mibps|throughput(?:_mibps|_mbps)?)"
IO2_ENDS = tuple(end for _, end, _ in IO2_TIERS[:-1])


def _disk_lines() -> Iterator[Line]:
    for kind, usage in VOLUME_USAGE.items():
        yield Line(re.escape(usage), rf"(?:{kind}(?:_gb)?|(?:(?:ebs|disk|storage)_)?gb)(?:_month)?",
                   rf"(?:{kind}_|ebs_|disk_)?gb(?:_.*)?")
    for kind, usage, tier in [("gp3", "EBS:VolumeP-IOPS.gp3", 0), ("io1", "EBS:VolumeP-IOPS.piops", 0),
                              *(("io2", usage, position + 1) for position, (*_, usage) in enumerate(IO2_TIERS))]:
        yield Line(re.escape(usage), rf"(?:{kind}_)?iops(?:_month)?", rf"(?:{kind}_)?iops(?:_.*)?", tier=tier,
                   ends=IO2_ENDS, included=GP3_FREE_IOPS if kind == "gp3" else None)
    yield Line(r"EBS:VolumeP-Throughput\.gp3", f"(?:gp3_)?{MIBPS}(?:_month)?", f"(?:gp3_)?{MIBPS}(?:_.*)?",
               scale=1 / Decimal(1024), included=GP3_FREE_MIBPS)
    yield Line("EBS:VolumeIOUsage", "(?:standard_)?(?:io|ios|io_requests)", "io_requests")


DISK_LINES = list(_disk_lines())


def each(row: Row, name: str, count: int) -> Decimal | None:
    """A quantity of each of so many things, from an input of each, of all, or of the only one."""
    if row.given(f"{name}_each"):
        return row.number(f"(?:{name}|{name}_each)")
    if row.given(f"{name}_total"):
        return row.number(f"(?:{name}|{name}_total)") / (count or 1)
    if row.given(name) and count != 1:
        raise Unsupported(f"input {row.names(name)[0]}: of each of the {count} or of all?")
    return row.number(name, None)


def volumes(row: Row, count: int = 1, share: Decimal = Decimal(1)) -> list[Volume]:
    """The disks that a row names, with their kind in the input, in the rate or beside them."""
    found = []
    for kind in [kind for kind in VOLUME_USAGE if row.given(f"{kind}_(?:gb|iops|{MIBPS})(?:_each|_total)?")]:
        found.append(_volume(row, kind, f"{kind}_", count, share))
    if row.given(f"(?:ebs_|disk_)?(?:gb|iops|{MIBPS})(?:_each|_total)?"):
        if found:
            raise Unsupported("disks with and without their kind")
        found.append(_volume(row, _kind(row), "(?:ebs_|disk_)?", count, share))
    return found


def _volume(row: Row, kind: str, prefix: str, count: int, share: Decimal) -> Volume:
    return Volume(volume_type=kind, gb=each(row, f"{prefix}gb", count) or 0, count=count, share_of_month=share,
                  iops=each(row, f"{prefix}iops", count), throughput_mibps=each(row, f"{prefix}{MIBPS}", count),
                  io_requests=row.number("io_requests", 0) if kind == "standard" else 0)


def _kind(row: Row) -> str:
    "Kind of the disk: an input, or the only one that a rate names."
    if row.given("(?:volume_|ebs_|disk_)?type"):
        kind = row.text("(?:volume_|ebs_|disk_)?type")
    else:
        kinds = [kind for kind in VOLUME_USAGE if row.printed(rf"{kind}(?:_gb|_iops|_{MIBPS})?(?:_month)?")]
        if len(kinds) != 1:
            raise Unsupported("the kind of the disk is not told")
        kind = kinds[0]
    if kind not in VOLUME_USAGE:
        raise Unsupported(f"disk of kind {kind!r}")
    return kind


def share_of_month(row: Row, pattern: str) -> Decimal:
    """Part of the month that so many hours are; those of a 31-day month are a whole one."""
    used, month = row.number(pattern), row.number("month_hours", None)
    if used > (month or 744):
        raise Unsupported(f"input {pattern}: longer than a month")
    return min(used / (month or 730), Decimal(1))


def _share(row: Row) -> Decimal:
    "Part of the month in which something exists."
    shares = [row.number(f"provisioned_{unit}") / row.number(f"month_{unit}")
              for unit in ("seconds", "hours", "days") if row.given(f"provisioned_{unit}")]
    if row.given("hours|hours_each"):
        shares.append(share_of_month(row, "hours|hours_each"))
    if len(shares) > 1 or any(share > 1 for share in shares):
        raise Unsupported("more than one share of the month, or more than the month")
    return shares[0] if shares else Decimal(1)


def ebs(row: Row) -> Work:
    """Volumes, perhaps for a part of the month."""
    component = row.text("component", "")
    if component and (component != "iops" or row.given("(?:.+_)?gb(?:_.*)?")):
        raise Unsupported(f"component {component!r} of a volume")
    disks = volumes(row, row.whole("volumes|count", 1), _share(row))
    if not disks:
        raise Unsupported("no disk")
    return Work(disks, DISK_LINES)


def gb_months(row: Row) -> Decimal | None:
    """Average GB over the month, from stretches of days; None where the row has none."""
    stretches = [(row.number(re.escape(name)), Decimal(re.search(r"\d+", name)[0]))
                 for name in row.names(r"gb_(?:[a-z]+_)?\d+_days?")]
    stretches += [(number(gb, "gb_days"), number(days, "gb_days")) for gb, days in row.take("gb_days", [])]
    if not stretches and not row.given("gb_hours"):
        return None
    hours = row.number("month_hours") if row.given("month_hours") else row.number("month_days") * 24
    gb_hours = sum((gb * days * 24 for gb, days in stretches), Decimal(0))
    if not row.given("gb_days") and sum(days for _, days in stretches) * 24 > hours:
        raise Unsupported("more days than the month has")
    if not row.given("gb_hours"):
        return gb_hours / hours
    if stretches:
        row.agree("gb_hours", gb_hours, "the sum of the days")
    return Decimal(floor(row.number("gb_hours") / hours))  # a page that prints GB-hours goes on with whole GB-months


SNAPSHOTS = [
    Line("EBS:SnapshotUsage", "(?:(?:standard|snapshot)_)?gb(?:_month)?", "(?:standard_|snapshot_)?gb|gb_.*"),
    Line("EBS:SnapshotArchiveStorage", "archive_gb(?:_month)?", "archive_gb"),
    Line("EBS:SnapshotArchiveRetrieval", "(?:archive_)?(?:retrieval|restore)_gb",
         "(?:archive_)?(?:retrieval|restore)_gb", "retrieval_gb"),
    Line("EBS:FastSnapshotRestore", "(?:fsr_)?(?:dsu_)?hour", "dsu_hours|minutes|hours"),
    Line("EBS:TimeBasedCopy", "(?:copy_)?gb", "copy_gb", "copied_gb"),
    Line(r"EBS:directAPI\.snapshot\.List", "list", "list_(?:calls|requests|units)", "listed_calls"),
    Line(r"EBS:directAPI\.snapshot\.Get", "get", "get_(?:units|requests|calls|blocks)", "read_blocks"),
    Line(r"EBS:directAPI\.snapshot\.Put", "put", "put_(?:units|requests|calls|blocks)", "written_blocks"),
]


def snapshots(row: Row) -> Work:
    """Snapshots, their archive, fast restore, copies and direct APIs."""
    arguments = values(row, SNAPSHOTS)
    restore_hours = row.number("dsu_hours", Decimal(0))
    if row.given("snapshots"):
        minutes = row.number("minutes") if row.given("minutes") else row.number("hours") * 60
        restore_hours += row.whole("snapshots") * row.whole("azs") * max(minutes, Decimal(60)) / 60  # one hour at least
    row.take("completion_hours", None)  # it only decides which rate of time-based copies is printed
    standard = row.number("(?:standard_|snapshot_)?gb", Decimal(0)) * days_of_month(row, "standard_days")
    remaining = row.number("remaining_hours") / row.number("month_hours") if row.given(
        "remaining_hours") else Decimal(1)
    archive_days = days_of_month(row, "archive_days" if row.given("standard_gb") else "days|archive_days")
    archive = row.number("archive_gb", Decimal(0)) * remaining * archive_days
    return Work([DiskSnapshots(gb=standard + (gb_months(row) or 0), archive_gb=archive,
                               fast_restore_hours=restore_hours, **arguments)], SNAPSHOTS)


def days_of_month(row: Row, pattern: str) -> Decimal:
    """Part of a month that so many days are; 30 and 31 are a whole one unless the row tells its length."""
    if not row.given(pattern):
        return Decimal(1)
    days, month = row.number(pattern), row.number("month_days", None)
    if days > (month or 31):
        raise Unsupported(f"input {pattern}: longer than a month")
    return days / month if month else min(days / 30, Decimal(1))


BUCKET = [
    Line("TimedStorage-ByteHrs", "(?:(?:standard(?:_gb)?|gb|storage|identity)(?:_month)?)?", "standard_gb|gb|gb_.*",
         ends=(51_200, 512_000)),
    Line("TimedStorage-SIA-ByteHrs", "(?:(?:standard_)?ia_)?(?:gb|ia)(?:_month)?", "(?:standard_)?ia_gb",
         "infrequent_gb"),
    Line("TimedStorage-ZIA-ByteHrs", "(?:onezone(?:_ia)?_)?(?:gb|onezone_ia)(?:_month)?", "onezone_ia_gb|onezone_gb",
         "one_zone_gb"),
    Line("TimedStorage-GIR-ByteHrs", "(?:glacier_(?:ir|instant)_)?gb(?:_month)?", "glacier_(?:ir|instant)_gb",
         "glacier_instant_gb"),
    Line("TimedStorage-GlacierByteHrs", "(?:glacier(?:_flexible)?_)?gb(?:_month)?", "glacier(?:_flexible)?_gb",
         "glacier_gb"),
    Line("TimedStorage-GDA-ByteHrs", "(?:deep_archive_)?gb(?:_month)?", "deep_archive_gb", "deep_archive_gb"),
    Line("Requests(?:-[SZ]IA)?-Tier1", "puts?", "puts?(?:_requests)?"),
    Line("Requests(?:-[SZ]IA)?-Tier2", "gets?", "gets?(?:_requests)?"),
    Line("Retrieval-[SZ]IA", "retrieval(?:_gb)?", "retrieval_gb"),
    Line("Select-Scanned-Bytes", "(?:sel|select)_scan(?:ned)?(?:_gb)?", "select_scanned_gb", "select_scanned_gb"),
    Line("Select-Returned-Bytes", "(?:sel|select)_ret(?:urned)?(?:_gb)?", "select_returned_gb", "select_returned_gb"),
]


def bucket(row: Row) -> Work:
    """Storage classes with their requests and retrieval."""
    if row.number("gib_bytes", 2**30) != 2**30 or row.text("unit", "GB-month") != "GB-month":
        raise Unsupported("a GB of another size, or another unit than GB-months")
    arguments = values(row, BUCKET)
    standard = row.number("standard_gb|gb", None)
    average = gb_months(row)
    if standard is not None or average is not None:
        arguments["standard_gb"] = (standard or 0) + (average or 0)
    stored = [name for name in arguments if name.endswith("_gb") and not name.startswith("select")]
    prefixes = {"standard_gb": "", "infrequent_gb": "infrequent_", "one_zone_gb": "one_zone_"}
    prefix = prefixes.get(stored[0]) if len(stored) == 1 else None
    for field, pattern in (("put_requests", "puts?(?:_requests)?"), ("get_requests", "gets?(?:_requests)?"),
                           ("retrieved_gb", "retrieval_gb")):
        if row.given(pattern):
            if stored and prefix is None or field == "retrieved_gb" and not prefix:
                raise Unsupported(f"input {row.names(pattern)[0]}: of which storage class?")
            name = field if not prefix or (prefix, field) == ("infrequent_", "retrieved_gb") else prefix + field
            arguments[name] = row.number(pattern)
    extra, lines = egress(row)
    return Work([Bucket(**arguments), *extra], BUCKET + lines)


FILES = [
    Line("TimedStorage-ByteHrs", "(?:standard(?:_gb)?|gb|storage)(?:_month)?", "standard_gb|gb|gb_.*"),
    Line("IATimedStorage-ByteHrs", "(?:standard_)?ia(?:_gb)?(?:_month)?", "(?:standard_)?ia_gb", "infrequent_gb"),
    Line("TimedStorage-Z-ByteHrs", "onezone(?:_gb)?(?:_month)?", "onezone_gb", "one_zone_gb"),
    Line("IATimedStorage-Z-ByteHrs", "onezone_ia(?:_gb)?(?:_month)?", "onezone_ia_gb", "one_zone_infrequent_gb"),
    Line("IADataAccess-Bytes Read", "ia_read(?:_gb)?", "ia_read_gb", "infrequent_read_gb"),
    Line("IADataAccess-Bytes Write", "ia_write(?:_gb)?", "ia_write_gb", "infrequent_written_gb"),
    Line("ProvisionedTP-MiBpsHrs", "(?:provisioned_)?mibps(?:_month)?", "provisioned_mibps", "provisioned_mibps"),
    Line("ETDataAccess-Bytes Read", "read_gb", "read_gb", "elastic_read_gb"),
    Line("ETDataAccess-Bytes Write", "write_gb", "write_gb", "elastic_written_gb"),
    Line("AWS-Out-Bytes other", "transfer_gb", "transfer_gb"),
]


def files(row: Row) -> Work:
    """A file system; what its GB include of throughput is the package's to know."""
    if row.given("throughput"):
        wanted = {"elastic": "read_gb|write_gb", "provisioned": "provisioned_mibps"}.get(row.text("throughput"), "")
        if not row.given(wanted):
            raise Unsupported("throughput without its quantity")
    if row.given("(?:standard|ia)_gb_hours"):
        return _replica(row)
    arguments = values(row, FILES)
    standard = row.number("standard_gb|gb", Decimal(0)) + (gb_months(row) or 0)
    system = FileSystem(standard_gb=standard, **arguments)
    charged = sum(each.quantity for each in system.charges(Decimal(730)) if each.query.unit == "MiBps-Mo")
    if row.given("included_mibps"):
        if charged:
            row.agree("included_mibps", system.provisioned_mibps - charged, "what the GB include")
        elif row.number("included_mibps") < system.provisioned_mibps:
            raise Unsupported("input included_mibps: the GB include more")
    if charged and not row.printed(FILES[0].rate):
        system = FileSystem(provisioned_mibps=charged)  # the row prints the throughput alone
    return Work([system], FILES)


def _replica(row: Row) -> Work:
    "A copy in another region: what it keeps, from GB-hours, and what was sent there."
    month = row.number("month_hours")
    kept = FileSystem(standard_gb=row.number("standard_gb_hours", 0) / month,
                      infrequent_gb=row.number("ia_gb_hours", 0) / month)
    return Work([kept, InterRegionTraffic(gb=row.number("transfer_gb", 0), to_region="other")], FILES)


def registry(row: Row) -> Work:
    """Images, and what is pulled from the internet."""
    extra, lines = egress(row)
    line = Line("TimedStorage-ByteHrs", "(?:(?:storage|ecr)_)?gb(?:_month)?", "(?:storage_)?gb",
                free="free_gb|free_storage_gb")
    return Work([ImageRegistry(gb=row.number("(?:storage_)?gb", 0)), *extra], [line, *lines])
