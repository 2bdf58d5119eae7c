# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# Everything worth keeping is on this disk. It outlives the host, and Terraform refuses to destroy it.
resource "aws_ebs_volume" "data" {
  availability_zone = aws_subnet.public.availability_zone
  type              = "gp3"
  size              = var.data_volume_gb
  encrypted         = true
  final_snapshot    = true

  tags = {
    Name      = "${local.prefix}-data"
    Snapshots = local.snapshot_tag
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "data" {
  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.data.id
  instance_id                    = aws_instance.host.id
  stop_instance_before_detaching = true
}
