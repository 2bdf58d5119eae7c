"""Every kind of AWS thing that is billed; importing this makes all of them known by name."""
from .caches import CacheNodes, ServerlessCache
from .charge import KINDS, Charge, Resource, metered, resource
from .compute import EksCluster, FargateTasks, Instances, NodeGroup, instance_hour
from .data import SearchDomain, SearchServerless, Table
from .databases import AuroraCluster, DbInstance, DocumentCluster
from .delivery import Cdn, FargatePods, UserPool, WebAcl
from .functions import (
    ApiGateway, DurableExecution, Function, ManagedInstances, ProvisionedConcurrency, TenantIsolation,
)
from .messaging import Broker, EventBus, KafkaCluster, Queue, ServerlessKafka, Topic, Workflow
from .network import (
    CrossZoneTraffic, HostedZones, InternetEgress, InternetIngress, InterRegionTraffic, Load, LoadBalancer, NatGateway,
    PublicAddresses, VpcEndpoint,
)
from .operations import FreeOfCharge, Keys, Logs, Mail, Monitoring, Parameters, Secrets, StatedCost
from .storage import Bucket, DiskSnapshots, FileSystem, ImageRegistry, Volume

__all__ = [
    "KINDS", "ApiGateway", "AuroraCluster", "Broker", "Bucket", "CacheNodes", "Cdn", "Charge", "CrossZoneTraffic",
    "DbInstance", "DiskSnapshots", "DocumentCluster", "DurableExecution", "EksCluster", "EventBus", "FargatePods",
    "FargateTasks", "FileSystem", "FreeOfCharge", "Function", "HostedZones", "ImageRegistry", "Instances",
    "InterRegionTraffic", "InternetEgress", "InternetIngress", "KafkaCluster", "Keys", "Load", "LoadBalancer",
    "Logs", "Mail", "ManagedInstances", "Monitoring", "NatGateway", "NodeGroup", "Parameters",
    "ProvisionedConcurrency", "PublicAddresses", "Queue", "Resource", "SearchDomain", "SearchServerless", "Secrets",
    "ServerlessCache", "ServerlessKafka", "StatedCost", "Table", "TenantIsolation", "Topic", "UserPool", "Volume",
    "VpcEndpoint", "WebAcl", "Workflow", "instance_hour", "metered", "resource",
]
