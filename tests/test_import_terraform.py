"""Terraform's plans and states, in all their forms, become what there is of AWS: each address at its price."""
from __future__ import annotations

import io
import json
import subprocess
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from terraform_runner import PROGRAM, needs_terraform

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.cli.main import main
from pretamane_analysis.intake.import_files import imported
from pretamane_analysis.intake.import_inputs import Input
from pretamane_analysis.intake.plan_costs import plan_comment, plan_costs
from pretamane_analysis.intake.terraform_binary import saved_changes
from pretamane_analysis.intake.terraform_import import terraform_import
from pretamane_analysis.prices.snapshot import bundled

pytestmark = pytest.mark.usefixtures("wide")

PROVIDER = {"provider_config": {"aws": {"expressions": {"region": {"constant_value": "us-east-1"}}}}}
SECRET = "planted-Secret-0"
BILL = Path(__file__).parent / "data" / "bills" / "web-portal.csv.gz"


def thing(address, **values):
    """One managed resource, as `terraform show -json` writes it"""
    kind = address.rpartition(".")[0].rpartition(".")[2]
    return {"address": address, "mode": "managed", "type": kind, "values": {"password": SECRET, **values}}


def plan(*things, prior=(), actions=None, **more):
    """A plan with everything in the root module"""
    actions = actions or {}
    return {"format_version": "1.2", "terraform_version": "1.9.0",
            "planned_values": {"root_module": {"resources": list(things)}},
            "prior_state": {"values": {"root_module": {"resources": list(prior)}}},
            "resource_changes": [{"address": each["address"], "type": each["type"], "mode": "managed",
                                  "change": {"actions": actions.get(each["address"], ["create"])}}
                                 for each in (*things, *prior)], "configuration": PROVIDER, **more}


def read(data, **options):
    """What comes of it"""
    text = data if isinstance(data, str) else json.dumps(data, indent=1)
    return terraform_import(Input("plan.json", text.encode()), day=date(2024, 8, 20), **options)


def costs(found):
    """USD a month by address, on a day of 2024"""
    return {each.address: each.after for each in plan_costs(found, bundled(), date(2024, 8, 20))}


def test_an_instance_with_its_disks():
    """The machine, a root disk of a named size, and one with provisioned IOPS: hours and GB as AWS counts them"""
    found = read(plan(thing("aws_instance.web", instance_type="m5.4xlarge", root_block_device=[{"volume_size": 50}],
                            ebs_block_device=[{"volume_type": "io1", "volume_size": 1000, "iops": 800}])))
    assert costs(found) == {"aws_instance.web": Decimal("560.64") + 5 + 125 + 52}


def test_a_database_past_its_support():
    """MySQL 5.7 in 2024: instance, disk, and two vCPU of extended support"""
    found = read(plan(thing("aws_db_instance.db", engine="mysql", engine_version="5.7.19", allocated_storage=5,
                            instance_class="db.t3.micro", storage_type="gp2")))
    assert costs(found)["aws_db_instance.db"] == Decimal("12.41") + Decimal("0.575") + Decimal("146")
    young = read(plan(thing("aws_db_instance.db", engine="mysql", engine_version="8.4.3", allocated_storage=5,
                            instance_class="db.t3.micro")))
    assert costs(young)["aws_db_instance.db"] < 14


def test_the_type_of_the_node_group_counts():
    """Not that of its launch template; the template's disk does"""
    found = read(plan(thing("module.eks.aws_eks_cluster.this", version="1.30"),
                      thing("module.eks.aws_eks_node_group.this", instance_types=["t3.large"],
                            scaling_config=[{"desired_size": 2}], launch_template=[{"version": "1"}]),
                      thing("module.eks.aws_launch_template.this", instance_type="t2.micro",
                            block_device_mappings=[{"ebs": [{"volume_size": 200, "volume_type": "gp3"}]}])))
    assert costs(found)["module.eks.aws_eks_node_group.this"] == 2 * (Decimal("60.736") + 16)
    assert "t2.micro" not in str(found.cloud)


def referring(**attributes):
    """A configuration in which attributes of resources name others: `a__subnets="aws_subnet.b"`"""
    found = {}
    for name, other in attributes.items():
        address, _, attribute = name.partition("__")
        kind, _, label = address.rpartition("_")
        found.setdefault((kind, label), {})[attribute] = {"references": [f"{other}.id", other]}
    return {"configuration": {**PROVIDER, "root_module": {"resources": [
        {"type": kind, "name": label, "expressions": told} for (kind, label), told in found.items()]}}}


@pytest.mark.parametrize(("balancer", "count"), [
    ({"subnets": [None, None, None]}, 3), ({"subnets": ["a", "b"], "internal": True}, 0), ({}, 2),
    ({"ip_address_type": "dualstack-without-public-ipv4"}, 0),
    ({"load_balancer_type": "network"}, 1), ({"subnet_mapping": [{"allocation_id": "eip-1"}, {}]}, 1)])
def test_a_balancer_has_an_address_in_each_zone(balancer, count):
    """Where it is reached from the internet; addresses that are named are things of their own, zones that nobody names
    are as few as can be"""
    found = read(plan(thing("aws_lb.a", **balancer)))
    assert sum(each.fields.get("count", 1) for each in found.cloud if each.fields["kind"] == "PublicAddresses") == count


def test_what_is_known_after_apply_is_found_by_reference():
    """Subnets of a balancer, template and subnets of nodes, through the configuration beside the values"""
    subnets = [thing(f'aws_subnet.out["{zone}"]', map_public_ip_on_launch=True) for zone in "abc"]
    templates = [thing(f"aws_launch_template.{name}", block_device_mappings=[{"ebs": [{"volume_size": size}]}])
                 for name, size in (("small", 30), ("large", 300))]
    group = thing("aws_eks_node_group.n", scaling_config=[{"desired_size": 2}], launch_template=[{}])
    found = read(plan(thing("aws_lb.a"), thing("aws_instance.i", instance_type="t3.micro"), group, *templates, *subnets,
                      **referring(aws_lb_a__subnets="aws_subnet.out", aws_instance_i__subnet_id="aws_subnet.out",
                                  aws_eks_node_group_n__subnet_ids="aws_subnet.out",
                                  aws_eks_node_group_n__launch_template="aws_launch_template.large")))
    counts = {each.source.partition(" ")[0]: each.fields.get("count", 1) for each in found.cloud
              if each.fields["kind"] == "PublicAddresses"}
    assert counts == {"aws_lb.a": 3, "aws_instance.i": 1, "aws_eks_node_group.n": 2}
    assert [each.fields["gb"] for each in found.cloud if "node_group" in each.source and "gb" in each.fields] == [300]


def test_a_region_that_the_provider_is_not_set_to():
    """An option that contradicts the configuration is told, not obeyed"""
    assert read(plan(thing("aws_eip.a")), region="us-east-1").region == "us-east-1"
    with pytest.raises(PretamaneError, match="nothing of it is in eu-west-1, but in us-east-1"):
        read(plan(thing("aws_eip.a")), region="eu-west-1")


def test_a_plan_that_was_cut_down_to_its_changes():
    """Tools for policies keep `resource_changes` only: what they leave behind counts"""
    found = read({"format_version": "1.2", "configuration": PROVIDER, "resource_changes": [
        {"address": "aws_eip.a", "mode": "managed", "type": "aws_eip", "change": {"actions": ["create"], "after": {}}},
        {"address": "aws_eip.b", "mode": "managed", "type": "aws_eip", "change": {
            "actions": ["delete"], "before": {"domain": "vpc"}, "after": None}}]})
    assert [each.source.partition(" ")[0] for each in found.cloud] == ["aws_eip.a"]
    assert costs(found) == {"aws_eip.a": Decimal("3.65"), "aws_eip.b": 0}


def test_a_trail_with_data_events_is_told():
    """The first copy of management events is free, each data event is not"""
    assert read(plan(thing("aws_cloudtrail.t"))).free == {"aws_cloudtrail": 1}
    found = read(plan(thing("aws_cloudtrail.t", advanced_event_selector=[{"name": "objects"}])))
    assert "data events" in found.left[0].reason


@pytest.mark.parametrize("before", ["", "+ terraform show -json plan.tfplan\n", "[command]/bin/terraform show\n"])
def test_lines_of_a_wrapper_do_not_count(before):
    """A wrapper of a pipeline writes its command first, and perhaps a line at the end"""
    text = before + json.dumps(plan(thing("aws_eip.a"))) + "\n::set-output name=x::y\n"
    assert read(text).cloud[0].fields["kind"] == "PublicAddresses"


def test_old_plans_leave_modules_and_indexes_out_of_addresses():
    """Format 0.1 of Terraform 0.12"""
    data = {"format_version": "0.1", "values": {"root_module": {"child_modules": [
        {"address": "module.db", "child_modules": [{"address": "module.db.module.one", "resources": [
            {**thing("aws_instance.this", instance_type="t3.nano", availability_zone="us-east-1a"), "index": 0},
            {**thing("aws_instance.that", instance_type="t3.nano"), "index": "a"}]}]}]}}}
    assert {each.source.partition(" ")[0] for each in read(data).cloud} == {
        "module.db.module.one.aws_instance.this[0]", 'module.db.module.one.aws_instance.that["a"]'}


def test_a_state_file_is_read_too():
    """Version 4, with a count; addresses and regions follow from it"""
    state = {"version": 4, "serial": 3, "lineage": "x", "resources": [
        {"module": "module.a", "mode": "managed", "type": "aws_instance", "name": "web", "instances": [
            {"index_key": number, "attributes": {"instance_type": "t3.nano", "password": SECRET,
                                                 "arn": "arn:aws:ec2:eu-west-1:1:instance/i"}} for number in (0, 1)]},
        {"mode": "data", "type": "aws_ami", "name": "x", "instances": [{"attributes": {}}]}]}
    found = read(state)
    assert found.region == "eu-west-1"
    assert {each.source.partition(" ")[0] for each in found.cloud} == {
        "module.a.aws_instance.web[0]", "module.a.aws_instance.web[1]"}


def test_before_after_and_difference():
    """Deleted, replaced, changed and new things; what is replaced is paid once"""
    def disk(name, size):
        return thing(f"aws_ebs_volume.{name}", type="gp3", size=size, availability_zone="us-east-1a")

    found = read(plan(disk("kept", 10), disk("grown", 20), disk("new", 30), disk("made-again", 40),
                      prior=[disk("kept", 10), disk("grown", 10), disk("gone", 50), disk("made-again", 40)],
                      actions={"aws_ebs_volume.kept": ["no-op"], "aws_ebs_volume.grown": ["update"],
                               "aws_ebs_volume.gone": ["delete"], "aws_ebs_volume.made-again": ["delete", "create"]}))
    told = {each.address.partition(".")[2]: (each.action, each.before, each.after)
            for each in plan_costs(found, bundled())}
    assert told["gone"][1:] == (4, 0) and told["new"][1:] == (0, Decimal("2.4")) and told["grown"][1:] == (
        Decimal("0.8"), Decimal("1.6")) and told["made-again"][1:] == (Decimal("3.2"), Decimal("3.2"))
    comment = plan_comment(found, plan_costs(found, bundled()))
    assert comment.startswith("**-0.80 USD a month** in us-east-1: 8.80 before, 8.00 after.")
    assert "kept" not in comment and "`aws_ebs_volume.gone` | delete" in comment


def test_the_price_of_a_plan_stands_in_a_pull_request(tmp_path, capsys):
    """`cost --architecture as-is` has prior, planned and difference, the same as those of the import, offline"""
    before, after = (thing("aws_instance.a", instance_type=kind, region="us-east-1")
                     for kind in ("t3.small", "m6i.large"))
    (tmp_path / "plan.json").write_text(json.dumps(plan(after, prior=[before], actions={"aws_instance.a": ["update"]})))
    out = str(tmp_path / "s.yaml")
    assert main(["import", str(tmp_path / "plan.json"), "--out", out, "--format", "json"]) == 0
    imported_as = json.loads(capsys.readouterr().out)
    assert main(["cost", "--stack", out, "--architecture", "as-is", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(Decimal(told[key]) == Decimal(imported_as[key]) for key in ("prior", "planned", "difference"))
    assert Decimal(str(told["difference"])) == (Decimal("0.096") - Decimal("0.0208")) * 730
    assert main(["cost", "--stack", out, "--architecture", "as-is"]) == 0
    assert "15.98 USD a month before, 70.88 after" in capsys.readouterr().out
    assert main(["cost", "--stack", out, "--architecture", "ec2", "--format", "json"]) == 0
    assert "planned" not in json.loads(capsys.readouterr().out)


def test_what_is_free_and_what_is_not_known_is_told():
    """Never 0 without a reason"""
    found = read(plan(thing("aws_iam_role.a"), thing("aws_iam_role.b"), thing("aws_fsx_lustre_file_system.c"),
                      thing("helm_release.d"), thing("aws_nat_gateway.e")))
    assert found.free == {"aws_iam_role": 2}
    assert {each.what for each in found.left} == {"1 x aws_fsx_lustre_file_system", "helm_release.d"}
    assert plan_costs(found, bundled())[0].row()["note"] == "and more by use"


def test_a_usage_file_fills_in_what_is_used(tmp_path):
    """By address, by all of a count, by kind; a figure that no field takes is told"""
    (tmp_path / "plan.json").write_text(json.dumps(plan(
        thing("aws_lambda_function.f", memory_size=1024), thing("aws_nat_gateway.n[0]"), thing("aws_s3_bucket.b"))))
    (tmp_path / "usage.yml").write_text("""version: 0.1
resource_usage:
  aws_lambda_function.f: {monthly_requests: 100000000, request_duration_ms: 250}
  aws_nat_gateway.n[*]: {monthly_data_processed_gb: 100}
resource_type_default_usage:
  aws_s3_bucket: {standard: {storage_gb: 10}, object_tags: 5}
""")
    found = imported([str(tmp_path / "plan.json")], usage=str(tmp_path / "usage.yml"))
    assert costs(found)["aws_lambda_function.f"].quantize(Decimal("0.01")) == Decimal("436.67")
    assert costs(found)["aws_nat_gateway.n[0]"] == Decimal("32.85") + Decimal("4.5")
    assert any("object_tags" in each.what for each in found.left)


def test_what_is_known_of_the_use_is_written_as_a_usage_file(tmp_path, capsys):
    """A bill's traffic, requests and GB, shared by the addresses of a kind, are in the price of the plan"""
    (tmp_path / "plan.json").write_text(json.dumps(plan(
        thing("aws_nat_gateway.a"), thing("aws_nat_gateway.b"), thing("aws_s3_bucket.b", region="us-east-1"))))
    bill, out, usage = (str(each) for each in (BILL, tmp_path / "s.yaml", tmp_path / "usage.yml"))
    assert main(["import", str(tmp_path / "plan.json"), bill, "--region", "us-east-1", "--out", out, "--usage-out",
                 usage]) == 0
    told = yaml.safe_load(open(usage).read())
    assert told["resource_type_default_usage"]["aws_nat_gateway"] == {"monthly_data_processed_gb": 0.2495}
    assert told["resource_usage"]["aws_data_transfer.all"]["monthly_outbound_internet_gb"] > 0.8
    found = imported([str(tmp_path / "plan.json")], usage=usage)
    assert {each.fields["kind"] for each in found.cloud} == {"NatGateway", "Bucket", "InternetEgress",
                                                             "CrossZoneTraffic"}
    assert sum(each.fields["gb"] for each in found.cloud if each.fields["kind"] == "NatGateway") == Decimal("0.499")
    assert main(["import", bill, "--out", out, "--force", "--usage-out", str(tmp_path / "other.yml")]) == 0
    assert yaml.safe_load((tmp_path / "other.yml").read_text())["resource_type_default_usage"]["aws_s3_bucket"]
    assert main(["import", bill, "--out", str(tmp_path / "t.yaml"), "--usage-out", usage]) == 2
    assert "there already" in capsys.readouterr().err


TABLE = {  # kind: attributes, and what it is billed as, or how it stands
    "aws_eks_cluster": ({"version": "1.33"}, "EksCluster"),
    "aws_nat_gateway": ({}, "NatGateway"),
    "aws_eip": ({}, "PublicAddresses"),
    "aws_eks_node_group": ({"scaling_config": [{"desired_size": 2}], "instance_types": ["t3.large"]}, "NodeGroup"),
    "aws_autoscaling_group": ({"desired_capacity": 2, "launch_template": [{"name": "t"}]}, "Instances Volume"),
    "aws_instance": ({"instance_type": "m6i.large"}, "Instances Volume"),
    "aws_ebs_volume": ({"size": 20, "type": "gp3"}, "Volume"),
    "aws_lb": ({"load_balancer_type": "network"}, "LoadBalancer PublicAddresses"),
    "aws_alb": ({"load_balancer_type": "application", "internal": True}, "LoadBalancer"),
    "aws_elb": ({}, "LoadBalancer PublicAddresses"),
    "aws_vpc_endpoint": ({"vpc_endpoint_type": "Interface", "subnet_ids": ["a", "b"]}, "VpcEndpoint"),
    "aws_db_instance": ({"engine": "postgres", "instance_class": "db.t3.micro", "allocated_storage": 20}, "DbInstance"),
    "aws_rds_cluster": (
        {"engine": "aurora-postgresql", "serverlessv2_scaling_configuration": [{"min_capacity": 1}]}, "AuroraCluster"),
    "aws_rds_cluster_instance": ({"engine": "aurora-mysql", "instance_class": "db.r6g.large"}, "AuroraCluster"),
    "aws_elasticache_cluster": ({"engine": "redis", "node_type": "cache.t3.micro", "num_cache_nodes": 1}, "CacheNodes"),
    "aws_elasticache_replication_group": (
        {"engine": "valkey", "node_type": "cache.t4g.micro", "num_node_groups": 2,
         "replicas_per_node_group": 1},
        "CacheNodes"),
    "aws_elasticache_serverless_cache": ({"engine": "valkey"}, "ServerlessCache"),
    "aws_opensearch_domain": (
        {"cluster_config": [{"instance_type": "t3.small.search", "instance_count": 2}],
         "ebs_options": [{"ebs_enabled": True, "volume_size": 10, "volume_type": "gp3"}]},
        "SearchDomain"),
    "aws_dynamodb_table": ({"billing_mode": "PAY_PER_REQUEST"}, "Table"),
    "aws_s3_bucket": ({}, "Bucket"),
    "aws_ecr_repository": ({}, "ImageRegistry"),
    "aws_efs_file_system": ({}, "FileSystem"),
    "aws_sqs_queue": ({}, "Queue"),
    "aws_sns_topic": ({}, "Topic"),
    "aws_cloudtrail": ({}, "free"), "aws_vpn_gateway": ({}, "free"), "aws_api_gateway_method": ({}, "free"),
    "aws_api_gateway_rest_api": ({}, "unknown"), "aws_main_route_table_association": ({}, "free"),
    "aws_cloudfront_distribution": ({}, "Cdn"),
    "aws_cognito_user_pool": ({}, "UserPool"),
    "aws_cloudwatch_log_group": ({}, "Logs"),
    "aws_kms_key": ({}, "Keys"),
    "aws_secretsmanager_secret": ({}, "Secrets"),
    "aws_route53_zone": ({}, "HostedZones"),
    "aws_wafv2_web_acl": ({"rule": [{}]}, "WebAcl"),
    "aws_lambda_function": ({"memory_size": 512}, "Function"),
    "aws_msk_cluster": (
        {"number_of_broker_nodes": 3, "broker_node_group_info": [{"instance_type": "kafka.t3.small",
                                                                      "ebs_volume_size": 50}]}, "KafkaCluster"),
    "aws_mq_broker": ({"engine_type": "RabbitMQ", "host_instance_type": "mq.t3.micro"}, "Broker"),
    "aws_eks_addon": ({}, "free"),
    "aws_lb_listener": ({}, "free"),
    "aws_subnet": ({}, "free"),
    "aws_iam_role": ({}, "free"),
    "aws_launch_template": ({"name": "t", "instance_type": "t3.medium"}, "free"),
    "aws_vpc": ({}, "free"),
    "helm_release": ({}, "application"),
    "kubernetes_deployment": ({}, "application"),
    "aws_db_proxy": ({}, "unknown"),
    "aws_msk_serverless_cluster": ({}, "unknown"),
    "aws_eks_fargate_profile": ({}, "Fargate"),
}


def test_each_kind_is_billed_or_said_to_be_free_or_not_known():
    """A plan of all kinds: a price for each line, what is free by kind, what is not known by kind with its count"""
    things = [thing(f"{kind}.{at}", **values) for kind, (values, _) in TABLE.items() for at in ("a", "b")]
    found = read(plan(*things))
    billed = {}
    for line in found.cloud:
        billed.setdefault(line.source.partition(".")[0], set()).add(line.fields["kind"])
    expected = {kind: {*how.split()} for kind, (_, how) in TABLE.items() if how[0].isupper() and how != "Fargate"}
    assert billed == expected
    assert found.free == {kind: 2 for kind, (_, how) in TABLE.items() if how == "free"}
    left = {each.what for each in found.left}
    assert left == {f"2 x {kind}" for kind, (_, how) in TABLE.items() if how in ("unknown", "Fargate")} | {
        f"{kind}.{at}" for kind, (_, how) in TABLE.items() if how == "application" for at in ("a", "b")}
    assert "pods" in next(each.reason for each in found.left if "fargate" in each.what)
    problems = {each.address: each.problem for each in plan_costs(found, bundled(), date(2024, 8, 20)) if each.problem}
    assert not problems


@pytest.mark.parametrize(("text", "said"), [
    ('{"@level":"info","@message":"x"}\n', "log of `terraform plan -json`"), ("{", "not JSON"),
    ('{"format_version": "1.0"}', "neither a plan nor a state"), ('{"version": 4, "serial": 1, "resources": []}',
                                                                  "no resources"),
    (json.dumps({"values": {"root_module": {"resources": [thing("random_pet.a")]}}, "format_version": "1.0"}),
     "nothing of AWS"),
    (json.dumps({"values": {"root_module": {"resources": [thing("aws_eip.a")]}}, "format_version": "1.0"}), "--region"),
    ('resource "aws_eip" "a" {\n}\n', "terraform show -json"),
])
def test_what_is_no_plan_is_refused(tmp_path, capsys, text, said):
    """With file and line and what to do instead"""
    path = tmp_path / "some.file"
    path.write_text(text)
    form = [] if text.startswith("resource") else ["--as", "terraform"]
    assert main(["import", str(path), "--out", str(tmp_path / "s.yaml"), *form]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "some.file:1" in shown and "Traceback" not in shown


def test_the_stack_of_a_plan_is_priced_and_keeps_no_secret(tmp_path, capsys):
    """`cost --architecture as-is` answers, JSON has prior, planned and difference, and no password is anywhere"""
    path, out = tmp_path / "plan.json", tmp_path / "stack.yaml"
    path.write_text(json.dumps(plan(thing("aws_instance.web", instance_type="t3.nano"),
                                    thing("aws_secretsmanager_secret.s", secret_string=SECRET)), indent=1))
    assert main(["import", str(path), "--out", str(out), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert Decimal(document["planned"]) == Decimal("4.996") and Decimal(document["prior"]) == 0
    assert main(["cost", "--stack", str(out), "--architecture", "as-is"]) == 0
    assert "t3.nano" in capsys.readouterr().out
    assert SECRET not in out.read_text() + json.dumps(document) and "plan.json:" in out.read_text()


def test_a_price_that_is_missing_costs_its_own_line_only(tmp_path, capsys):
    """The rest of the plan still adds up"""
    path, out = tmp_path / "plan.json", tmp_path / "stack.yaml"
    path.write_text(json.dumps(plan(thing("aws_instance.web", instance_type="t3.nano"),
                                    thing("aws_instance.odd", instance_type="z9.huge"))))
    assert main(["import", str(path), "--out", str(out)]) == 0
    assert "z9.huge" in capsys.readouterr().out
    assert main(["cost", "--stack", str(out), "--architecture", "as-is"]) == 0


def packed(value):
    """MessagePack, as far as plans need it"""
    if isinstance(value, dict):
        return bytes([0xde, *len(value).to_bytes(2, "big")]) + b"".join(
            packed(key) + packed(each) for key, each in value.items())
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(packed, value))
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return b"\xd3" + value.to_bytes(8, "big", signed=True)
    text = value.encode()
    return bytes([0xd9, len(text)]) + text


def field(number, value):
    """A field of Protocol Buffers"""
    def varint(size):
        return bytes([size]) if size < 128 else bytes([size & 127 | 128, *varint(size >> 7)])

    return varint(number << 3) + varint(value) if isinstance(value, int) else (
        varint(number << 3 | 2) + varint(len(value)) + value)


def saved(*changes, state=None):
    """A saved plan"""
    body = b"".join(field(3, field(13, address.encode()) + field(9, field(1, action) + b"".join(
        field(2, field(1, packed(each))) for each in values))) for address, action, *values in changes)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("tfplan", body)
        archive.writestr("tfstate", json.dumps(state or {"version": 4, "resources": []}))
        archive.writestr("tfconfig/m-/main.tf", 'provider "aws" {\n  region = "eu-west-1"\n}\n')
    return out.getvalue()


def test_a_saved_plan_is_read_without_terraform():
    """Created, changed and deleted things; the region stands in the configuration that it carries"""
    found = terraform_import(Input("p", saved(
        ("aws_instance.a", 1, {"instance_type": "t3.nano", "password": SECRET}),
        ("module.x.aws_ebs_volume.b", 3, {"type": "gp3", "size": 10}, {"type": "gp3", "size": 20}),
        ("aws_eip.c", 5, {"id": "x"}))))
    assert found.region == "eu-west-1"
    assert {each.source.partition(" ")[0] for each in found.cloud} == {"aws_instance.a", "module.x.aws_ebs_volume.b"}
    assert found.cloud[-1].fields["gb"] == 20 and SECRET not in str(found)


@pytest.mark.parametrize("content", [b"PK\x03\x04tfplan", saved(("aws_eip.a", 1, {}))[:-30], b"PK\x03\x04" + b"x" * 99])
def test_a_damaged_archive_is_refused(content):
    """Without a traceback"""
    with pytest.raises(PretamaneError, match="saved plan"):
        terraform_import(Input("p", content))


@needs_terraform
def test_a_plan_of_the_genuine_program_is_decoded(tmp_path):
    """What Terraform itself wrote, in a zip archive"""
    (tmp_path / "main.tf").write_text('resource "terraform_data" "a" {\n  count = 2\n  input = { size = 8 }\n}\n')
    for words in (["init"], ["plan", "-out=p"]):
        subprocess.run([PROGRAM, *words, "-input=false"], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(tmp_path / "p") as archive:
        found = sorted(saved_changes(archive.read("tfplan")), key=lambda each: each[0])  # it writes them in any order
    assert [(each[0], each[1], each[2]) for each in found] == [
        (f"terraform_data.a[{number}]", "terraform_data", "create") for number in (0, 1)]
    assert found[0][3]["input"][1] == {"size": 8} and "id" in found[0][4]
