"""What each product slug of the raw facts is called in the AWS price list."""
import re

from snapshot_common import Product, SnapshotError, joined
from snapshot_common import table as _table
from snapshot_services import PATTERNS, SERVICE_PRODUCTS


def _load_balancers():
    """Return the Elastic Load Balancing products."""
    kinds = {
        "alb": ("LoadBalancing:Application", "Load Balancer-Application"),
        "nlb": ("LoadBalancing:Network", "Load Balancer-Network"),
        "gwlb": ("LoadBalancing:Gateway", "Load Balancer-Gateway"),
        "clb": ("LoadBalancing", "Load Balancer"),
    }
    names = {
        "alb-hour": "LoadBalancerUsage", "alb-lcu": "LCUUsage",
        "alb-reserved-lcu": "ReservedLCUUsage", "alb-truststore-hour": "TS-LoadBalancerUsage",
        "nlb-hour": "LoadBalancerUsage", "nlb-lcu": "LCUUsage",
        "gwlb-hour": "LoadBalancerUsage", "gwlb-lcu": "LCUUsage",
        "clb-hour": "LoadBalancerUsage", "clb-gb": "DataProcessing-Bytes",
    }
    return {slug: Product(name, *kinds[slug.split("-")[0]]) for slug, name in names.items()}


def _volumes():
    """Return the EBS products that belong to one volume type."""
    def volume(ending, family, api_name):
        return Product(f"EBS:{ending}", "", family, f"volumeApiName={api_name}")

    table = {
        "ebs-magnetic-storage": volume("VolumeUsage", "Storage", "standard"),
        "ebs-magnetic-io": volume("VolumeIOUsage", "System Operation", "standard"),
        "io1-storage": volume("VolumeUsage.piops", "Storage", "io1"),
        "io1-iops": volume("VolumeP-IOPS.piops", "System Operation", "io1"),
        "gp3-throughput-gibps": volume("VolumeP-Throughput.gp3", "Provisioned Throughput", "gp3"),
    }
    table["gp3-throughput"] = table["gp3-throughput-gibps"]
    for name in ("gp2", "gp3", "io2", "st1", "sc1"):
        table[f"{name}-storage"] = volume(f"VolumeUsage.{name}", "Storage", name)
    for name in ("gp3", "io2"):
        table[f"{name}-iops"] = volume(f"VolumeP-IOPS.{name}", "System Operation", name)
    for tier in ("tier2", "tier3"):
        table[f"io2-iops-{tier}"] = volume(f"VolumeP-IOPS.io2.{tier}", "System Operation", "io2")
    return table


def _compute():
    """Return the other AmazonEC2 products that are not instances."""
    table = {
        "ebs-snapshot": Product("EBS:SnapshotUsage", "", "Storage Snapshot"),
        "ebs-snapshot-archive": Product("EBS:SnapshotArchiveStorage", "", "Storage Snapshot"),
        "ebs-snapshot-archive-retrieval": Product(
            "EBS:SnapshotArchiveRetrieval", "", "Storage Snapshot"),
        "ebs-snapshot-fast-restore": Product(
            "EBS:FastSnapshotRestore", "", "Fast Snapshot Restore"),
        "ebs-snapshot-api-put": Product(
            "EBS:directAPI.snapshot.Put", "", "EBS direct API Requests"),
        "nat-hour": Product("NatGateway-Hours", "", "NAT Gateway"),
        "nat-gb": Product("NatGateway-Bytes", "", "NAT Gateway"),
    }
    for family in ("t2", "t3", "t3a", "t4g"):
        table[f"cpu-credits-{family}"] = Product(
            f"CPUCredits:{family}", "", "CPU Credits", "operatingSystem=Linux")
    return table


def _kubernetes():
    """Return the AmazonEKS products."""
    table = {
        "eks-cluster-hour": Product(
            "AmazonEKS-Hours:perCluster", "CreateOperation", "Compute"),
        "eks-extended-hour": Product(
            "AmazonEKS-Hours:extendedSupport", "ExtendedSupport", "Compute"),
        "eks-fargate-vcpu-hour": Product("Fargate-vCPU-Hours:perCPU", "", "Compute"),
        "eks-fargate-gb-hour": Product("Fargate-GB-Hours", "", "Compute"),
        "eks-fargate-ephemeral-gb-hour": Product(
            "Fargate-EphemeralStorage-GB-Hours", "", "Compute"),
        "eks-hybrid-vcpu-hour": Product(
            "AmazonEKSHybridNodes-Hours:pervCPU", "HybridNodesUsage", "Compute"),
    }
    for size in ("xl", "2xl", "4xl", "8xl"):
        table[f"eks-provisioned-{size}-hour"] = Product(
            f"AmazonEKS-Hours:{size.upper()}-ProvisionedTier",
            "ProvisionedControlPlaneUsage", "Compute")
    for slug, name in (("ack", "ACK"), ("argocd", "ArgoCD"), ("kro", "KRO")):
        for kind, ending in (("capability", "Hours:perCapability"),
                             ("resource", "CR-Hours:perCustomResource")):
            table[f"eks-{slug}-{kind}-hour"] = Product(
                f"AmazonEKSCapabilities-{name}-{ending}", f"{name}Usage", "Compute")
    return table


PRODUCTS = {
    "AmazonEC2": {**_volumes(), **_compute()},
    "AWSELB": _load_balancers(),
    "AmazonEKS": _kubernetes(),
    "AmazonECS": _table(
        "Compute", fargate_vcpu_hour="Fargate-vCPU-Hours:perCPU",
        fargate_gb_hour="Fargate-GB-Hours",
        fargate_arm_vcpu_hour="Fargate-ARM-vCPU-Hours:perCPU",
        fargate_arm_gb_hour="Fargate-ARM-GB-Hours"),
    # Public IPv4 has no product family in the price list.
    "AmazonVPC": {
        **_table("", ipv4_hour="PublicIPv4:InUseAddress",
                 ipv4_idle_hour="PublicIPv4:IdleAddress"),
        **_table("VpcEndpoint", vpc_endpoint_hour="VpcEndpoint-Hours",
                 vpc_endpoint_gb="VpcEndpoint-Bytes"),
        **_table("VpcEndpoint", vpc_gwlb_endpoint_hour="VpcEndpoint-GWLBE-Hours",
                 vpc_gwlb_endpoint_gb="VpcEndpoint-GWLBE-Bytes")},
    "AWSDataTransfer": {
        **_table("Data Transfer", dto_internet="DataTransfer-Out-Bytes",
                 dto_internet_free="Global-DataTransfer-Out-Bytes",
                 dti_internet="DataTransfer-In-Bytes",
                 dt_cross_az="DataTransfer-Regional-Bytes",
                 dt_intraregion_xaz_in="DataTransfer-xAZ-In-Bytes",
                 dt_intraregion_xaz_out="DataTransfer-xAZ-Out-Bytes"),
        "dt-inter-region": Product("AWS-Out-Bytes", "", "Data Transfer", "toRegionCode=other")},
    "AmazonS3": {
        **_table("Storage", s3_standard="TimedStorage-ByteHrs",
                 s3_standard_ia="TimedStorage-SIA-ByteHrs",
                 s3_glacier_ir="TimedStorage-GIR-ByteHrs"),
        **_table("API Request", s3_put="Requests-Tier1", s3_get="Requests-Tier2")},
    "AmazonEFS": {
        **_table("Storage", efs_standard="TimedStorage-ByteHrs",
                 efs_onezone="TimedStorage-Z-ByteHrs",
                 efs_standard_ia="IATimedStorage-ByteHrs",
                 efs_onezone_ia="IATimedStorage-Z-ByteHrs"),
        **_table("Storage", efs_archive="ArchiveTimedStorage-ByteHrs"),
        "efs-elastic-read": Product("ETDataAccess-Bytes", "", "", "accessType=Read"),
        "efs-elastic-write": Product("ETDataAccess-Bytes", "", "", "accessType=Write"),
        **_table("Provisioned Throughput", efs_provisioned_mbps="ProvisionedTP-MiBpsHrs")},
    "AmazonECR": _table("EC2 Container Registry", ecr_storage="TimedStorage-ByteHrs"),
    "AmazonDynamoDB": {
        **_table("Amazon DynamoDB PayPerRequest Throughput",
                 ddb_rru="ReadRequestUnits", ddb_wru="WriteRequestUnits"),
        **_table("Provisioned IOPS", ddb_rcu_hour="ReadCapacityUnit-Hrs",
                 ddb_wcu_hour="WriteCapacityUnit-Hrs"),
        **_table("Database Storage", ddb_storage="TimedStorage-ByteHrs"),
        **_table("Amazon DynamoDB On-Demand Backup Storage",
                 ddb_backup="TimedBackupStorage-ByteHrs"),
        **_table("Database Storage", ddb_pitr="TimedPITRStorage-ByteHrs"),
        **_table("Amazon DynamoDB Restore Data Size", ddb_restore="RestoreDataSize-Bytes"),
        **_table("API Request", ddb_streams_read="Streams-Requests")},
    "AmazonES": {
        **_table("Amazon OpenSearch Service Volume", opensearch_gp2="ES:GP2-Storage",
                 opensearch_gp3="ES:GP3-Storage",
                 opensearch_gp3_throughput="ES:GP3-Provisioned-Throughput",
                 opensearch_io1="ES:PIOPS-Storage", opensearch_io1_iops="ES:PIOPS",
                 opensearch_magnetic="ES:Magnetic-Storage"),
        **_table("", opensearch_ocu_hour="SearchOCU",
                 opensearch_managed_storage="ES:Managed-Storage")},
    "AmazonCloudWatch": {
        **_table("Data Payload", cw_logs_ingest="DataProcessing-Bytes",
                 cw_logs_insights="DataScanned-Bytes", cw_logs_vended="VendedLog-Bytes"),
        "cw-logs-vended-s3": Product(
            "VendedLog-Bytes", "", "Data Payload", "logsDestination=Amazon S3"),
        **_table("Storage Snapshot", cw_logs_storage="TimedStorage-ByteHrs"),
        **_table("Metric", cw_metric="CW:MetricMonitorUsage"),
        **_table("Alarm", cw_alarm="CW:AlarmMonitorUsage",
                 cw_alarm_highres="CW:HighResAlarmMonitorUsage",
                 cw_alarm_composite="CW:CompositeAlarmMonitorUsage"),
        **_table("Dashboard", cw_dashboard="DashboardsUsageHour"),
        **_table("API Request", cw_requests="CW:Requests", cw_getmetricdata="CW:GMD-Metrics")},
    "AWSLambda": _table(
        "Serverless", lambda_requests="Request", lambda_gb_second="Lambda-GB-Second",
        lambda_gb_second_arm="Lambda-GB-Second-ARM",
        lambda_ephemeral_gb_second="Lambda-Storage-GB-Second"),
    "AmazonApiGateway": {
        **_table("API Calls", apigw_rest_requests="ApiGatewayRequest",
                 apigw_http_requests="ApiGatewayHttpRequest"),
        **_table("WebSocket", apigw_ws_messages="ApiGatewayMessage",
                 apigw_ws_minutes="ApiGatewayMinute")},
    "AmazonRoute53": {
        **_table("DNS Zone", route53_zone_month="HostedZone"),
        **_table("DNS Query", route53_queries="DNS-Queries", route53_geo_queries="Geo-Queries",
                 route53_latency_queries="LBR-Queries"),
        **_table("DNS Health Check", route53_healthcheck_aws="Health-Check-AWS",
                 route53_healthcheck_nonaws="Health-Check-Non-AWS")},
    "AmazonSES": _table("Sending Email", ses_recipient="Recipients"),
    "AWSSecretsManager": {
        **_table("Secret", secret_month="AWSSecretsManager-Secrets"),
        **_table("API Request", secret_api_call="AWSSecretsManagerAPIRequest")},
    "AWSSystemsManager": {
        **_table("AWS Systems Manager", ssm_advanced_param_month="PS-Advanced-Param-Tier1"),
        **_table("API Request", ssm_advanced_api="PS-Param-Processed-Tier2")},
    "awskms": {
        **_table("Encryption Key", kms_key_month="KMS-Keys"),
        **_table("API Request", kms_request="KMS-Requests"),
        **_table("", kms_request_asymmetric="KMS-Requests-Asymmetric")},
    "ComputeSavingsPlans": _table(
        "ComputeSavingsPlans", fargate_vcpu_hour="Fargate-vCPU-Hours:perCPU",
        fargate_gb_hour="Fargate-GB-Hours", lambda_gb_second="Lambda-GB-Second"),
    **SERVICE_PRODUCTS,
}

# Usage types that sources write in another form than the table.
ALIASES = {
    "Fargate-ARM-vCPU-Hours:perCPU": "Fargate-ARM-vCPU-Hours",  # bills drop :perCPU
    "BoxUsage:m1.small": "BoxUsage",  # the first instance type had no name of its own
    "AWSSecretsManager-Secrets": "AWSSecretsManager-Secret",  # some sources drop the plural
    "Requests-Tier1": "Requests-RBP",  # SQS in us-east-1
}
INSTANCE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
OPERATIONS = {"Linux": "RunInstances", "Windows": "RunInstances:0002"}
# One region (SAE1-, EU-), a pair of regions (SAE1-APN1-), or a region name (KMS).
REGION_PREFIX = re.compile(r"[A-Z]{2,4}\d?-(?:[A-Z]{2,4}\d?-)?|[a-z]{2}(?:-[a-z]+)+-\d-")


def _instance(fact, instance_type):
    """Return the identity of an EC2 instance, listed or under a Savings Plan."""
    system = fact.attributes.get("os", "Linux")
    tenancy = fact.attributes.get("tenancy", "Shared")
    if system not in OPERATIONS or tenancy not in ("Shared", "Dedicated"):
        raise SnapshotError(f"{fact.where}: unknown system {system!r} or tenancy {tenancy!r}")
    box = "BoxUsage" if tenancy == "Shared" else "DedicatedUsage"
    family = "Compute Instance"
    if fact.service_code == "ComputeSavingsPlans":
        plan = fact.term.split("-")[0]
        if not plan.startswith("SavingsPlan"):
            raise SnapshotError(f"{fact.where}: {fact.term!r} is not a Savings Plan")
        family = {"SavingsPlanCompute": "ComputeSavingsPlans",
                  "SavingsPlanEC2Instance": "EC2InstanceSavingsPlans"}[plan]
    return Product(f"{box}:{instance_type}", OPERATIONS[system], family, joined(
        instanceType=instance_type, operatingSystem=system, tenancy=tenancy))


def _patterned(fact):
    """Return the identity of a product whose slug carries a type or a region."""
    service, slug = fact.service_code, fact.product
    head, _, tail = slug.partition(":")
    if service == "AWSDataTransfer" and head == "dt-inter-region" and tail:
        return Product("AWS-Out-Bytes", "", "Data Transfer", joined(toRegionCode=tail))
    if service == "AmazonEKS" and head == "eks-auto-mgmt-hour" and INSTANCE.fullmatch(tail):
        return Product(f"EKS-Auto:{tail}-management-hours", "EKSAutoUsage", "Compute")
    if service == "AmazonES" and slug.endswith(".search"):
        return Product(f"ESInstance:{slug.removesuffix('.search')}", "",
                       "Amazon OpenSearch Service Instance", joined(instanceType=slug))
    if service in PATTERNS and (product := PATTERNS[service](slug)):
        return product
    if service in ("AmazonEC2", "ComputeSavingsPlans") and INSTANCE.fullmatch(slug):
        return _instance(fact, slug)
    return None


def identify(fact):
    """Return the product of a fact, or fail when the slug is unknown."""
    product = PRODUCTS.get(fact.service_code, {}).get(fact.product) or _patterned(fact)
    if product is None:
        raise SnapshotError(
            f"{fact.where}: no product for {fact.service_code} {fact.product!r}")
    return product


def check_usage_type(fact, product, usage_type):
    """Fail when a source names another usage type than the product table."""
    for ending in (product.usage_type, ALIASES.get(product.usage_type)):
        if ending and usage_type.endswith(ending):
            prefix = usage_type[:-len(ending)]
            if not prefix or REGION_PREFIX.fullmatch(prefix):
                return
    raise SnapshotError(
        f"{fact.where}: usage type {usage_type!r} is not {product.usage_type!r}")
