"""Databases, caches, queues, topics, brokers, events, workflows, the CDN, sign-in and the web firewall."""

from __future__ import annotations

from decimal import Decimal

from pretamane_analysis.resources import (
    AuroraCluster,
    Broker,
    CacheNodes,
    Cdn,
    DbInstance,
    DocumentCluster,
    EventBus,
    InternetEgress,
    KafkaCluster,
    Queue,
    ServerlessCache,
    ServerlessKafka,
    Topic,
    UserPool,
    WebAcl,
    Workflow,
)
from pretamane_analysis.resources.messaging import DEPLOYMENTS

from .compute import purchase_option
from .network import hours
from .rates import Line, Unsupported
from .row import Row, Work, values

MILLION = 10**6


def _engine(row: Row) -> str:
    "The database engine; a major version after it says nothing of the rate."
    name = row.text("engine", "postgresql").partition(" ")[0]
    return {"postgres": "postgresql"}.get(name, name)


DATABASE = [
    Line("(?:InstanceUsage|Multi-AZUsage):.*", "(?:ri_)?hour(?:_multiaz)?", "class|hours"),
    Line("RDS:(?:Multi-AZ-)?(?:GP2|GP3|PIOPS)-Storage", "(?:gp2|gp3|io1)(?:_gb)?(?:_multiaz)?", ".*_gb"),
    Line("RDS:(?:Multi-AZ-)?(?:GP3-)?PIOPS", "iops(?:_multiaz)?", "iops"),
    Line("RDS:ChargedBackupUsage", "backup_gb", "extra_backup_gb"),
    Line("ExtendedSupport:Yr1-Yr2", "extended_vcpu_hour_y1", "extended_support_year"),
]


def database(row: Row) -> Work:
    """An RDS database; what gp3 includes is the package's to know."""
    disks = [kind for kind in ("gp2", "gp3", "io1") if row.given(f"{kind}_gb")]
    size = row.number(f"{disks[0]}_gb", 0) if disks else Decimal(0)
    if row.given("extended_support_year") and row.whole("extended_support_year") > 2:
        raise Unsupported("extended support after two years")
    resource = DbInstance(
        instance_type=row.text("class"),
        engine=_engine(row),
        multi_az=row.flag("multi_az"),
        disk_type=disks[0] if disks else "gp3",
        disk_gb=size,
        disk_iops=row.number("iops", Decimal(0)),
        backup_gb=size + row.number("extra_backup_gb", 0) if row.given("extra_backup_gb") else 0,
        extended_support_vcpus=row.whole("vcpu", 0),
        purchase_option=purchase_option(row),
    )
    charged = sum(each.quantity for each in resource.charges(Decimal(730)) if each.query.unit == "IOPS-Mo")
    row.agree("included_iops", resource.disk_iops - charged, "what the disk includes")
    return Work([resource], DATABASE, hours(row))


AURORA = [
    Line("InstanceUsage:.*", "hour", "class|instances|hours"),
    Line("Aurora:ServerlessV2(?:IOOptimized)?Usage", "acu_hour", "acu.*"),
    Line("Aurora:ServerlessUsage", "acu_hour_v1", "acu"),
    Line("Aurora:(?:IO-Optimized)?StorageUsage", "storage_gb", "storage_gb", "storage_gb"),
    Line("Aurora:StorageIOUsage", "io", "io_requests", "io_requests"),
    Line("Aurora:BackupUsage", "backup_gb", "backup_gb(?:_beyond_free)?", "backup_gb"),
    Line("Aurora:SnapshotExportToS3", "export_gb", "snapshot_export_gb", "exported_gb"),
    Line("Aurora:BacktrackUsage", "backtrack", "backtrack_change_records_1M"),
    Line("CPUCredits:.*", "cpu_credit", "cpu_credit_vcpu_hours", "cpu_credit_hours"),
]


def aurora(row: Row) -> Work:
    """An Aurora cluster: instances, or capacity units of either generation."""
    mode, month = row.text("mode", "provisioned"), hours(row)
    units = row.number("acu(?:_average)?", Decimal(0)) * month + row.number("acu_hours", Decimal(0))
    if row.given("baseline_acu"):
        baseline = row.number("baseline_acu") * row.number("baseline_hours") + row.number("peak_acu") * row.number(
            "peak_hours"
        )
        row.agree("acu_hours", baseline, "what the two hours give")
    serverless = {"serverless-v2": "acu_hours", "serverless-v1": "first_generation_acu_hours"}
    if mode not in ("provisioned", *serverless) or row.text("storage_type", "standard") != "standard":
        raise Unsupported(f"mode {mode!r}")
    engine, kind = row.text("engine", "aurora-postgresql"), row.text("class", "")
    cluster = AuroraCluster(
        engine=engine,
        instance_type=kind,
        instances=row.whole("instances", 0),
        **values(row, AURORA),
        backtrack_records=row.number("backtrack_change_records_1M", 0) * MILLION,
        **({serverless[mode]: units} if units else {}),
    )
    return Work([cluster], AURORA, month)


DOCUMENTS = [
    Line("InstanceUsage:.*", "hour", "class|instances|hours"),
    Line("StorageUsage", "storage_gb", "storage_gb", "storage_gb"),
    Line("StorageIOUsage", "io", "io_requests", "io_requests"),
    Line("BackupUsage", "backup_gb", ".*backup.*|snapshot_gb"),
]


def documents(row: Row) -> Work:
    """A DocumentDB cluster; a backup alone is one beyond what is free."""
    arguments = values(row, DOCUMENTS)
    backup = row.number("backup_gb(?:_beyond_free)?|snapshot_gb", Decimal(0))
    row.agree("free_backup_gb", arguments.get("storage_gb", 0), "the size of the storage")
    return Work(
        [
            DocumentCluster(
                instance_type=row.text("class", ""), instances=row.whole("instances", 0), backup_gb=backup, **arguments
            )
        ],
        DOCUMENTS,
        hours(row),
    )


CACHE = [
    Line("NodeUsage:.*", "hour", "nodes?|hours"),
    Line("BackupUsage", "backup_gb", "billed_backup_gb", "backup_gb"),
    Line("ElastiCache:ServerlessCachedData", "gb_hour", "stored_gb|hours"),
    Line("ElastiCache:ServerlessECPU", "ecpu", "ecpu", "ecpu"),
]


def cache(row: Row) -> Work:
    """Nodes, or a serverless cache whose smallest size is the package's to know."""
    engine, month = row.text("engine", "redis"), hours(row)
    if row.text("mode", "nodes") == "serverless":
        held = ServerlessCache(engine=engine, gb=row.number("stored_gb"), **values(row, CACHE))
        if row.given("requests_per_s"):
            row.agree(
                "ecpu", row.number("requests_per_s") * row.number("kb_per_request") * month * 3600, "a unit for each KB"
            )
        row.agree("metered_minimum_gb", next(held.charges(month)).quantity / month, "the smallest size")
        return Work([held], CACHE, month)
    nodes = row.whole("nodes", 1)
    if row.given("shards"):
        row.agree("nodes", row.whole("shards") * (1 + row.whole("replicas_per_shard", 0)), "shards and replicas")
    return Work(
        [CacheNodes(instance_type=row.text("node"), engine=engine, count=nodes, **values(row, CACHE))], CACHE, month
    )


BROKER = [
    Line("(?:RabbitMQ|ActiveMQ):.*", "(?:pair_|cluster_)?hour", "instance|nodes|hours"),
    Line("TimedStorage-EBS-ByteHrs", "ebs_gb", "ebs_gb_per_node", "storage_gb"),
    Line("TimedStorage-ByteHrs", "efs_gb", "efs_gb", "shared_storage_gb"),
]


def broker(row: Row) -> Work:
    """A broker; one rate pays for all its nodes."""
    deployment = row.text("deployment").replace("_", "-")
    if deployment not in DEPLOYMENTS:
        raise Unsupported(f"deployment {deployment!r}")
    row.agree("nodes", {"single": 1, "active-standby": 2, "cluster": 3}[deployment], "what the deployment has")
    return Work(
        [
            Broker(
                instance_type=row.text("instance", "unnamed"),
                engine=row.text("engine"),
                deployment=deployment,
                **values(row, BROKER),
            )
        ],
        BROKER,
        hours(row),
    )


KAFKA = [
    Line("(?:Kafka|Express)\\.[a-z0-9]+\\.[a-z0-9]+", "broker_hour", "brokers?|hours"),
    Line("(?:Kafka.Storage.GP2|Express.Storage)", "storage_gb", "storage_gb(?:_total)?", "storage_gb"),
    Line("Express.DataIn", "data_in_gb", "data_in_gb", "received_gb"),
    Line("DataTransfer-Out-Bytes", "transfer_gb", "transfer_gb"),
    Line("KafkaServerless-ClusterHours", "cluster_hour", "clusters|hours"),
    Line("KafkaServerless-PartitionHours", "partition_hour", "partitions"),
    Line("KafkaServerless-DataIn", "data_in_gb", "data_in_gb", "received_gb"),
]


def kafka(row: Row) -> Work:
    """Brokers of either kind, or a serverless cluster."""
    mode = row.text("mode")
    if mode == "serverless":
        row.agree("clusters", 1, "one cluster")
        stream = ServerlessKafka(
            partitions=row.whole("partitions", 1), sent_gb=row.number("data_out_gb", 0), **values(row, KAFKA)
        )
        return Work([stream], KAFKA, hours(row))
    brokers = row.whole("brokers")
    if row.given("storage_gb_per_broker"):
        row.agree("storage_gb_total", row.number("storage_gb_per_broker") * brokers, "what all brokers have")
    cluster = KafkaCluster(instance_type=row.text("broker"), brokers=brokers, **values(row, KAFKA))
    sent = [InternetEgress(gb=row.number("transfer_gb"))] if row.given("transfer_gb") else []
    return Work([cluster, *sent], KAFKA, hours(row))


QUEUE = [Line("Requests-(?:FIFO-)?Tier1", "per", "(?:(?:standard|fifo)_)?requests", free="free_requests")]


def queue(row: Row) -> Work:
    """Requests to queues, in chunks of 64 KB."""
    used = Queue(
        requests=row.number("(?:standard_)?requests", 0),
        fifo_requests=row.number("fifo_requests", 0),
        request_kb=row.number("request_kb", Decimal(64)),
    )
    billed = sum(each.quantity for each in used.charges(Decimal(730)))
    row.agree("billed_requests", billed, "requests in chunks of 64 KB")
    if row.given("chunks_per_request"):
        row.agree("chunks_per_request", billed / (used.requests + used.fifo_requests), "chunks of 64 KB")
    row.rates = {"per_" + name.removeprefix("per_"): usd for name, usd in row.rates.items()}
    return Work([used], [Line(each.usage, "", each.inputs, free=each.free) for each in QUEUE])


TOPIC = [
    Line("Requests-Tier1", "req", "requests", "requests", free="free_requests"),
    Line("DeliveryAttempts-HTTP", "http", "http_deliveries", "http_deliveries", free="free_http"),
    Line("DeliveryAttempts-SMTP", "email", "email_deliveries", "email_deliveries", free="free_email"),
    Line("DeliveryAttempts-FIREHOSE", "firehose", "firehose_deliveries", "firehose_deliveries"),
    Line("Notifications-Mobile", "push", "mobile_push", "push_notifications"),
    Line("DeliveryAttempts-MACOS", "macos", "macos_push", "desktop_notifications"),
    Line("F-Request-Tier1", "fifo_req", "fifo_requests", "fifo_requests"),
    Line("F-Ingress-Tier1", "payload_gb", "payload_gb", "fifo_gb"),
    Line("F-DA-SQS", "fifo_notify", "fifo_notifications", "fifo_notifications"),
    Line("F-Egress-SQS", "notify_payload_gb", "notification_payload_gb", "fifo_notified_gb"),
]


def topic(row: Row) -> Work:
    """What topics take and deliver."""
    arguments = values(row, TOPIC)
    if not row.printed("req") and arguments.get("requests", 0) <= MILLION:
        arguments.pop("requests", None)  # within the free million
    return Work([Topic(**arguments)], TOPIC)


EVENTS = [
    Line("Event-64K-Chunks.*", "custom", "custom_events", "custom_events"),
    Line("Pipes-Requests", "pipes", "pipes_requests_after_filter", "pipe_requests"),
    Line("ScheduledInvocation", "scheduler", "scheduler_invocations", "scheduled_invocations", free="free_invocations"),
]


def events(row: Row) -> Work:
    """Events put by applications; AWS's own events and deliveries inside an account are free."""
    for free in ("aws_service_events", "same_account_deliveries", "invocations"):
        row.number(free, None)
    return Work([EventBus(event_kb=row.number("request_kb", Decimal(64)), **values(row, EVENTS))], EVENTS)


WORKFLOW = [
    Line("StateTransition", "", "transitions", "transitions", free="free_transitions"),
    Line("StepFunctions-Request", "req", "requests"),
    Line("StepFunctions-GB-Second", "gb_s", "memory_mb"),
]


def workflow(row: Row) -> Work:
    """Transitions, or express requests with their steps of memory and time; tiers are printed in GB-hours."""
    if row.text("type") == "standard":
        if row.given("requests"):
            row.agree(
                "transitions", row.number("requests") * row.number("transitions_per_request"), "requests times steps"
            )
        return Work([Workflow(**values(row, WORKFLOW[:1]))], WORKFLOW)
    row.rates = {name.replace("_1000h", "_3600k").replace("_4000h", "_14400k"): usd for name, usd in row.rates.items()}
    if "gb_s_t1" in row.rates and len(row.rates) == 2:
        row.rates["gb_s"] = row.rates.pop("gb_s_t1")
    express = Workflow(
        express_requests=row.number("requests"),
        express_ms=row.number("duration_ms"),
        express_mb=row.number("memory_mb"),
    )
    seconds = next(each.quantity for each in express.charges(Decimal(730)) if each.query.unit == "GB-Second")
    if row.given("billed_mb"):
        row.agree(
            "billed_mb",
            seconds / express.express_requests / row.number("billed_ms") * 1000 * 1024,
            "memory in steps of 64 MB",
        )
    row.take("gb_hours", None)
    return Work(
        [express], [Line(each.usage, "gb_s" if each.rate == "gb_s" else each.rate, each.inputs) for each in WORKFLOW]
    )


PLACES = {"us": "us", "india": "in"}
CDN = [
    Line(".*-DataTransfer-Out-Bytes", "out(?:_gb)?", "out_gb", "gb"),
    Line(".*-DataTransfer-Out-OBytes", "origin_gb", "origin_out_gb", "to_origin_gb"),
    Line(".*-Requests-Tier2-HTTPS", "https", "https_requests", "https_requests"),
    Line("Invalidations", "path", "invalidation_paths", "invalidated_paths", free="free_paths"),
]


def cdn(row: Row) -> Work:
    """Traffic and requests of one price area; what is always free is the package's to know."""
    area = row.text("price_area", "us")
    if area not in PLACES:
        raise Unsupported(f"price area {area!r}")
    row.agree("free_requests", 10 * MILLION, "what is free")
    return Work([Cdn(area=PLACES[area], **values(row, CDN))], CDN)


USERS = [Line("Cognito(?:Lite|Essentials|Plus|UserPools)MAU", "mau", "mau", "active_users", free="free_mau")]


def users(row: Row) -> Work:
    """Active users of a tier."""
    if row.flag("advanced_security"):
        raise Unsupported("advanced security of legacy pools")
    return Work([UserPool(tier=row.text("tier"), **values(row, USERS))], USERS)


FIREWALL = [
    Line("WebACLV2", "acl", "web_acls", "count"),
    Line("RuleV2", "rule", "rules", "rules"),
    Line("RuleGroupV2", "group", "(?:managed_)?rule_groups"),
    Line("RequestV2-48KB", "req", "requests", "requests"),
    Line("AMR-BotControl", "bot_control(?:_month)?", "bot_control"),
]


def firewall(row: Row) -> Work:
    """Lists, rules, groups and requests; a page may print own and managed groups apart."""
    groups = row.whole("rule_groups", 0) + row.whole("managed_rule_groups", 0)
    rates = {name: row.rates.pop(name) for name in ("group", "managed_group") if name in row.rates}
    if rates:
        paid = row.whole("rule_groups", 0) * rates.get("group", 0) + row.whole("managed_rule_groups", 0) * rates.get(
            "managed_group", 0
        )
        row.rates["group"] = paid / groups  # AWS has one name for both
    return Work([WebAcl(rule_groups=groups, bot_control=row.flag("bot_control"), **values(row, FIREWALL))], FIREWALL)
