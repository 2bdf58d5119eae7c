"""The EKS side's Terraform under the real Terraform: format, validation, its own tests, what its pods may do."""
from __future__ import annotations

import re
import subprocess

import pytest
from iam_evaluator import allowed
from managed_services import EXPRESSIONS, settings_of
from terraform_runner import (
    PROGRAM,
    Configuration,
    cluster_files,
    first_plan,
    needs_terraform,
    ready,
    resources,
)
from test_terraform_bill import classic, groups, managed, network, open_nodes, standby

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.emit.tree import LOCK, OF_CLUSTER, emitted
from pretamane_analysis.stack.stack import Stack, example

pytestmark = needs_terraform
STACKS = {"alb": example, "nlb": network, "clb": classic, "groups": groups, "open": open_nodes,
          "managed": managed, "standby": standby}


@pytest.fixture(scope="module", params=STACKS)
def cluster(request) -> Configuration:
    """The configuration with each kind of load balancer, ready to plan"""
    return ready(cluster_files, STACKS[request.param])


@pytest.fixture(scope="module")
def plan() -> dict:
    """What the first apply of the example would do"""
    return first_plan(ready(cluster_files, example))


def test_format_and_validity(cluster):
    """`terraform fmt` would change nothing, and every argument and reference exists"""
    done = subprocess.run([PROGRAM, "fmt", "-check", "-diff", "-recursive"], cwd=cluster.folder,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert "The configuration is valid" in cluster.must("validate", "-no-color")


@pytest.mark.parametrize("stack", [network, groups, open_nodes])
def test_own_tests(stack):
    """The emitted tests pass with a mocked provider"""
    assert "Success! 4 passed, 0 failed." in ready(cluster_files, stack).must("test", "-no-color")


def test_nodes_and_data_are_private(plan):
    """Only the load balancer is reached from outside, and only on its two ports"""
    open_ports = {(each["from_port"], each["to_port"]) for each in resources(
        plan, "aws_vpc_security_group_ingress_rule").values() if each.get("cidr_ipv4") == "0.0.0.0/0"}
    assert open_ports == {(80, 80), (443, 443)}
    assert resources(plan,
                     "aws_eks_cluster")["aws_eks_cluster.main"]["vpc_config"][0]["endpoint_public_access"] is False
    assert resources(
        plan,
        "aws_launch_template")["aws_launch_template.nodes"]["metadata_options"][0]["http_put_response_hop_limit"] == 1
    assert all(each["encrypt_at_rest"][0]["enabled"] and each["domain_endpoint_options"][0]["enforce_https"]
               for each in resources(plan, "aws_opensearch_domain").values())


def test_pods_may(plan):
    """The application's role reaches its own table, bucket, secrets and logs, and no others"""
    policy = [resources(plan, "aws_iam_role_policy")["aws_iam_role_policy.application"]["policy"]]
    bucket, name = "arn:aws:s3:::pretamane-production-objects-123456789012", "pretamane-production"
    assert allowed(policy, "dynamodb:PutItem", f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}")
    assert allowed(policy, "s3:PutObject", f"{bucket}/a") and allowed(
        policy, "ses:SendEmail", "arn:aws:ses:us-east-1:123456789012:identity/app.example.com",
                                                                      {"ses:FromAddress": "hello@app.example.com"})
    assert allowed(policy, "secretsmanager:GetSecretValue",
                   "arn:aws:secretsmanager:us-east-1:123456789012:secret:pretamane/production/api_key-AbCdEf")
    assert allowed(policy, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": name})
    for action, resource, context in (
            ("dynamodb:PutItem", f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}2", {}),
        ("dynamodb:DeleteTable", f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}", {}),
            ("s3:PutObject", f"{bucket}2/a", {}), ("s3:DeleteBucket", bucket, {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/EC2"}),
            ("ses:SendEmail", "arn:aws:ses:us-east-1:123456789012:identity/app.example.com",
             {"ses:FromAddress": "hello@example.org"}),
            ("secretsmanager:GetSecretValue",
             "arn:aws:secretsmanager:us-east-1:123456789012:secret:other/production/a", {})):
        assert not allowed(policy, action, resource, context), action


def test_databases_are_private_and_nobody_knows_their_password():
    """RDS and ElastiCache are encrypted and reached from the nodes only; pods connect with their role, no state has a password"""  # noqa: E501
    found = first_plan(ready(cluster_files, standby))
    database, = resources(found, "aws_db_instance").values()
    assert (database["publicly_accessible"], database["storage_encrypted"], database["multi_az"]) == (False, True, True)
    assert database["iam_database_authentication_enabled"]
    assert not database.get("password") and not database.get("password_wo")
    cache, = resources(found, "aws_elasticache_replication_group").values()
    assert cache["transit_encryption_enabled"] and cache["at_rest_encryption_enabled"]
    assert cache["num_cache_clusters"] == 2
    ports = {name: each["from_port"] for name, each in resources(found, "aws_vpc_security_group_ingress_rule").items()
             if not each.get("cidr_ipv4")}
    assert {5432, 6379} <= {*ports.values()}


def test_tree_and_check():
    """The tree has a lock file, and the rules of `check` that apply find nothing"""
    tree = emitted(example(), of=OF_CLUSTER)
    assert LOCK in tree and "bill-resources.json" in tree and "terraform/cluster.tf" in tree
    assert check(Tree(tree, as_of=example().day())) == []


def test_the_application_reads_its_settings():
    """Each setting of the output is one that the application reads; three choose the managed services. A stack without
    the application, or without one of the three services, has no such output"""
    files = emitted(example(), of=OF_CLUSTER)
    known = {name.upper() for name in re.findall(r"^    (\w+): .*Field\(", files["app/app/settings.py"], re.MULTILINE)}
    given = settings_of("\n".join(files.values()), dict.fromkeys(EXPRESSIONS, ""))
    assert {"DATABASE_ENGINE": "dynamodb", "SEARCH_ENGINE": "opensearch", "OBJECT_STORE": "s3"}.items() <= given.items()
    assert given.keys() <= known
    for stack in (STACKS["clb"](), managed()):
        assert "DATABASE_ENGINE" not in cluster_files(stack)["terraform/outputs.tf"]


@pytest.mark.parametrize(("change", "said"), [
    ({"version": "1.28"}, "past all support"), ({"auto_mode": True}, "how many nodes"),
    ({"nat_gateways": 3}, "no zone has two")])
def test_what_cannot_be_made_is_an_error(change, said):
    """A choice that Terraform cannot make as the bill counts it is refused with a place and a remedy"""
    data = example().model_dump(exclude_unset=True)
    data["eks"] |= change
    with pytest.raises(PretamaneError, match=said) as error:
        cluster_files(Stack.model_validate(data))
    assert error.value.place.startswith("eks.") and error.value.remedy
