"""What the products of databases, caches, queues, brokers and the CDN are called in the price list."""
import re

from snapshot_common import Product, joined, table

from pretamane_analysis.resources.databases import class_in_usage_type


def _plain(**names):
    """Return products without a family; underscores in slugs stand for hyphens."""
    return table("", **names)


def _areas():
    """Return the CloudFront products: each price area is a prefix of the usage type."""
    kinds = {"egress": ("DataTransfer-Out-Bytes", "Data Transfer"),
             "origin": ("DataTransfer-Out-OBytes", "Data Transfer"),
             "http-requests": ("Requests-Tier1", "Request"),
             "https-requests": ("Requests-Tier2-HTTPS", "Request")}
    return {f"cloudfront-{kind}-{area}": Product(f"{area.upper()}-{ending}", "", family)
            for kind, (ending, family) in kinds.items()
            for area in ("us", "eu", "ap", "jp", "in", "sa", "au", "ca", "me", "za")}


SERVICE_PRODUCTS = {
    "AWSQueueService": table("API Request", sqs_requests="Requests-Tier1",
                             sqs_fifo_requests="Requests-FIFO-Tier1"),
    "AmazonSNS": _plain(
        sns_requests="Requests-Tier1", sns_http_deliveries="DeliveryAttempts-HTTP",
        sns_email_deliveries="DeliveryAttempts-SMTP", sns_mobile_push="Notifications-Mobile",
        sns_fifo_publish="F-Request-Tier1", sns_fifo_publish_payload="F-Ingress-Tier1",
        sns_fifo_notification="F-DA-SQS", sns_fifo_notification_payload="F-Egress-SQS"),
    "AmazonCloudFront": {
        **_areas(),
        "cloudfront-egress-free": Product("Global-DataTransfer-Out-Bytes", "", "Data Transfer"),
        "cloudfront-requests-free": Product("Global-Requests-Tier1", "", "Request"),
        "cloudfront-function-invocation": Product("Executions-CloudFrontFunctions"),
        "cloudfront-invalidation-path": Product("Invalidations")},
    "AmazonRDS": {
        **table("Database Storage", rds_gp2="RDS:GP2-Storage", rds_gp3="RDS:GP3-Storage",
                rds_io1="RDS:PIOPS-Storage", rds_gp2_multi_az="RDS:Multi-AZ-GP2-Storage",
                rds_gp3_multi_az="RDS:Multi-AZ-GP3-Storage",
                rds_io1_multi_az="RDS:Multi-AZ-PIOPS-Storage",
                aurora_storage="Aurora:StorageUsage",
                aurora_storage_io_optimized="Aurora:IO-OptimizedStorageUsage"),
        "rds-gp3-multi-az-mysql": Product(
            "RDS:Multi-AZ-GP3-Storage", "", "Database Storage", "databaseEngine=MySQL"),
        **table("Provisioned IOPS", rds_piops="RDS:PIOPS", rds_gp3_iops="RDS:GP3-PIOPS",
                rds_piops_multi_az="RDS:Multi-AZ-PIOPS",
                rds_gp3_iops_multi_az="RDS:Multi-AZ-GP3-PIOPS"),
        **table("Storage Snapshot", rds_backup="RDS:ChargedBackupUsage",
                aurora_backup="Aurora:BackupUsage"),
        **table("System Operation", aurora_io="Aurora:StorageIOUsage"),
        **table("Serverless", aurora_v1_acu_hour="Aurora:ServerlessUsage"),
        **table("ServerlessV2", aurora_acu_hour="Aurora:ServerlessV2Usage",
                aurora_acu_hour_io_optimized="Aurora:ServerlessV2IOOptimizedUsage"),
        **_plain(aurora_cpu_credit="CPUCredits:db.t3",
                 rds_extended_support_vcpu_hour="ExtendedSupport:Yr1-Yr2",
                 aurora_extended_support_vcpu_hour="ExtendedSupport:Yr1-Yr2:Aurora")},
    "AmazonElastiCache": {
        "elasticache-backup": Product("BackupUsage", "", "Storage Snapshot"),
        **{f"elasticache-serverless-{kind}-{engine}": Product(
            name, "", "ElastiCache Serverless", f"cacheEngine={title}")
           for kind, name in (("gb-hour", "ElastiCache:ServerlessCachedData"),
                              ("ecpu", "ElastiCache:ServerlessECPU"))
           for engine, title in (("valkey", "Valkey"), ("redis", "Redis"),
                                 ("memcached", "Memcached"))}},
    "AmazonMSK": _plain(
        msk_storage="Kafka.Storage.GP2", msk_storage_throughput="Kafka.Storage.Throughput",
        msk_storage_tiered="Kafka.Storage.Tiered", msk_tiered_retrieval="Kafka.DataRetrieval.Tiered",
        msk_express_storage="Express.Storage", msk_express_data_in="Express.DataIn",
        msk_connect_mcu_hour="Kafka.Connect.MCU", msk_serverless_storage="KafkaServerless-Storage",
        msk_private_connectivity_hour="Kafka.PrivateConnectivityHours",
        msk_private_connectivity_gb="Kafka.PrivateConnectivityBytes",
        msk_serverless_cluster_hour="KafkaServerless-ClusterHours",
        msk_serverless_partition_hour="KafkaServerless-PartitionHours",
        msk_serverless_data_in="KafkaServerless-DataIn",
        msk_serverless_data_out="KafkaServerless-DataOut"),
    "AmazonMQ": _plain(mq_storage_ebs="TimedStorage-EBS-ByteHrs", mq_storage_efs="TimedStorage-ByteHrs"),
    "AmazonDocDB": _plain(docdb_storage="StorageUsage", docdb_io="StorageIOUsage",
                          docdb_backup="BackupUsage", docdb_cpu_credit="CPUCredits:db.t3"),
    "AmazonCognito": _plain(
        cognito_lite_mau="CognitoLiteMAU", cognito_essentials_mau="CognitoEssentialsMAU",
        cognito_plus_mau="CognitoPlusMAU", cognito_legacy_mau="CognitoUserPoolsMAU",
        cognito_free_mau="Global-CognitoMAU"),
    "AWSEvents": {
        "events-custom": Product("Event-64K-Chunks", "", "EventBridge", "eventType=Custom Event"),
        "events-partner": Product("Event-64K-Chunks", "", "EventBridge", "eventType=Partner Event"),
        "events-schema-discovery": Product(
            "Event-8K-Chunks", "", "EventBridge", "eventType=Discovery Event"),
        **table("EventBridge", events_archive_processing="ArchivedEvents-Bytes",
                events_archive_storage="TimedStorage-ByteHrs"),
        **_plain(events_scheduler_invocation="ScheduledInvocation")},
    "AmazonStates": _plain(states_transition="StateTransition",
                           states_express_request="StepFunctions-Request",
                           states_express_gb_second="StepFunctions-GB-Second"),
    "awswaf": table(
        "Web Application Firewall", waf_acl_month="WebACLV2", waf_rule_month="RuleV2",
        waf_request="RequestV2-48KB", waf_rule_group_month="RuleGroupV2",
        waf_bot_control_month="AMR-BotControl", waf_bot_control_request="AMR-BotControl-Request"),
}
# Rates whose name in the price list is not known: a bill could not be matched with them.
UNNAMED = {
    ("AWSEvents", "events-api-destination"), ("AWSEvents", "events-pipes-request"),
    ("AmazonCognito", "cognito-advanced-security-mau"), ("AmazonSNS", "sns-firehose-deliveries"),
    ("AmazonEFS", "efs-archive-tiering"), ("AmazonEFS", "efs-ia-tiering"), ("AmazonRDS", "aurora-snapshot-export"),
    ("AmazonRDS", "aurora-backtrack-change-record-hour"), ("AmazonRDS", "aurora-backtrack-1M-change-records"),
    ("AmazonRDS", "aurora-global-write-io")}
# Products whose usage type is written here as the service writes its others; no list or bill was read that has it.
SUPPOSED = re.compile(
    r"AmazonElastiCache elasticache-|AmazonMQ |AmazonDocDB |AmazonSNS sns-email"
    r"|AmazonMSK msk-(connect|express-data|serverless-(data|storage)|private-connectivity-gb|storage-throughput)"
    r"|AmazonRDS (aurora-(extended|v1)|rds-extended)|awswaf waf-(rule-group|bot)|AmazonCognito cognito-free|AmazonEFS "
    r"efs-archive")

DATABASE = re.compile(
    r"(db\.[a-z0-9-]+\.[a-z0-9]+)-(postgresql|mysql|mariadb|aurora-postgresql|aurora-mysql)(-multi-az)?")
ENGINES = {  # operation and databaseEngine
    "mysql": ("CreateDBInstance:0002", "MySQL"), "postgresql": ("CreateDBInstance:0014", "PostgreSQL"),
    "mariadb": ("CreateDBInstance:0018", "MariaDB"), "aurora-mysql": ("CreateDBInstance:0016", "Aurora MySQL"),
    "aurora-postgresql": ("CreateDBInstance:0021", "Aurora PostgreSQL")}
CACHE = re.compile(r"(cache\.[a-z0-9-]+\.[a-z0-9]+)-(redis|valkey|memcached)")
CACHE_ENGINES = {"redis": ("CreateCacheCluster:0002", "Redis"), "memcached": ("CreateCacheCluster:0001", "Memcached"),
                 "valkey": ("", "Valkey")}
KAFKA = re.compile(r"(?:msk-broker-)?(kafka|express)?\.?([a-z0-9]+\.[a-z0-9]+)(?:-hour)?")
BROKER = re.compile(r"mq-([a-z0-9]+\.[a-z0-9]+)-(?:(activemq|rabbitmq)-)?(single|active-standby|cluster)")
BROKER_KINDS = {"single": "Single-AZ", "active-standby": "Multi-AZ", "cluster": "Multi-AZ"}


def _database(slug):
    """Return the identity of an RDS or Aurora instance."""
    if not (match := DATABASE.fullmatch(slug)):
        return None
    instance_type, engine, multi = match.groups()
    operation, title = ENGINES[engine]
    usage = "Multi-AZUsage" if multi else "InstanceUsage"
    return Product(f"{usage}:{class_in_usage_type(instance_type)}", operation, "Database Instance", joined(
        instanceType=instance_type, databaseEngine=title, deploymentOption="Multi-AZ" if multi else "Single-AZ"))


def _cache(slug):
    """Return the identity of an ElastiCache node."""
    if not (match := CACHE.fullmatch(slug)):
        return None
    operation, title = CACHE_ENGINES[match[2]]
    return Product(f"NodeUsage:{match[1]}", operation, "Cache Instance",
                   joined(instanceType=match[1], cacheEngine=title))


def _kafka(slug):
    """Return the identity of an MSK broker."""
    match = KAFKA.fullmatch(slug)
    return match and Product(f"{(match[1] or 'kafka').title()}.{match[2]}", "RunBroker", "",
                             joined(computeFamily=match[2]))


def _broker(slug):
    """Return the identity of an Amazon MQ broker; both engines cost the same where the list names none."""
    if not (match := BROKER.fullmatch(slug)):
        return None
    engine = {"activemq": "ActiveMQ", "rabbitmq": "RabbitMQ", None: "ActiveMQ"}[match[2]]
    return Product(f"{engine}:mq.{match[1]}", "", "Broker Instances", joined(
        instanceType=f"mq.{match[1]}", brokerEngine=engine, deploymentOption=BROKER_KINDS[match[3]]))


def _document(slug):
    """Return the identity of a DocumentDB instance."""
    name = slug.removeprefix("docdb-")
    return Product(f"InstanceUsage:{class_in_usage_type(name)}", "CreateCluster", "Database Instance",
                   joined(instanceType=name)) if (
                       name.startswith("db.")) else None


PATTERNS = {"AmazonRDS": _database, "AmazonElastiCache": _cache, "AmazonMSK": _kafka, "AmazonMQ": _broker,
            "AmazonDocDB": _document}
