"""The host's Terraform under the real Terraform: format, validation, its own tests, and what a plan does."""
from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest
from bootstrap_host import program
from iam_evaluator import allowed
from terraform_runner import (
    PROGRAM,
    Configuration,
    changes,
    first_plan,
    host_files,
    needs_terraform,
    ready,
    resources,
)

from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example

pytestmark = needs_terraform


def varied() -> Stack:
    """The example with every choice taken the other way: open ports, ARM, secrets by Terraform, mail, lock, remote
    state"""
    data = example().model_dump(exclude_unset=True)
    data["host"] = {"edge": "direct", "architecture": "arm64", "instance_type": "m7g.large", "root_disk_gb": 40,
                    "detailed_monitoring": True}
    data["services"]["caddy"]["mounts"] = [{"volume": "caddy-data", "path": "/data"}]
    data["services"].pop("cloudflared")
    data["volumes"]["caddy-data"] = {"size_gb": "0.5", "backup": "copy"}
    data["secrets"]["edge_admin_password"] = {}
    data["secrets"]["edge_admin_password_hash"]["derived_from"] = "edge_admin_password"
    data["services"]["fastapi-app"]["secrets"] += ["tunnel_token"]
    data["provisioning"] = {"secrets": "terraform", "mail_senders": ["fastapi-app"], "object_lock_days": 14,
                            "backend": {"bucket": "example-state"}}
    return Stack.model_validate(data)


@pytest.fixture(scope="module")
def host() -> Configuration:
    """The example's configuration, ready to plan"""
    return ready(host_files, example)


@pytest.fixture(scope="module")
def other() -> Configuration:
    """The varied stack's configuration"""
    return ready(host_files, varied)


@pytest.fixture(scope="module")
def plan(host) -> dict:
    """What the first apply would do"""
    return first_plan(host)


@pytest.fixture(scope="module")
def state(host) -> dict:
    """What is there after the first apply; later plans start from it"""
    first_plan(host)
    return host.apply()


@pytest.mark.parametrize("stack", [example(), varied()], ids=["example", "varied"])
def test_format(stack, tmp_path):
    """`terraform fmt` would change nothing"""
    done = subprocess.run([PROGRAM, "fmt", "-check", "-diff", "-recursive"],
                          cwd=Configuration.of(host_files(stack), tmp_path).folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["host", "other"])
def test_valid(name, request):
    """Every argument, reference and template variable exists"""
    assert "The configuration is valid" in request.getfixturevalue(name).must("validate", "-no-color")


@pytest.mark.parametrize(("name", "chosen", "passed"), [("host", (), 13), ("other", ("policies", "network"), 6)])
def test_own_tests(name, chosen, passed, request):
    """TF1 to TF5 as they are emitted, with a mocked provider; of the varied stack only those that differ"""
    filters = [f"-filter=tests/{each}.tftest.hcl" for each in chosen]
    assert f"Success! {passed} passed, 0 failed." in request.getfixturevalue(name).must("test", "-no-color", *filters)


def test_nothing_comes_in(plan):
    """TF1: in tunnel mode no rule lets anything in, and the network's default group has none either"""
    assert resources(plan, "aws_vpc_security_group_ingress_rule") == resources(plan, "aws_security_group_rule") == {}
    for group in (*resources(plan, "aws_security_group").values(),
                  *resources(plan, "aws_default_security_group").values()):
        assert not group.get("ingress") and not group.get("egress")
    ports = {(each["ip_protocol"], each["from_port"], each["to_port"], each["cidr_ipv4"])
             for each in resources(plan, "aws_vpc_security_group_egress_rule").values()}
    assert ports == {("tcp", 80, 80, "0.0.0.0/0"), ("tcp", 443, 443, "0.0.0.0/0"), ("tcp", 53, 53, "10.20.0.0/24"),
                     ("udp", 53, 53, "10.20.0.0/24"),
                     ("udp", 123, 123, "169.254.169.123/32"), ("tcp", 7844, 7844, "0.0.0.0/0"),
                     ("udp", 7844, 7844, "0.0.0.0/0")}


def test_a_group_that_is_made_anew_has_room_for_its_name(plan, other):
    """One is made before the other goes: with a fixed name AWS refuses the second one, such as for another edge"""
    for each in (plan, first_plan(other)):
        groups = resources(each, "aws_security_group")
        assert groups and all(group.get("name_prefix") and not group.get("name") for group in groups.values())


def test_a_newer_image_replaces_no_host(host):
    """The newest Ubuntu would, and would boot the bundle that Terraform knows"""
    text = (host.folder / "compute.tf").read_text()
    host = text[text.index('resource "aws_instance"'):]
    assert "most_recent = true" in text and re.search(r"ignore_changes = \[ami\]", host)


def test_direct_opens_what_is_published(other):
    """In direct mode exactly the two published ports are open, and the address outlives the host"""
    found = first_plan(other)
    assert {each["from_port"] for each in resources(found, "aws_vpc_security_group_ingress_rule").values()} == {80, 443}
    assert not any(each["from_port"] == 7844
                   for each in resources(found, "aws_vpc_security_group_egress_rule").values())
    assert list(resources(found, "aws_eip")) == ["aws_eip.host"]
    assert resources(found, "aws_instance")["aws_instance.host"]["associate_public_ip_address"] is False


def test_user_data(state, tmp_path):
    """TF2: the first script has no placeholder left, fits EC2's limit and has no finding of shellcheck"""
    script = resources(state, "aws_instance")["aws_instance.host"]["user_data"]
    assert len(script.encode()) <= 16384 and script.startswith("#!")
    volume = resources(state, "aws_ebs_volume")["aws_ebs_volume.data"]["id"].replace("-", "")
    assert volume in script and example().name in script
    assert not re.search(r"\$\{(stack|environment|region|bundle_\w+|data_volume_id)\}|%\{", script)
    place = tmp_path / "user-data.sh"
    place.write_text(script, encoding="utf-8")
    done = subprocess.run([program("shellcheck"), place], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_another_bundle_replaces_the_host_and_keeps_the_disk(host, state):
    """TF3: the instance is replaced, with what hangs on its id, and the data disk is not touched"""
    found = changes(host.plan("other.tar.gz"))
    assert found["aws_instance.host"] == ["delete", "create"]
    assert found["aws_volume_attachment.data"] == ["delete", "create"]
    assert "aws_ebs_volume.data" not in found and "aws_s3_bucket.backup" not in found
    assert not any(actions == ["delete"] for actions in found.values())


def test_same_bundle_changes_nothing(host, state):
    """A second apply has nothing to do"""
    assert changes(host.plan()) == {}


@pytest.mark.parametrize(("name", "old", "new"), [
    ("storage", "availability_zone = aws_subnet.public.availability_zone", 'availability_zone = "us-east-1c"'),
    ("backup", "bucket              = local.backup_bucket", 'bucket              = "another-name"')])
def test_data_cannot_be_destroyed(host, state, tmp_path, name, old, new):
    """A change that would replace the disk or the bucket is refused by Terraform itself"""
    said = host.mutated(tmp_path, **{name: (old, new)}).run("plan", "-no-color", "-lock=false",
                                                            "-var=bundle_path=../bundle.tar.gz")
    assert said.returncode == 1 and "Instance cannot be destroyed" in said.stderr


def test_disks(plan):
    """Every disk is encrypted; the data disk has the tag that the snapshot policy looks for"""
    disk = resources(plan, "aws_ebs_volume")["aws_ebs_volume.data"]
    policy = resources(plan, "aws_dlm_lifecycle_policy")["aws_dlm_lifecycle_policy.data"]["policy_details"][0]
    assert disk["encrypted"] and disk["final_snapshot"] and resources(
        plan, "aws_instance")["aws_instance.host"]["root_block_device"][0]["encrypted"]
    assert policy["target_tags"].items() <= disk["tags"].items()
    assert policy["schedule"][0]["retain_rule"][0]["count"] == example().provisioning.snapshots_kept


# TF4: what the role may do

ACCOUNT, REGION = "123456789012", "us-east-1"
OWN = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/pretamane/production"
BUCKET = f"arn:aws:s3:::pretamane-production-backup-{ACCOUNT}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
IN_STORE = {"kms:ViaService": f"ssm.{REGION}.amazonaws.com", "kms:EncryptionContext:PARAMETER_ARN": f"{OWN}/api_key"}
ALLOWED = [
    ("ssm:GetParameter", f"{OWN}/postgres_password", {}), ("ssm:GetParametersByPath", f"{OWN}/", {}),
    ("ssm:PutParameter", f"{OWN}/api_key", {}), ("kms:Decrypt", KEY, IN_STORE), ("kms:Encrypt", KEY, IN_STORE),
    ("ssm:UpdateInstanceInformation", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1", {}),
    ("ssmmessages:OpenDataChannel", "*", {}),
    ("ec2messages:GetMessages", "*", {}), ("s3:PutObject", f"{BUCKET}/backups/data/aa", {}),
    ("s3:GetObject", f"{BUCKET}/backups/config", {}),
    ("s3:GetObject", f"{BUCKET}/releases/0.tar.gz", {}), ("s3:ListBucket", BUCKET, {}),
    ("s3:DeleteObject", f"{BUCKET}/backups/locks/aa", {}),
]
DENIED = [
    ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/other/production/api_key", {}),
    ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/pretamane/staging/api_key", {}),
    ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/pretamane/production2/api_key", {}),
    ("ssm:GetParameter", "arn:aws:ssm:eu-west-1:123456789012:parameter/pretamane/production/api_key", {}),
    ("ssm:GetParameter", "*", {}),
    ("ssm:DeleteParameter", f"{OWN}/api_key", {}),
    ("ssm:PutParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/other/a", {}),
    ("ssm:SendCommand", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1", {}), ("kms:Decrypt", KEY, {}),
    ("kms:Decrypt", KEY, IN_STORE | {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
    ("kms:Decrypt", KEY,
     IN_STORE | {"kms:EncryptionContext:PARAMETER_ARN": "arn:aws:ssm:us-east-1:123456789012:parameter/other/a"}),
    ("s3:DeleteObject", f"{BUCKET}/releases/0.tar.gz", {}), ("s3:DeleteObjectVersion", f"{BUCKET}/backups/data/aa", {}),
    ("s3:PutObject", f"{BUCKET}/releases/0.tar.gz", {}), ("s3:GetObject", f"{BUCKET}-other/backups/a", {}),
    ("s3:PutObject", "arn:aws:s3:::pretamane-production-backup-999999999999/backups/a", {}),
    ("s3:PutBucketPolicy", BUCKET, {}),
    ("s3:PutLifecycleConfiguration", BUCKET, {}),
    ("ses:SendEmail", f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/app.example.com", {}),
    ("ec2:RunInstances", "*", {}), ("iam:PassRole", "*", {}), ("sts:AssumeRole", "*", {}),
    ("cloudwatch:PutMetricData", "*", {}),
]


@pytest.fixture(scope="module")
def policies(plan) -> list[str]:
    """The host's policies; no managed policy is attached beside them"""
    assert not resources(plan, "aws_iam_role_policy_attachment") and "managed_policy_arns" not in str(
        {address: each.get("managed_policy_arns")
         for address, each in resources(plan, "aws_iam_role").items() if each.get("managed_policy_arns")})
    return [each["policy"] for address, each in resources(plan, "aws_iam_role_policy").items() if address
            != "aws_iam_role_policy.snapshots"]


@pytest.mark.parametrize(("action", "resource", "context"), ALLOWED)
def test_role_may(policies, action, resource, context):
    """What the host needs"""
    assert allowed(policies, action, resource, context)


@pytest.mark.parametrize(("action", "resource", "context"), DENIED)
def test_role_may_not(policies, action, resource, context):
    """What it must not have"""
    assert not allowed(policies, action, resource, context)


def test_managed_policy_would_void_the_path(policies):
    """With AmazonSSMManagedInstanceCore, which everybody attaches, the host could read every parameter of the
    account (D08)"""
    managed = {"Version": "2012-10-17",
               "Statement": [{"Effect": "Allow", "Action": ["ssm:GetParameter", "ssm:GetParameters"], "Resource": "*"}]}
    assert allowed([*policies, managed], *DENIED[0][:2])


def test_snapshot_role(plan):
    """The snapshot policy's role can copy the data disk and remove its own copies, nothing else"""
    policy = [resources(plan, "aws_iam_role_policy")["aws_iam_role_policy.snapshots"]["policy"]]
    tagged, snapshot = {"aws:ResourceTag/Snapshots": "pretamane-production"}, f"arn:aws:ec2:{REGION}::snapshot/snap-1"
    assert allowed(policy, "ec2:CreateSnapshot", f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/vol-1", tagged)
    assert allowed(policy, "ec2:DeleteSnapshot", snapshot, tagged)
    assert not allowed(policy, "ec2:DeleteSnapshot", snapshot, {"aws:ResourceTag/Snapshots": "another"})
    assert not allowed(policy, "ec2:DeleteVolume", f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/vol-1", tagged)


def test_bucket_refuses_plain_connections(plan):
    """Without TLS, or with an old one, the bucket answers nobody, not even its owner"""
    bucket = resources(plan, "aws_s3_bucket_policy")["aws_s3_bucket_policy.backup"]["policy"]
    owner = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    recent = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
    assert allowed([owner, bucket], "s3:GetObject", f"{BUCKET}/a", recent)
    assert not allowed([owner, bucket], "s3:GetObject", f"{BUCKET}/a", recent | {"aws:SecureTransport": "false"})
    assert not allowed([owner, bucket], "s3:GetObject", f"{BUCKET}/a", recent | {"s3:TlsVersion": "1.1"})


# The audit trail

AUDIT = f"arn:aws:s3:::pretamane-production-audit-{ACCOUNT}"
TRAIL = {"aws:SourceArn": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/pretamane-production-audit",
         "s3:x-amz-acl": "bucket-owner-full-control"}


def test_audit_trail(plan, other):
    """The trail's files can be proven whole and are kept as long as the stack says; without the key there is none"""
    trail = resources(plan, "aws_cloudtrail")["aws_cloudtrail.audit"]
    assert trail["enable_log_file_validation"] and trail["include_global_service_events"]
    rule, = resources(plan, "aws_s3_bucket_lifecycle_configuration")[
        "aws_s3_bucket_lifecycle_configuration.audit"]["rule"]
    assert rule["expiration"][0]["days"] == example().provisioning.audit_trail_days == 365
    assert "aws_s3_bucket.audit" in resources(plan) and "aws_s3_bucket_public_access_block.audit" in resources(plan)
    assert not [each for each in resources(first_plan(other)) if "audit" in each]


def test_only_the_trail_writes_its_bucket(plan, policies):
    """Another account's trail cannot write there, nor can the host read, write or stop it"""
    bucket = resources(plan, "aws_s3_bucket_policy")["aws_s3_bucket_policy.audit"]["policy"]
    inside = f"{AUDIT}/AWSLogs/{ACCOUNT}/CloudTrail/a.json.gz"
    assert allowed([bucket], "s3:PutObject", inside, TRAIL) and allowed([bucket], "s3:GetBucketAcl", AUDIT, TRAIL)
    assert not allowed([bucket], "s3:PutObject", inside, TRAIL | {"aws:SourceArn": TRAIL["aws:SourceArn"] + "2"})
    assert not allowed([bucket], "s3:PutObject", inside, TRAIL | {"aws:SecureTransport": "false"})
    assert not allowed([bucket], "s3:PutObject", f"{AUDIT}/AWSLogs/999999999999/a", TRAIL)
    for action, resource in (("s3:GetObject", inside), ("s3:PutObject", inside), ("s3:DeleteObject", inside),
                             ("cloudtrail:StopLogging", TRAIL["aws:SourceArn"]), ("s3:PutBucketPolicy", AUDIT)):
        assert not allowed(policies, action, resource), action


def test_query_of_the_runbook(plan, tmp_path):
    """The runbook's query, as it is printed, says who read which parameter; it asks in the trail's own bucket"""
    page = emitted(example(), ["runbooks"])["runbooks/secret-read.md"]
    assert resources(plan, "aws_s3_bucket")["aws_s3_bucket.audit"]["bucket"] == AUDIT.rpartition(":")[2]
    assert f"s3://{AUDIT.rpartition(':')[2].replace(ACCOUNT, '$account')}/AWSLogs/$account/CloudTrail/{REGION}/" in page
    assert TRAIL["aws:SourceArn"].replace(ACCOUNT, "$account") in page
    asked = {"eventTime": "2026-11-02T03:04:05Z", "eventSource": "ssm.amazonaws.com", "eventName": "GetParameters",
             "requestParameters": {"names": ["/pretamane/production/api_key"]}, "sourceIPAddress": "192.0.2.7",
             "userIdentity": {"arn": "arn:aws:iam::123456789012:user/somebody"}}
    refused = asked | {"eventName": "GetParametersByPath", "errorCode": "AccessDenied",
                       "requestParameters": {"path": "/pretamane/production"}}
    other_event = asked | {"eventSource": "ec2.amazonaws.com", "eventName": "DescribeInstances"}
    (tmp_path / "records").mkdir()
    with gzip.open(tmp_path / "records" / "a.json.gz", "wt") as file:
        json.dump({"Records": [other_event, refused, asked]}, file)
    shown, = re.findall(r"^ +(shown=.*)$", page, re.MULTILINE)
    query, = re.findall(r"^ +(find records.*\n.*)$", page, re.MULTILINE)
    done = subprocess.run(["bash", "-c", f"{shown}\n{query}"], cwd=tmp_path, capture_output=True, text=True)
    assert [line.split("\t")[1:] for line in done.stdout.splitlines()] == [
        ["GetParameters", "/pretamane/production/api_key", asked["userIdentity"]["arn"], "192.0.2.7", "ok"],
        ["GetParametersByPath", "/pretamane/production", asked["userIdentity"]["arn"], "192.0.2.7", "AccessDenied"],
    ], done.stderr


# TF5: secrets

def test_no_secret_in_plan_or_state(other):
    """Terraform draws the secrets and keeps none: not in the plan, not in the state"""
    planned, kept = first_plan(other), other.apply()
    parameters = resources(kept, "aws_ssm_parameter")
    made = {name for name, each in varied().secrets.items() if each.source != "provided"}
    assert {each["name"].rsplit("/", 1)[1] for each in parameters.values()} == made
    assert all(each["value_wo"] is None and each["type"] == "SecureString" for each in parameters.values())
    drawn = Path(other.folder, "terraform.tfstate").read_text(encoding="utf-8")
    assert "random_password-" not in drawn + str(planned) + str(kept) and "$2a$" not in drawn + str(planned) + str(kept)


def test_host_makes_its_secrets_by_default(plan):
    """With the default, Terraform knows no parameter at all"""
    assert resources(plan, "aws_ssm_parameter") == {}
