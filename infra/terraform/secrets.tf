<<<<<<< HEAD
# Made by `pretamane emit` from model 86515157af92. Change the stack, not this file.
=======
# Made by `pretamane emit` from model 30de4c7e6b88. Change the stack, not this file.
>>>>>>> origin/main

locals {
  secrets_path = "/${local.project}/${var.environment}"
  secrets_arn  = "arn:${local.partition}:ssm:${var.region}:${local.account}:parameter${local.secrets_path}/*"
}

# The host makes the secrets on its first start and stores them below this path, so Terraform never sees one.
