"""Search, monitoring, secrets, keys, mail and tables."""
from __future__ import annotations

import re
from decimal import Decimal

from pretamane_analysis.resources import (
    Keys,
    Logs,
    Mail,
    Monitoring,
    Parameters,
    SearchDomain,
    SearchServerless,
    Secrets,
    Table,
)

from .network import hours
from .rates import Line, Unsupported
from .row import Row, Work, values
from .storage import MIBPS, days_of_month, share_of_month
from .traffic import egress

NODES = "data|master|manager|warm"
INCLUDED_IOPS = 3000
SEARCH = [
    Line("ESInstance:([^ ]+)", r"(?!$)(?:{0}(?:\.search)?)?_?(?:hour)?", NODES),
    Line("ES:(?:GP2|GP3|PIOPS|Magnetic)-Storage", "(?:gp2|gp3|io1|standard)_gb(?:_month)?|gb(?:_month)?", "(?:.+_)?gb"),
    Line("ES:PIOPS", "(?:io1_)?iops(?:_month)?", "iops"),
    Line("ES:GP3-Provisioned-Throughput", f"(?:gp3_)?{MIBPS}(?:_month)?", MIBPS),
]


def _nodes(row: Row, pattern: str) -> tuple[int, str]:
    "Number and type of nodes: `3x c4.2xlarge.search`."
    text = row.text(pattern, "")
    found = re.fullmatch(r"(?:(\d+) ?x ?)?([a-z0-9-]+\.[a-z0-9]+(?:\.search)?)", text)
    if text and not found:
        raise Unsupported(f"input {pattern}: {text!r}")
    return (int(found[1] or 1), found[2]) if found else (0, "")


def search(row: Row) -> Work:
    """A domain: nodes of each kind and the disk of all."""
    (data, data_type), (managers, manager_type), (warm, warm_type) = (_nodes(row, each)
                                                                      for each in ("data", "master|manager", "warm"))
    disks = [kind for kind in ("gp2", "gp3", "io1", "standard") if row.given(f"{kind}_gb")]
    if len(disks) > 1:
        raise Unsupported("disks of several kinds")
    disk = disks[0] if disks else "gp3"
    iops, mibps = row.number("iops", 0), row.number(MIBPS, 0)
    if iops and disk != "io1" and (disk != "gp3" or iops > INCLUDED_IOPS) or mibps and disk != "gp3":
        raise Unsupported(f"iops or throughput of {disk}")
    domain = SearchDomain(instance_type=data_type, count=data, manager_type=manager_type, managers=managers,
                          warm_type=warm_type,
                          warm_nodes=warm, warm_gb=row.number("warm_gb", 0), disk_type=disk, disk_gb=row.number(f"{disk}_gb", 0),  # noqa: E501
                          disk_iops=iops, disk_mibps=mibps)
    billed = sum(each.quantity for each in domain.charges(Decimal(730)) if each.query.unit == "MiBps-Mo")
    row.agree("billable_mibps", billed, "the throughput above what is included")
    return Work([domain], SEARCH, hours(row))


def serverless(row: Row) -> Work:
    """Compute units of both kinds and the index."""
    lines = [Line("SearchOCU", "ocu_hour", ".*_ocus?"),
             Line("TimedStorage-ByteHrs", "(?:(?:index|storage)_)?gb(?:_month)?", "(?:index_|storage_)?gb")]
    return Work([SearchServerless(indexing_units=row.number("indexing_ocus?", 0),
                                  search_units=row.number("search_ocus?", 0),
                                  gb=row.number("(?:index_|storage_)?gb", 0))], lines, hours(row))


LOGS = [Line("DataProcessing-Bytes", "ingest(?:ion|ed)?(?:_gb)?", "ingest(?:ed|ion)?_gb", "ingested_gb",
             free="free_ingest(?:ed|ion)?_gb"),
        Line("TimedStorage-ByteHrs", "(?:storage|stored|archive)(?:_gb)?(?:_month)?",
             "(?:storage|stored|archive)_gb", "stored_gb", free="free_storage_gb"),
        Line("DataScanned-Bytes", "(?:insights|scan(?:ned)?|query)(?:_gb)?",
             "(?:insights|scanned|query)_gb", "scanned_gb", free="free_insights_gb")]


def logs(row: Row) -> Work:
    """Logs taken in, kept and searched."""
    return Work([Logs(**values(row, LOGS))], LOGS)


WATCH = [
    Line("CW:MetricMonitorUsage", "(?:(?:custom_)?metrics?)?(?:_month)?",
         "(?:custom_|detailed_monitoring_)?metrics", "metrics", ends=(10_000, 250_000, 1_000_000), free="free_metrics"),
    Line("CW:AlarmMonitorUsage", "(?:standard(?:_alarm)?|alarm)(?:_metric)?(?:_month)?", "standard_.*|alarms",
         free="free_alarms"),
    Line("CW:HighResAlarmMonitorUsage", "high_?res(?:olution)?(?:_alarm)?(?:_metric)?(?:_month)?", "high_?res.*"),
    Line("DashboardsUsageHour", "dashboards?(?:_month)?", "dashboards", "dashboards", free="free_dashboards"),
]
ANOMALY_METRICS = 3  # the metric and both edges of its band


def watch(row: Row) -> Work:
    """Metrics, alarms by the metrics they watch, dashboards."""
    counts = {kind: row.number(f"{name}_(?:alarm_metrics|alarms)", Decimal(0))
              + ANOMALY_METRICS * row.number(f"{name}_anomaly_alarms", Decimal(0))
              for kind, name in (("alarms", "standard"), ("high_resolution_alarms", "high_?res(?:olution)?"))}
    counts["alarms"] += row.number("alarms|alarm_metrics", Decimal(0))
    row.agree("billed_metrics", sum(counts.values()), "the number of metrics watched")
    return Work([Monitoring(**counts, **values(row, WATCH))], WATCH)


def secrets(row: Row) -> Work:
    """Secrets and calls; 30 days are a month."""
    lines = [Line("AWSSecretsManager-Secrets", "secrets?(?:_month)?", "secrets"),
             Line("AWSSecretsManagerAPIRequest", "(?:api_)?(?:calls?|requests?)?", "api_calls|requests")]
    count = row.number("secrets", 0) * days_of_month(row, "days")
    return Work([Secrets(count=count, api_calls=row.number("api_calls|requests", 0))], lines)


PARAMETERS = [Line("PS-Advanced-Param-Tier1", "(?:advanced_)?param(?:eter)?s?(?:_month)?",
                   "advanced_parameters", "advanced"),
              Line("PS-Param-Processed-Tier2", "(?:api_)?(?:calls?|requests?)?", "advanced_api_calls",
                   "advanced_api_calls")]


def parameters(row: Row) -> Work:
    """Parameters; advanced ones for the hours in which they exist."""
    share = share_of_month(row, "hours") if row.given("hours") else Decimal(1)
    standard = row.whole("standard_parameters", 0)
    return Work([Parameters(standard=standard, share_of_month=share, **values(row, PARAMETERS))], PARAMETERS)


KEYS = [Line("KMS-Keys", "(?:keys?|cmk)(?:_month)?", "keys|cmks?", "count"),
        Line("KMS-Requests", "(?:requests?)?", "(?:symmetric_)?requests", "requests", free="free_requests")]


def keys(row: Row) -> Work:
    """Customer keys and symmetric requests."""
    return Work([Keys(**values(row, KEYS))], KEYS)


MAIL = [Line("Recipients", "(?:(?:e?mails?|messages?|recipients?)(?:_sent)?)?",
             "(?:e?mails?|messages|recipients)(?:_sent|_from_ec2)?|sent", "recipients",
             free="free_(?:e?mails?|messages|recipients)"),
        Line("AttachmentsSize-Bytes", "(?:attachments?|data)(?:_gb)?", "attachments?_gb|data_gb", "attachment_gb")]


def mail(row: Row) -> Work:
    """Mails for each recipient, and what is attached to them."""
    extra, lines = egress(row)
    return Work([Mail(**{"recipients": 0, **values(row, MAIL)}), *extra], MAIL + lines)


TABLE = [
    Line("WriteRequestUnits", "wrus?", "wrus?", "write_units"),
    Line("ReadRequestUnits", "rrus?", "rrus?", "read_units"),
    Line("WriteCapacityUnit-Hrs", "wcu_hour", "wcus?", "write_capacity"),
    Line("ReadCapacityUnit-Hrs", "rcu_hour", "rcus?", "read_capacity"),
    Line("TimedStorage-ByteHrs", "(?:storage_)?gb(?:_month)?", "(?:storage_)?gb", "storage_gb",
         free="free_gb|free_storage_gb"),
    Line("TimedBackupStorage-ByteHrs", "backup_gb(?:_month)?", "backup_gb", "backup_gb"),
    Line("TimedPITRStorage-ByteHrs", "pitr_gb(?:_month)?", "pitr_gb", "point_in_time_gb"),
    Line("RestoreDataSize-Bytes", "restore_gb", "restore_gb", "restored_gb"),
    Line("Streams-Requests", "stream(?:_rru)?", "stream_rrus?", "stream_reads"),
]


def table(row: Row) -> Work:
    """A table, on demand or provisioned."""
    return Work([Table(**values(row, TABLE))], TABLE, hours(row))
