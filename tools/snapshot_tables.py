"""Build the small tables of the snapshot: instances, EKS versions, free allowances."""
from snapshot_common import UNITS, SnapshotError, decimal_of, plain, read_csv
from snapshot_offers import read_allowance

INSTANCE_COLUMNS = (
    "instance_type", "vcpu", "memory_gib", "architecture", "burstable",
    "baseline_cpu_percent", "credits_per_hour", "max_credits", "network",
    "ebs_baseline_mbps", "max_pods", "current_generation", "network_baseline_mbps", "ebs_baseline_iops",
)
LIMITS = ("network_baseline_mbps", "ebs_baseline_iops")
NUMBERS = {
    "vcpu": "vcpu", "memory_gib": "memory_gib", "baseline_cpu_percent": "baseline_cpu_pct",
    "credits_per_hour": "credits_per_hour", "max_credits": "max_credits",
    "ebs_baseline_mbps": "ebs_baseline_mbps", "max_pods": "eks_max_pods_eni",
}
TEXTS = {"instance_type": "instance_type", "architecture": "arch", "network": "network"}
FLAGS = {"burstable": "burstable", "current_generation": "current_generation"}

VERSION_COLUMNS = ("version", "standard_support_until", "extended_support_until", "source")
EARLIER = "endoflife-date/endoflife.date@05b554b2:products/amazon-eks.md"
LATER = "endoflife-date/endoflife.date@a70eca3:products/amazon-eks.md"
# Extended support lasts 12 months after standard support (EKS user guide).
EKS_VERSIONS = (
    ("1.23", "2023-10-11", "2024-10-11", EARLIER),
    ("1.24", "2024-01-31", "2025-01-31", EARLIER),
    ("1.25", "2024-05-01", "2025-05-01", EARLIER),
    ("1.26", "2024-06-11", "2025-06-11", EARLIER),
    ("1.27", "2024-07-24", "2025-07-24", EARLIER),
    ("1.28", "2024-11-26", "2025-11-26", LATER),
    ("1.29", "2025-03-23", "2026-03-23", EARLIER),
    ("1.30", "2025-07-23", "2026-07-23", EARLIER),
    ("1.31", "2025-11-26", "2026-11-26", EARLIER),
    ("1.32", "2026-03-23", "2027-03-23", EARLIER),
    ("1.33", "2026-07-29", "2027-07-29", LATER),
    ("1.34", "2026-12-02", "2027-12-02", LATER),
    ("1.35", "2027-03-27", "2028-03-27", LATER),
    ("1.36", "2027-08-02", "2028-08-02", LATER),
)

ALLOWANCE_COLUMNS = (
    "id", "service_code", "sku", "usage_type", "applies_to", "quantity", "unit", "scope",
    "reason", "source", "as_of",
)
LISTED_ALLOWANCES = (
    ("internet-egress", "AWSDataTransfer", "Global-DataTransfer-Out-Bytes",
     "first 100 GB of internet egress a month are free, all services and regions together"),
    ("regional-transfer", "AWSDataTransfer", "Global-DataTransfer-Regional-Bytes",
     "first 1 GB of transfer between zones a month is free, all regions together"),
    ("lambda-requests", "AWSLambda", "Global-Request",
     "first 1,000,000 Lambda requests a month are free"),
    ("lambda-duration", "AWSLambda", "Global-Lambda-GB-Second",
     "first 400,000 GB-seconds of Lambda a month are free"),
)
CLOUDWATCH = "aws.amazon.com/cloudwatch/pricing, free tier"
CLOUDFRONT, SNS = "aws.amazon.com/cloudfront/pricing, always free", "aws.amazon.com/sns/pricing"


def _areas(*endings):
    """Name the usage types of all CloudFront price areas."""
    return ";".join(sorted(f"{area}-{ending}" for ending in endings
                           for area in ("US", "EU", "AP", "JP", "IN", "SA", "AU", "CA", "ME", "ZA")))


PAGE_ALLOWANCES = (
    ("cloudwatch-alarms", "AmazonCloudWatch", "", "CW:AlarmMonitorUsage", "10", "Alarms",
     "account", "first 10 standard alarm metrics are free", CLOUDWATCH, ""),
    ("cloudwatch-dashboards", "AmazonCloudWatch", "", "DashboardsUsageHour", "3", "Dashboards",
     "account", "first 3 dashboards are free", CLOUDWATCH, ""),
    ("cloudwatch-logs-ingestion", "AmazonCloudWatch", "", "DataProcessing-Bytes", "5", "GB", "account",
     "first 5 GB of log ingestion are free", CLOUDWATCH, ""),
    ("cloudwatch-logs-scanning", "AmazonCloudWatch", "", "DataScanned-Bytes", "5", "GB", "account",
     "first 5 GB scanned by Logs Insights are free", CLOUDWATCH, ""),
    ("cloudwatch-logs-storage", "AmazonCloudWatch", "", "TimedStorage-ByteHrs", "5", "GB", "account",
     "first 5 GB of log storage are free", CLOUDWATCH, ""),
    ("cloudwatch-metrics", "AmazonCloudWatch", "", "CW:MetricMonitorUsage", "10", "Metrics",
     "account", "first 10 custom or detailed monitoring metrics are free", CLOUDWATCH, ""),
    ("dynamodb-storage", "AmazonDynamoDB", "F3E2EDSYC6ZNW7XP", "TimedStorage-ByteHrs", "25",
     "GB-Mo", "region", "first 25 GB of table storage are free",
     "price list tier 0-25 of the storage SKU; aws.amazon.com/dynamodb/pricing", "2026-10-01"),
    ("kms-requests", "awskms", "", "KMS-Requests", "20000", "Requests", "account",
     "first 20,000 KMS requests a month are free", "aws.amazon.com/kms/pricing", ""),
    ("sqs-requests", "AWSQueueService", "", "Requests-FIFO-Tier1;Requests-Tier1", "1000000", "Requests", "account",
     "first 1,000,000 SQS requests a month are free", "aws.amazon.com/sqs/pricing", ""),
    ("sns-requests", "AmazonSNS", "", "Requests-Tier1", "1000000", "Requests", "account",
     "first 1,000,000 SNS requests a month are free", SNS, ""),
    ("sns-http", "AmazonSNS", "", "DeliveryAttempts-HTTP", "100000", "Notifications", "account",
     "first 100,000 HTTP notifications a month are free", SNS, ""),
    ("sns-email", "AmazonSNS", "", "DeliveryAttempts-SMTP", "1000", "Notifications", "account",
     "first 1,000 email notifications a month are free", SNS, ""),
    ("sns-mobile", "AmazonSNS", "", "Notifications-Mobile", "1000000", "Notifications", "account",
     "first 1,000,000 mobile notifications a month are free", SNS, ""),
    ("cloudfront-egress", "AmazonCloudFront", "", _areas("DataTransfer-Out-Bytes"), "1024", "GB", "account",
     "first 1 TB sent by CloudFront a month is free", CLOUDFRONT, ""),
    ("cloudfront-requests", "AmazonCloudFront", "", _areas("Requests-Tier1", "Requests-Tier2-HTTPS"), "10000000",
     "Requests", "account", "first 10,000,000 CloudFront requests a month are free", CLOUDFRONT, ""),
    ("cloudfront-functions", "AmazonCloudFront", "", "Executions-CloudFrontFunctions", "2000000", "Invocations",
     "account", "first 2,000,000 CloudFront function calls a month are free", CLOUDFRONT, ""),
    ("cloudfront-invalidations", "AmazonCloudFront", "", "Invalidations", "1000", "Paths", "account",
     "first 1,000 invalidated paths a month are free", CLOUDFRONT, ""),
    ("cognito-users", "AmazonCognito", "", "CognitoEssentialsMAU;CognitoLiteMAU", "10000", "MAU", "account",
     "first 10,000 monthly active users are free", "aws.amazon.com/cognito/pricing", ""),
    ("events-scheduler", "AWSEvents", "", "ScheduledInvocation", "14000000", "Invocations", "account",
     "first 14,000,000 scheduled invocations a month are free", "aws.amazon.com/eventbridge/pricing", ""),
    ("states-transitions", "AmazonStates", "", "StateTransition", "4000", "Transitions", "account",
     "first 4,000 state transitions a month are free", "aws.amazon.com/step-functions/pricing", ""),
)


def _flag(text, where):
    """Write a yes/no value in lower case."""
    if text not in ("True", "False"):
        raise SnapshotError(f"{where}: {text!r} is neither True nor False")
    return text.lower()


def instance_rows(paths, limits):
    """Return the rows of instances.csv; what a type has for ever comes from the file of limits, blank where unknown."""
    rows, known = [], {row["instance_type"]: row for _, row in read_csv(limits)}
    for where, raw in (each for path in paths for each in read_csv(path)):
        row = {name: raw[column] for name, column in TEXTS.items()}
        row |= {name: _flag(raw[column], where) for name, column in FLAGS.items()}
        row |= {name: plain(decimal_of(raw[column], where)) if raw[column] else ""
                for name, column in NUMBERS.items()}
        row |= {name: known.get(row["instance_type"], {}).get(name, "") for name in LIMITS}
        rows.append(row)
    if len({row["instance_type"] for row in rows}) != len(rows):
        raise SnapshotError(f"{paths[-1].name}: an instance type is listed twice")
    return sorted(rows, key=lambda row: row["instance_type"])


def version_rows():
    """Return the rows of eks_versions.csv."""
    return [dict(zip(VERSION_COLUMNS, version)) for version in EKS_VERSIONS]


def _listed_allowance(folder, allowance):
    """Read one free allowance of an offer file."""
    name, service_code, usage_type, reason = allowance
    sku, dimension, targets, date = read_allowance(folder, service_code, usage_type)
    endings = sorted({target.split("-", 1)[1] for target in targets.values()})
    return dict(zip(ALLOWANCE_COLUMNS, (
        name, service_code, sku, usage_type, ";".join(endings), dimension["endRange"],
        UNITS[dimension["unit"]], "account", reason,
        f"AWS price list {service_code}, sa-east-1; appliesTo names "
        f"{len(dimension['appliesTo'])} SKUs", date)))


def allowance_rows(folder):
    """Return the rows of allowances.csv."""
    rows = [_listed_allowance(folder, allowance) for allowance in LISTED_ALLOWANCES]
    for name, service, sku, applies_to, *rest in PAGE_ALLOWANCES:
        usage_type = applies_to if ";" not in applies_to else ""
        rows.append(dict(zip(
            ALLOWANCE_COLUMNS, (name, service, sku, usage_type, applies_to, *rest))))
    return sorted(rows, key=lambda row: row["id"])
