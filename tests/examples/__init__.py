"""Adapters that turn a worked example's inputs and rates into the package's resources and prices."""
from . import compute, functions, managed, network, other, storage
from .rates import Unsupported
from .row import Adapter, Row, total

ADAPTERS: dict[str, Adapter] = {
    "EKS": compute.cluster, "EKS node group": compute.node_group, "Fargate": compute.tasks,
    **dict.fromkeys(("EC2", "EC2 + CloudWatch", "EC2 CPU credits", "EC2 RI", "EC2 Savings Plan"), compute.instances),
    "EBS": storage.ebs, "EBS snapshot": storage.snapshots, "S3": storage.bucket, "EFS": storage.files,
    "ECR": storage.registry,
    "DynamoDB": other.table, "ALB": network.balancer("alb"), "NLB": network.balancer("nlb"),
    "CLB": network.balancer("clb"),
    "NAT gateway": network.nat, "Public IPv4": network.addresses, "VPC": network.vpc, "VPC endpoint": network.endpoint,
    "Data transfer": network.transfer, "Route 53": network.dns, "Lambda": functions.function,
    "API Gateway HTTP": functions.gateway("http"), "API Gateway REST": functions.gateway("rest"),
    "API Gateway WebSocket": functions.gateway("websocket"), "OpenSearch": other.search,
    "OpenSearch Serverless": other.serverless,
    "CloudWatch Logs": other.logs,
    **dict.fromkeys(("CloudWatch alarm", "CloudWatch dashboard", "CloudWatch metric"), other.watch),
    "RDS": managed.database, "Aurora": managed.aurora, "DocumentDB": managed.documents, "ElastiCache": managed.cache,
    "Amazon MQ": managed.broker, "MSK": managed.kafka, "SQS": managed.queue, "SNS": managed.topic,
    "EventBridge": managed.events,
    "Step Functions": managed.workflow, "CloudFront": managed.cdn, "Cognito": managed.users, "WAF": managed.firewall,
    "SES": other.mail, "Secrets Manager": other.secrets, "SSM Parameter Store": other.parameters, "KMS": other.keys,
}

__all__ = ["ADAPTERS", "Adapter", "Row", "Unsupported", "total"]
