# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

locals {
  secrets_path = "/${local.project}/${var.environment}"
  secrets_arn  = "arn:${local.partition}:ssm:${var.region}:${local.account}:parameter${local.secrets_path}/*"
}

# The host makes the secrets on its first start and stores them below this path, so Terraform never sees one.
