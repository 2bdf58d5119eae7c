"""Defects of the audit's Terraform (2.1), put into the emitted configuration."""
from __future__ import annotations

from collections.abc import Callable

from mutants import Files, Mutant, replaced, substituted

COMPUTE, IAM, SECURITY, STORAGE, BACKUP = (f"terraform/{name}.tf"
                                           for name in ("compute", "iam", "security", "storage", "backup"))
OPEN = '''
resource "aws_vpc_security_group_ingress_rule" "{name}" {{
  security_group_id = aws_security_group.host.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = {port}
  to_port           = {port}
}}
'''
ATTACHED = '''
resource "aws_iam_role_policy_attachment" "session" {
  role       = aws_iam_role.host.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}
'''
GROUP_RULE = '''
  ingress {
    from_port   = 9001
    to_port     = 9001
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }

  lifecycle {
'''
OLD_CLUSTER = '''
resource "aws_eks_cluster" "old" {
  name     = "old"
  role_arn = aws_iam_role.host.arn
  version  = "1.28"
}
'''
UNUSED = '''
variable "enable_monitoring" {
  description = "Whether the host is watched."
  type        = bool
  default     = true
}
'''
REMOTE = '''terraform {
  backend "s3" {
    bucket  = "example-state"
    key     = "pretamane/terraform.tfstate"
    region  = "us-east-1"
    encrypt = true
  }
}
'''


def added(path: str, text: str) -> Callable[[Files], Files]:
    """A mutation that adds text to the end of a file, or the file itself"""
    return lambda files: {**files, path: files.get(path, "") + text}


def without(path: str, start: str) -> Callable[[Files], Files]:
    """A mutation that removes a block: from the line that starts so to the next line that is only a brace"""
    return substituted(path, rf"^{start}[^\n]*\n(?:[^}}\n][^\n]*\n|\n)*}}\n", "")


MUTANTS = [
    Mutant("D01", "a value missing from templatefile", substituted(COMPUTE, r"^    environment .*\n", ""), "X02"),
    Mutant("D01", "a placeholder that gets no value",
           added("terraform/templates/user-data.sh.tftpl", "echo ${ses_from_email}\n"), "X02"),
    Mutant("D01", "a template that is not there", replaced(COMPUTE, "user-data.sh.tftpl", "user-data.tftpl"), "X02"),
    Mutant("D07", "nobody may store a secret", replaced(IAM, ', "ssm:PutParameter"', ""), "X11"),
    Mutant("D07", "nobody may read a secret", without(IAM, r'resource "aws_iam_role_policy" "secrets"'), "X11"),
    Mutant("D08", "the managed policy that reads every parameter", added(IAM, ATTACHED), "X11"),
    Mutant("D08", "every parameter of the account",
           replaced(IAM, "Resource = local.secrets_arn", 'Resource = "*"'), "X11"),
    Mutant("D08", "every environment of the product",
           replaced("terraform/secrets.tf", "parameter${local.secrets_path}/*", "parameter/${local.project}/*"), "X11"),
    Mutant("D09", "SSH from anywhere", added(SECURITY, OPEN.format(name="ssh", port=22)), "X07b"),
    Mutant("D09", "HTTPS open beside the tunnel", added(SECURITY, OPEN.format(name="https", port=443)), "X07b"),
    Mutant("D09", "a rule hidden inside the group", replaced(SECURITY, "\n  lifecycle {\n", GROUP_RULE), "X07b"),
    Mutant("D11", "changes of user data and image ignored",
           replaced(COMPUTE, "ignore_changes = [ami]", "ignore_changes = [ami, user_data]"), "T02"),
    Mutant("D11", "a newer image makes a new host on any apply",
           replaced(COMPUTE, "ignore_changes = [ami]", "ignore_changes = [tags]"), "T02"),
    Mutant("D11", "a changed script that never runs",
           replaced(COMPUTE, "user_data_replace_on_change = true", "user_data_replace_on_change = false"), "T02"),
    Mutant("D11", "data on the disk that goes with the host",
           without(STORAGE, r'resource "aws_volume_attachment" "data"'), "T02"),
    Mutant("D12", "a data disk that a plan can destroy",
           replaced(STORAGE, "prevent_destroy = true", "prevent_destroy = false"), "T02"),
    Mutant("D12", "no snapshots", without(BACKUP, r'resource "aws_dlm_lifecycle_policy" "data"'), "T02"),
    Mutant("D12", "snapshots of another tag", replaced(BACKUP, "target_tags    = { Snapshots = local.snapshot_tag }",
                                                       'target_tags    = { Snapshots = "other" }'), "T02"),
    Mutant("D12", "a backup bucket without versions",
           replaced(BACKUP, '    status = "Enabled"\n  }\n}', '    status = "Suspended"\n  }\n}'), "T03"),
    Mutant("D12", "a backup bucket that a plan can destroy",
           replaced(BACKUP, "prevent_destroy = true", "prevent_destroy = false"), "T03"),
    Mutant("D13", "a host of 1 GiB", substituted("terraform/variables.tf", r'(variable "instance_type" \{(?:.*\n)*?  '
                                                 r'default     = )"[^"]*"', r'\1"t2.micro"'), "X16"),
    Mutant("D14", "mail through the role, one hop",
           replaced(IAM, '"ssm:GetParameter", "ssm:GetParametersByPath"',
                    '"ses:SendEmail", "ssm:GetParameter", "ssm:GetParametersByPath"'), "X20"),
    Mutant("D14", "credentials for every container",
           replaced(COMPUTE, "http_put_response_hop_limit = 1", "http_put_response_hop_limit = 2"), "X20"),
    Mutant("D14", "credentials without a token", replaced(COMPUTE, 'http_tokens                 = "required"',
                                                          'http_tokens                 = "optional"'), "X20"),
    Mutant("D15", "buckets by the start of their name",
           replaced(BACKUP, "s3:::${local.backup_bucket}", "s3:::pretamane-*"), "T01"),
    Mutant("D15", "every action on the bucket", replaced(IAM, '"s3:AbortMultipartUpload", "s3:DeleteObject", '
                                                         '"s3:GetObject", "s3:PutObject"', '"s3:*Object"'), "T01"),
    Mutant("D15", "mail in anybody's name",
           replaced(IAM, 'Action   = "ssm:UpdateInstanceInformation"\n'
                    '        Resource = "arn:${local.partition}:ec2:${var.region}:${local.account}:instance/*"',
                    'Action   = "ses:SendEmail"\n        Resource = "*"'), "T01"),
    Mutant("D15", "everything may go out",
           substituted(SECURITY, r'^  ip_protocol       = "tcp"$', '  ip_protocol       = "-1"'), "T01"),
    Mutant("D19", "a state in a local file",
           added("terraform/backend.tf", 'terraform {\n  backend "local" {}\n}\n'), "T04"),
    Mutant("D19", "a remote state without a lock", added("terraform/backend.tf", REMOTE), "T04"),
    Mutant("D20", "a variable that nothing uses", added("terraform/variables.tf", UNUSED), "T05"),
    Mutant("D21", "the id of one host in a script",
           added("bootstrap/connect.sh", "aws ssm start-session --target i-0a1b2c3d4e5f60718\n"), "T06"),
    Mutant("D84", "a plan in the tree", added("terraform/production.tfplan", "plan\n"), "T04"),
    Mutant("D82", "a bill for other nodes than the configuration makes", None,
           "behaviour:tests/test_terraform_bill.py::test_a_different_plan_has_a_different_bill"),
    Mutant("D83", "a cluster past all support", added("terraform/cluster.tf", OLD_CLUSTER), "T07"),
    Mutant("D11", "a replaced host that takes its disk along", None,
           "behaviour:tests/test_terraform_host.py::test_another_bundle_replaces_the_host_and_keeps_the_disk"),
    Mutant("D01", "what Terraform itself says of a missing value", None,
           "behaviour:tests/test_terraform_mutants.py::test_terraform_refuses"),
]
