"""Every kind of AWS thing that is billed; importing this makes all of them known by name."""
from .charge import KINDS, Charge, Resource, metered, resource
from .compute import EksCluster, FargateTasks, Instances, NodeGroup
from .data import SearchDomain, SearchServerless, Table
from .functions import (
    ApiGateway, DurableExecution, Function, ManagedInstances, ProvisionedConcurrency, TenantIsolation,
)
from .network import (
    CrossZoneTraffic, HostedZones, InternetEgress, InternetIngress, InterRegionTraffic, Load, LoadBalancer, NatGateway,
    PublicAddresses, VpcEndpoint,
)
from .operations import FreeOfCharge, Keys, Logs, Mail, Monitoring, Parameters, Secrets
from .storage import Bucket, DiskSnapshots, FileSystem, ImageRegistry, Volume

__all__ = [
    "KINDS", "ApiGateway", "Bucket", "Charge", "CrossZoneTraffic", "DiskSnapshots", "DurableExecution", "EksCluster",
    "FargateTasks", "FileSystem", "FreeOfCharge", "Function", "HostedZones", "ImageRegistry", "Instances",
    "InterRegionTraffic", "InternetEgress", "InternetIngress", "Keys", "Load", "LoadBalancer", "Logs", "Mail",
    "ManagedInstances", "Monitoring", "NatGateway", "NodeGroup", "Parameters", "ProvisionedConcurrency", "PublicAddresses",
    "Resource", "SearchDomain", "SearchServerless", "Secrets", "Table", "TenantIsolation", "Volume", "VpcEndpoint",
    "metered", "resource",
]
