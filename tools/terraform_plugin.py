"""A provider that knows a provider's schema and keeps everything it is told: Terraform's plugin protocol 6
over PyPI `tf`.

Terraform starts it from a filesystem mirror (see terraform_mirror.py). It accepts every configuration that fits the
schema, invents
the values that AWS would answer, and plans a replacement where AWS would need one. It talks to nobody.
"""
from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from concurrent import futures
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import tf.provider
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_rpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import run_provider
from tf.types import Unknown
from tf.utils import read_dynamic_value, to_dynamic_value

# Arguments whose change AWS cannot make in place, from the provider's documentation; others are taken as changeable.
REPLACING = {
    "aws_instance": {"ami", "availability_zone", "subnet_id", "key_name", "placement_group", "tenancy"},
    "aws_ebs_volume": {"availability_zone", "encrypted", "kms_key_id", "snapshot_id", "outpost_arn"},
    "aws_volume_attachment": {"device_name", "instance_id", "volume_id"},
    "aws_subnet": {"availability_zone", "cidr_block", "vpc_id"},
    "aws_vpc": {"cidr_block"},
    "aws_ssm_parameter": {"name"},
    "aws_s3_bucket": {"bucket", "object_lock_enabled"},
}
# What AWS would answer, where something invented would be no valid part of a name or a policy.
ANSWERS = {
    "aws_caller_identity": {"account_id": "123456789012"},
    "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com"},
    "aws_ami": {"id": "ami-0123456789abcdef0"},
    "aws_ssm_parameter": {"value": "ami-0123456789abcdef0"},
}
PREFIXES = {"aws_ebs_volume": "vol", "aws_instance": "i", "aws_vpc": "vpc", "aws_subnet": "subnet",
            "aws_security_group": "sg"}
NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
WRITE_ONLY = bytes([11 << 3, 1])  # field 11 of Schema.Attribute, newer than the stubs


def _attribute(name: str, given: dict[str, Any]) -> pb.Schema.Attribute:
    flags = {flag: given[flag] for flag in ("required", "optional", "computed", "sensitive") if given.get(flag)}
    if nested := given.get("nested_type"):
        inner = pb.Schema.Object(attributes=[_attribute(*each) for each in nested["attributes"].items()],
                                 nesting=NESTING[nested["nesting_mode"]])
        return pb.Schema.Attribute(name=name, nested_type=inner, **flags)
    attribute = pb.Schema.Attribute(name=name, type=json.dumps(given["type"]).encode(), **flags)
    if given.get("write_only"):
        attribute.MergeFromString(WRITE_ONLY)
    return attribute


def _block(given: dict[str, Any]) -> pb.Schema.Block:
    nested = [pb.Schema.NestedBlock(type_name=name, block=_block(each["block"]), nesting=NESTING[each["nesting_mode"]],
                                    min_items=each.get("min_items", 0), max_items=each.get("max_items", 0))
              for name, each in given.get("block_types", {}).items()]
    return pb.Schema.Block(attributes=[_attribute(*each) for each in given.get("attributes", {}).items()],
                           block_types=nested)


def _schema(given: dict[str, Any]) -> pb.Schema:
    return pb.Schema(version=given.get("version", 0), block=_block(given["block"]))


def _length_delimited(field: int, content: bytes) -> bytes:
    "Encode a field of a protobuf message by hand, for fields that are newer than the stubs"
    size, prefix = len(content), bytearray([field << 3 | 2])
    while size > 127:
        prefix.append(size & 127 | 128)
        size >>= 7
    return bytes(prefix) + bytes([size]) + content


def empty(block: dict[str, Any]) -> dict[str, Any]:
    """Return a value of a block in which nothing is set"""
    value = {name: None for name in block.get("attributes", {})}
    return value | {name: None if each["nesting_mode"] == "single" else {} if each["nesting_mode"] == "map" else []
                    for name, each in block.get("block_types", {}).items()}


def planned(block: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` with everything unknown that the provider computes and nobody set"""
    found = dict(value)
    for name, each in block.get("attributes", {}).items():
        if each.get("write_only"):
            found[name] = None
        elif each.get("computed") and found.get(name) is None:
            found[name] = Unknown
    for name, each in block.get("block_types", {}).items():
        found[name] = _inside(each, found.get(name), planned)
    return found


def _inside(nested: dict[str, Any], value: Any, change: Any) -> Any:
    "Apply `change` to each block of a nested block"
    if isinstance(value, list):
        return [change(nested["block"], each) for each in value]
    return change(nested["block"], value) if isinstance(value, dict) and nested["nesting_mode"] == "single" else value


def invented(kind: Any, seed: str, name: str = "") -> Any:
    """Return a value of a Terraform type, the same for the same seed"""
    digest = hashlib.sha256(f"{seed}.{name}".encode()).hexdigest()
    if name == "dkim_tokens":
        return [f"token{index}{digest[:8]}" for index in range(3)]
    if name == "id" and (prefix := PREFIXES.get(seed.partition("{")[0])):
        return f"{prefix}-{digest[:17]}"
    if kind == "string":
        return (f"arn:aws:fake:us-east-1:123456789012:{digest[:12]}"
                if name.endswith("arn") else f"{name or 'value'}-{digest[:12]}")
    if kind in ("bool", "number"):
        return False if kind == "bool" else 0
    if kind[0] == "object":
        return {inner: invented(each, seed, inner) for inner, each in kind[1].items()}
    if kind[0] in ("list", "set") and isinstance(kind[1], list) and kind[1][0] == "object":
        return [invented(kind[1], seed)]
    return [] if kind[0] in ("list", "set") else {}


def applied(block: dict[str, Any], value: dict[str, Any], seed: str = "") -> dict[str, Any]:
    """Return `value` with something in place of each unknown"""
    found = dict(value)
    for name, each in block.get("attributes", {}).items():
        if found.get(name) is Unknown:
            found[name] = invented(each["type"], seed, name) if "type" in each else None
    for name, each in block.get("block_types", {}).items():
        found[name] = _inside(each, found.get(name), lambda inner, part: applied(inner, part, seed))
    return found


class Servicer(rpc.ProviderServicer):
    """The answers to Terraform's questions"""

    def __init__(self, schema: dict[str, Any]):
        """Keep `schema`"""
        self.schema = schema
        self.resources, self.data = schema["resource_schemas"], schema["data_source_schemas"]

    def GetProviderSchema(self, request, context):
        """The schema"""
        return self.answer

    @cached_property
    def answer(self) -> pb.GetProviderSchema.Response:
        """The schema, with the ephemeral resources that the stubs do not know (field 8)"""
        answer = pb.GetProviderSchema.Response(
            provider=_schema(self.schema["provider"]),
            resource_schemas={name: _schema(each) for name, each in self.resources.items()},
            data_source_schemas={name: _schema(each) for name, each in self.data.items()})
        for name, each in self.schema["ephemeral_resource_schemas"].items():
            entry = _length_delimited(1, name.encode()) + _length_delimited(2, _schema(each).SerializeToString())
            answer.MergeFromString(_length_delimited(8, entry))
        return answer

    def GetMetadata(self, request, context):
        """Nothing: Terraform then reads the schema"""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

    def GetFunctions(self, request, context):
        """None"""
        return pb.GetFunctions.Response()

    def ValidateProviderConfig(self, request, context):
        """What fits the schema is fine"""
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request, context):
        """What fits the schema is fine"""
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request, context):
        """What fits the schema is fine"""
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request, context):
        """There is nobody to talk to"""
        return pb.ConfigureProvider.Response()

    def StopProvider(self, request, context):
        """Nothing runs"""
        return pb.StopProvider.Response()

    def UpgradeResourceState(self, request, context):
        """The state as it is, without what the schema does not know"""
        block = self.resources[request.type_name]["block"]
        raw = json.loads(request.raw_state.json)
        return pb.UpgradeResourceState.Response(upgraded_state=to_dynamic_value(empty(block) | {
            name: value for name, value in raw.items() if name in block["attributes"] or name in block["block_types"]}))

    def ReadResource(self, request, context):
        """Nothing changed"""
        return pb.ReadResource.Response(new_state=request.current_state, private=request.private)

    def PlanResourceChange(self, request, context):
        """What was asked for, the rest unknown; a replacement where one of `REPLACING` changes"""
        prior, proposed = read_dynamic_value(request.prior_state), read_dynamic_value(request.proposed_new_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        block = self.resources[request.type_name]["block"]
        after = planned(block, proposed)
        changed = [] if prior is None else [name for name in after if after[name] != prior.get(name)]
        replacing = REPLACING.get(request.type_name, set()) | ({"user_data", "user_data_base64"}
                                                               if after.get("user_data_replace_on_change") else set())
        paths = [pb.AttributePath(steps=[pb.AttributePath.Step(attribute_name=name)]) for name in changed
                 if name in replacing]
        return pb.PlanResourceChange.Response(planned_state=to_dynamic_value(after), requires_replace=paths)

    def ApplyResourceChange(self, request, context):
        """What was planned, with values in place of unknowns"""
        value = read_dynamic_value(request.planned_state)
        if value is None:
            return pb.ApplyResourceChange.Response(new_state=request.planned_state)
        seed = request.type_name + json.dumps(value, sort_keys=True, default=str)
        return pb.ApplyResourceChange.Response(
            new_state=to_dynamic_value(applied(self.resources[request.type_name]["block"], value, seed)))

    def ReadDataSource(self, request, context):
        """Invented values for all that is computed"""
        block = self.data[request.type_name]["block"]
        value = planned(block, read_dynamic_value(request.config)) | ANSWERS.get(request.type_name, {})
        return pb.ReadDataSource.Response(state=to_dynamic_value(applied(block, value, request.type_name)))


def _open_ephemeral(schema: dict[str, Any]) -> Any:
    "The handler of OpenEphemeralResource: its request is a data source's, its result is field 3"
    def handler(request: pb.ReadDataSource.Request, context: Any) -> bytes:
        block = schema["ephemeral_resource_schemas"][request.type_name]["block"]
        value = applied(block, planned(block, read_dynamic_value(request.config)), request.type_name)
        return _length_delimited(3, to_dynamic_value(value).SerializeToString())
    return grpc.unary_unary_rpc_method_handler(handler, request_deserializer=pb.ReadDataSource.Request.FromString,
                                               response_serializer=bytes)


def newer(schema: dict[str, Any]) -> grpc.GenericRpcHandler:
    """The handlers of what is newer than the stubs"""
    silent = grpc.unary_unary_rpc_method_handler(lambda request, context: b"", response_serializer=bytes)
    return grpc.method_handlers_generic_handler("tfplugin6.Provider", {
        "ValidateEphemeralResourceConfig": silent, "CloseEphemeralResource": silent,
        "RenewEphemeralResource": silent, "OpenEphemeralResource": _open_ephemeral(schema)})


def serve(schema: dict[str, Any]) -> None:
    """Answer the Terraform that started this process until it hangs up"""
    add = rpc.add_ProviderServicer_to_server

    def add_all(servicer: Any, server: Any) -> None:
        add(servicer, server)
        server.add_generic_rpc_handlers((newer(schema),))

    rpc.add_ProviderServicer_to_server = add_all
    tf.provider.ProviderServicer = lambda provider: Servicer(schema)
    run_provider(None, ["provider"])


class Controller(controller_rpc.GRPCControllerServicer, stdio_rpc.GRPCStdioServicer):
    """What Terraform's library of plugins wants beside the provider"""

    def Shutdown(self, request, context):
        """Others still ask"""
        return controller.Empty()

    def StreamStdio(self, request, context):
        """Nothing is printed"""
        return iter(())


def listen(schema: dict[str, Any], socket: str) -> grpc.Server:
    """Answer every Terraform that comes to a socket (see TF_REATTACH_PROVIDERS)"""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
    rpc.add_ProviderServicer_to_server(Servicer(schema), server)
    server.add_generic_rpc_handlers((newer(schema),))
    controller_rpc.add_GRPCControllerServicer_to_server(Controller(), server)
    stdio_rpc.add_GRPCStdioServicer_to_server(Controller(), server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    return server


def listen_for_many() -> None:
    """Read the files of schemas from standard input, print the socket of each, until the input ends"""
    with tempfile.TemporaryDirectory(prefix="provider-") as folder:
        servers = {}
        for line in sys.stdin:
            file = line.rstrip("\n")
            socket = f"{folder}/{len(servers)}"
            servers[file] = listen(json.loads(Path(file).read_text(encoding="utf-8")), socket)
            print(socket, flush=True)
        for each in servers.values():
            each.stop(None)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    else:
        listen_for_many()
