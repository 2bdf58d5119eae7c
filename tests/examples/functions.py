"""Lambda functions in all their forms, and API Gateway."""
from __future__ import annotations

from decimal import Decimal

from pretamane_analysis.resources import (
    ApiGateway,
    DurableExecution,
    Function,
    ManagedInstances,
    ProvisionedConcurrency,
    Resource,
    TenantIsolation,
)

from .compute import purchase_option
from .rates import Line, Unsupported
from .row import Adapter, Row, Work
from .traffic import egress

REQUESTS = "requests|executions|invocations|billable_requests|other_requests|vehicles"
MANAGED = r"([a-z0-9-]+\.[a-z0-9]+)_hours"
BILLION = 10**9
LAMBDA = [
    Line("(?:Lambda-Managed-Instances-)?Request", "req(?:uests?)?", f"{REQUESTS}|pc_requests", tier_per=10**6,
         free="free_requests"),
    Line("Lambda-GB-Second", "gbs(?:_x86)?|duration(?:_gbs)?", "gbs|mb|ms|other_ms", ends=(6 * BILLION, 15 * BILLION),
         free="free_gbs"),
    Line("Lambda-GB-Second-ARM", "gbs(?:_arm(?:64)?)?|duration(?:_gbs)?", "gbs|mb|ms|other_ms",
         ends=(7_500_000_000, 18_750_000_000), free="free_gbs"),
    Line("Lambda-Storage-GB-Second", "eph(?:emeral)?_gbs", "ephemeral_mb"),
    Line("Lambda-Provisioned-Concurrency", "(?:pc|provisioned)_gbs", "provisioned_concurrency"),
    Line("Lambda-Provisioned-GB-Second", "(?:pc|provisioned)_duration(?:_gbs)?", "pc_ms"),
    Line("Lambda-Durable-Execution-Operations", "op(?:eration)?s?", "operations"),
    Line("Lambda-Durable-Execution-Written-Bytes", "written_gb", "written_gb"),
    Line("Lambda-Durable-Execution-TimedStorage-ByteHrs", "retained_gb(?:_month)?", "retained_gb_month"),
    Line("Lambda-Tenant-Isolated-Environment-GB", "(?:isolated_)?env_gb", "isolated_envs"),
    Line("Lambda-Managed-Instances-.*-Management-Hours", "mgmt_fee_hour|management_fee_hour", MANAGED),
    Line("BoxUsage:([^ ]+)", "(?!$)(?:{0}_?)?(?:ri_|sp_|instance_)?(?:hour)?", MANAGED),
]


def function(row: Row) -> Work:
    """A function, or one of the forms that are billed by other dimensions."""
    if row.given(MANAGED):
        return Work([_managed(row)], LAMBDA)
    resources: list[Resource] = [_function(row)] if row.given(f"{REQUESTS}|gbs") else []
    memory = row.number("mb|memory_mb", Decimal(128))
    if row.given("provisioned_concurrency"):
        seconds = row.number("pc_seconds") if row.given("pc_seconds") else row.number("pc_hours") * 3600
        resources.append(ProvisionedConcurrency(concurrency=row.number("provisioned_concurrency"), memory_mb=memory,
                                                seconds=seconds,
                                                requests=row.number("pc_requests", 0),
                                                milliseconds=row.number("pc_ms", 0)))
    if row.given("operations"):
        resources.append(DurableExecution(operations=row.number("operations"), written_gb=row.number("written_gb", 0),
                                          retained_gb_month=row.number("retained_gb_month", 0)))
    if row.given("isolated_envs"):
        resources.append(TenantIsolation(environments=row.number("isolated_envs"),
                                         memory_mb=row.number("mb|memory_mb")))
    return Work(resources, LAMBDA)


def _managed(row: Row) -> ManagedInstances:
    "Instances of one's own account that serve functions."
    name = row.names(MANAGED)
    return ManagedInstances(instance_type=name[0].removesuffix("_hours"), instance_hours=row.number(MANAGED),
                            requests=row.number("requests"), purchase_option=purchase_option(row))


def _function(row: Row) -> Function:
    "Requests with their duration, described or measured."
    if row.given("pc_requests") and row.given("requests"):
        raise Unsupported("requests: all of them, or those besides pc_requests?")
    if row.given("gbs") and row.given("ms|other_ms"):
        raise Unsupported("the duration is told twice")
    requests = _requests(row)
    arch = row.text("arch|architecture", "arm64" if row.printed("gbs_arm(?:64)?") else "x86")
    if arch not in ("x86", "x86_64", "arm64", "arm"):
        raise Unsupported(f"architecture {arch!r}")
    measured = row.number("gbs", None)
    if measured is not None and row.given("ephemeral_mb"):
        raise Unsupported("the disk of a function of unknown duration")
    if measured is None:
        memory, milliseconds = row.number("mb|memory_mb"), row.number("ms|other_ms")
    else:
        memory, milliseconds = row.number("mb|memory_mb", Decimal(128)), Decimal(0)
    return Function(requests=requests, memory_mb=memory, milliseconds=milliseconds,
                    architecture="arm64" if arch.startswith("arm") else "x86_64", gb_seconds=measured,
                    ephemeral_mb=row.number("ephemeral_mb", Decimal(512)))


def _requests(row: Row) -> Decimal:
    "Requests of the month; vehicles send some every hour; of durable executions only some are billed."
    if row.given("vehicles"):
        return row.number("vehicles") * row.number("per_hour") * 24 * row.number("days")
    requests = row.number("requests|executions|invocations|other_requests", None)
    billable = row.number("billable_requests", requests)
    if requests is not None and billable != requests and not row.given("gbs"):
        raise Unsupported("the duration of requests that are not billed")
    return billable if billable is not None else Decimal(0)


def gateway(protocol: str) -> Adapter:
    """The adapter of one protocol."""
    counted, size = ("messages|requests",
                     "message_kb|request_kb") if protocol == "websocket" else ("requests", "request_kb")
    ends = {"http": (300 * 10**6,), "rest": (333 * 10**6, BILLION, 20 * BILLION), "websocket": (BILLION,)}[protocol]
    lines = [Line("ApiGateway(?:HttpRequest|Request|Message)", "(?:req(?:uests?)?|messages?|msg|msgs)?", counted,
                  tier_per=10**6, ends=ends, free="free_(?:requests|messages)"),
             Line("ApiGatewayMinute", "(?:conn(?:ection)?_)?min(?:utes?)?", "connection_minutes",
                  free="free_connection_minutes")]

    def adapter(row: Row) -> Work:
        requests = row.number(counted, 0)
        if protocol == "rest" and row.given(size):
            raise Unsupported("REST requests are not counted by their size")
        api = ApiGateway(protocol=protocol, requests=requests, request_kb=row.number(size, Decimal(1)),
                         connection_minutes=row.number("connection_minutes", 0) if protocol == "websocket" else 0)
        resources, others = egress(row)
        return Work([api, *resources], lines + others)

    return adapter
