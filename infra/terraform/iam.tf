# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# The host's own role. Every policy is written here: AmazonSSMManagedInstanceCore would let it read every parameter of the account.
resource "aws_iam_role" "host" {
  name                 = "${local.prefix}-host"
  description          = "What the host of ${local.prefix} may do"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_instance_profile" "host" {
  name = "${local.prefix}-host"
  role = aws_iam_role.host.name
}

# Session Manager in place of SSH: no port, no key. These actions know no resources, but they reach only the host's own channels.
resource "aws_iam_role_policy" "session" {
  name = "session"
  role = aws_iam_role.host.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Channels"
        Effect = "Allow"
        Action = [
          "ec2messages:AcknowledgeMessage",
          "ec2messages:DeleteMessage",
          "ec2messages:FailMessage",
          "ec2messages:GetEndpoint",
          "ec2messages:GetMessages",
          "ec2messages:SendReply",
          "ssmmessages:CreateControlChannel",
          "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel",
          "ssmmessages:OpenDataChannel",
        ]
        Resource = "*"
      },
      {
        Sid      = "Register"
        Effect   = "Allow"
        Action   = "ssm:UpdateInstanceInformation"
        Resource = "arn:${local.partition}:ec2:${var.region}:${local.account}:instance/*"
      },
    ]
  })
}

resource "aws_iam_role_policy" "secrets" {
  name = "secrets"
  role = aws_iam_role.host.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "OwnPath"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter", "ssm:GetParametersByPath", "ssm:PutParameter"]
        Resource = local.secrets_arn
      },
      {
        # Only through the Parameter Store, and only for values that belong to this path.
        Sid      = "OwnValues"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:Encrypt"]
        Resource = "arn:${local.partition}:kms:${var.region}:${local.account}:key/*"
        Condition = {
          StringEquals = { "kms:ViaService" = "ssm.${var.region}.amazonaws.com" }
          StringLike   = { "kms:EncryptionContext:PARAMETER_ARN" = local.secrets_arn }
        }
      },
    ]
  })
}

# The host adds backups, reads them, and hides those that its retention no longer keeps. Without s3:DeleteObjectVersion what
# it hides stays in the bucket for old_backups_days: whoever takes the host over cannot destroy a backup.
resource "aws_iam_role_policy" "backup" {
  name = "backup"
  role = aws_iam_role.host.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket"]
        Resource = local.backup_bucket_arn
      },
      {
        Sid      = "AddReadAndHide"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = "${local.backup_bucket_arn}/backups/*"
      },
      {
        Sid      = "ReadReleases"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${local.backup_bucket_arn}/releases/*"
      },
    ]
  })
}

resource "aws_iam_role" "snapshots" {
  name        = "${local.prefix}-snapshots"
  description = "What the snapshot policy of ${local.prefix} may do"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "dlm.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "snapshots" {
  name = "snapshots"
  role = aws_iam_role.snapshots.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Action   = ["ec2:DescribeInstances", "ec2:DescribeSnapshots", "ec2:DescribeVolumes"]
        Resource = "*"
      },
      {
        Sid       = "FromTheDataDisk"
        Effect    = "Allow"
        Action    = "ec2:CreateSnapshot"
        Resource  = "arn:${local.partition}:ec2:${var.region}:${local.account}:volume/*"
        Condition = { StringEquals = { "aws:ResourceTag/Snapshots" = local.snapshot_tag } }
      },
      {
        Sid      = "Create"
        Effect   = "Allow"
        Action   = "ec2:CreateSnapshot"
        Resource = "arn:${local.partition}:ec2:${var.region}::snapshot/*"
      },
      {
        Sid       = "TagWhatItCreates"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "arn:${local.partition}:ec2:${var.region}::snapshot/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateSnapshot" } }
      },
      {
        Sid       = "RemoveOnlyItsOwn"
        Effect    = "Allow"
        Action    = "ec2:DeleteSnapshot"
        Resource  = "arn:${local.partition}:ec2:${var.region}::snapshot/*"
        Condition = { StringEquals = { "aws:ResourceTag/Snapshots" = local.snapshot_tag } }
      },
    ]
  })
}
