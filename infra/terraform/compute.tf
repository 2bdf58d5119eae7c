# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

locals {
  bundle_sha256 = filesha256(var.bundle_path)
}

data "aws_ami" "ubuntu" {
  most_recent = true
  owners      = ["099720109477"] # Canonical

  filter {
    name   = "name"
    values = ["ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"]
  }

  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
}

# The host can be thrown away: a changed bundle makes a new one, which takes over the data disk and the secrets. Made anew for another
# reason, such as another size, it starts the release that scripts/deploy.sh left on that disk. A newer image alone makes no new host, or
# any apply could: `terraform apply -replace=aws_instance.host` does, when you choose.
resource "aws_instance" "host" {
  ami                         = var.ami_id != "" ? var.ami_id : data.aws_ami.ubuntu.id
  instance_type               = var.instance_type
  subnet_id                   = aws_subnet.public.id
  vpc_security_group_ids      = [aws_security_group.host.id]
  iam_instance_profile        = aws_iam_instance_profile.host.name
  associate_public_ip_address = true
  monitoring                  = false
  ebs_optimized               = true
  disable_api_termination     = var.termination_protection

  user_data_replace_on_change = true
  user_data = templatefile("${path.module}/templates/user-data.sh.tftpl", {
    stack          = local.project
    environment    = var.environment
    region         = var.region
    bundle_bucket  = aws_s3_bucket.backup.id
    bundle_key     = aws_s3_object.bundle.key
    bundle_sha256  = local.bundle_sha256
    data_volume_id = replace(aws_ebs_volume.data.id, "-", "")
  })

  # One hop: the role's credentials end at the host, because no container needs them.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  credit_specification {
    cpu_credits = "unlimited"
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = var.root_volume_gb
    encrypted             = true
    delete_on_termination = true

    tags = { Name = "${local.prefix}-root" }
  }

  tags = { Name = "${local.prefix}-host" }

  lifecycle {
    ignore_changes = [ami]
  }

  # The host must not start before it may read its secrets and its bundle.
  depends_on = [
    aws_iam_role_policy.backup,
    aws_iam_role_policy.secrets,
    aws_iam_role_policy.session,
    aws_s3_object.bundle,
    aws_vpc_security_group_egress_rule.tcp,
  ]
}
