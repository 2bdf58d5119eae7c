"""The Pricing API through the real client: boto3 over HTTP against a server that replays recorded products."""
from __future__ import annotations

import json
import socket
import time
from datetime import date, timedelta
from decimal import Decimal

import boto3
import pytest
from pricing_server import PricingServer, constructed, recorded

from pretamane_analysis.api_book import ApiBook, status
from pretamane_analysis.architectures import architecture
from pretamane_analysis.cost import bill
from pretamane_analysis.price_api import (
    ApiError, BadAnswer, NoAccess, Throttled, TokenBucket, Unreachable, filters, rows_of, searches,
)
from pretamane_analysis.price_rows import RowBook, prices_of
from pretamane_analysis.prices import GLOBAL, AmbiguousPrice, MissingPrice, Query
from pretamane_analysis.snapshot import bundled
from pretamane_analysis.stack_file import example

SECRET = "THIS-IS-THE-SECRET-KEY"
LINUX = {"operatingSystem": "Linux", "tenancy": "Shared"}
ALB = {"productFamily": "Load Balancer-Application"}


def ask(service: str, usage_type: str, unit: str, region: str, option: str = "OnDemand", **attributes: str) -> Query:
    """Return a query in one call"""
    return Query(service, usage_type, unit, region, option, tuple(sorted(attributes.items())))


@pytest.fixture(scope="module")
def entries():
    """All products of the data files"""
    return recorded()


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """An account of nobody: no profile, no proxy, no metadata service, a cache of its own, and retries without long waits"""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "eu-west-1",
                        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "none"), "NO_PROXY": "127.0.0.1",
                        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "PRETAMANE_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)


@pytest.fixture
def server(entries, monkeypatch):
    """A server of all recorded products"""
    with PricingServer(entries) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", running.url)
        yield running


def book(**settings) -> ApiBook:
    """Return a book that gives up soon and has a quota of its own"""
    return ApiBook(**{"attempts": 3, "connect_seconds": 1, "read_seconds": 1, "patience": 5, "bucket": TokenBucket(1000, 1000.0), **settings})


PRICES = [  # query, USD of each tier
    (ask("AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1", **LINUX), ["0.0416"]),
    (ask("AmazonEC2", "BoxUsage:m5.large", "Hrs", "sa-east-1", **LINUX), ["0.153"]),
    (ask("AmazonEC2", "EBS:VolumeUsage.gp3", "GB-Mo", "us-east-1"), ["0.08"]),
    (ask("AmazonEC2", "EBS:VolumeUsage", "GB-Mo", "us-east-1"), ["0.05"]),
    (ask("AmazonEC2", "EBS:VolumeUsage.piops", "GB-Mo", "eu-west-1"), ["0.138"]),
    (ask("AmazonEC2", "EBS:VolumeP-IOPS.gp3", "IOPS-Mo", "us-east-1"), ["0.005"]),
    (ask("AmazonEC2", "EBS:VolumeP-IOPS.io2.tier2", "IOPS-Mo", "us-east-1"), ["0.0455"]),
    (ask("AmazonEC2", "EBS:VolumeP-Throughput.gp3", "GiBps-Mo", "us-east-1"), ["40.96"]),
    (ask("AmazonEC2", "EBS:SnapshotUsage", "GB-Mo", "us-east-1"), ["0.05"]),
    (ask("AmazonEC2", "EBS:SnapshotUsage", "GB-Mo", "eu-west-1"), ["0.05"]),
    (ask("AmazonVPC", "PublicIPv4:InUseAddress", "Hrs", "us-east-1"), ["0.005"]),
    (ask("AmazonVPC", "PublicIPv4:IdleAddress", "Hrs", "eu-west-1"), ["0.005"]),
    (ask("AmazonEKS", "AmazonEKS-Hours:perCluster", "Hrs", "ap-southeast-2"), ["0.1"]),
    (ask("AmazonEKS", "AmazonEKS-Hours:perCluster", "Hrs", "sa-east-1"), ["0.1"]),
    (ask("AmazonEKS", "AmazonEKS-Hours:extendedSupport", "Hrs", "sa-east-1"), ["0.5"]),
    (ask("AmazonEKS", "EKS-Auto:m7i.large-management-hours", "Hrs", "sa-east-1"), ["0.01928"]),
    (ask("AWSELB", "LoadBalancerUsage", "Hrs", "sa-east-1", **ALB), ["0.034"]),
    (ask("AWSELB", "LCUUsage", "LCU-Hrs", "sa-east-1", **ALB), ["0.011"]),
    (ask("AWSDataTransfer", "DataTransfer-Out-Bytes", "GB", "sa-east-1"), ["0.15", "0.138", "0.126", "0.114"]),
    (ask("AWSDataTransfer", "Global-DataTransfer-Out-Bytes", "GB", GLOBAL), ["0"]),
    (ask("AWSDataTransfer", "DataTransfer-Regional-Bytes", "GB", "sa-east-1"), ["0.01"]),
    (ask("AWSDataTransfer", "AWS-Out-Bytes", "GB", "sa-east-1", toRegionCode="us-east-1"), ["0.138"]),
    (ask("AmazonS3", "TimedStorage-ByteHrs", "GB-Mo", "sa-east-1"), ["0.0405", "0.039", "0.037"]),
    (ask("AmazonS3", "Requests-Tier1", "Requests", "sa-east-1"), ["0.000007"]),
    (ask("AWSLambda", "Lambda-GB-Second", "GB-Second", "sa-east-1"), ["0.0000166667", "0.0000150000", "0.0000133334"]),
]


@pytest.mark.parametrize(("query", "usd"), PRICES, ids=[f"{query.service}-{query.usage_type}-{query.region}" for query, _ in PRICES])
def test_price_of_each_recorded_product(server, query, usd):
    """Each recorded product is found by the query of its charge"""
    assert [tier.usd for tier in book().find(query).tiers] == [Decimal(each) for each in usd]
