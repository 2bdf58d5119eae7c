# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# TF4: what the host may do. The expected patterns are written out, so that a policy cannot agree with its own mistake.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  bundle_path = "./versions.tf"
}

run "policies" {
  command = plan

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.secrets.policy).Statement :
      statement.Resource == "arn:aws:ssm:${var.region}:123456789012:parameter/pretamane/${var.environment}/*"
    if startswith(flatten([statement.Action])[0], "ssm:")])
    error_message = "The host may use the secrets of its own path and no others."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.session.policy, "ssm:GetParameter")
    error_message = "Session Manager needs no parameters."
  }

  assert {
    condition     = !can(regex("s3:Delete(Object[A-Z]|[^O])", aws_iam_role_policy.backup.policy)) && !strcontains(aws_iam_role_policy.backup.policy, "s3:*")
    error_message = "The host may hide backups, but must not be able to remove a version of one."
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.backup.policy).Statement :
    startswith(statement.Resource, "arn:aws:s3:::pretamane-${var.environment}-backup-123456789012")])
    error_message = "The host may use its own bucket and no other."
  }

  assert {
    condition     = !can(regex("\"Action\":\"\\*\"", aws_iam_role_policy.backup.policy)) && jsondecode(aws_s3_bucket_policy.backup.policy).Statement[0].Effect == "Deny"
    error_message = "The bucket must refuse connections that are not encrypted."
  }
}
