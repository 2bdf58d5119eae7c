# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# The group that AWS makes with each network lets its members talk to each other. Without rules it lets nobody.
resource "aws_default_security_group" "locked" {
  vpc_id = aws_vpc.main.id

  tags = { Name = "${local.prefix}-default-locked" }
}

resource "aws_security_group" "host" {
  name_prefix = "${local.prefix}-host-" # one is made before the other one goes, so they cannot share a name
  description = "The host: nothing comes in, the tunnel goes out"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.prefix}-host" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "tcp" {
  for_each = toset([for port in var.egress_ports : tostring(port)])

  security_group_id = aws_security_group.host.id
  description       = "Packages, images and services of AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
}

resource "aws_vpc_security_group_egress_rule" "dns" {
  for_each = toset(["tcp", "udp"])

  security_group_id = aws_security_group.host.id
  description       = "Names, from the resolver of the network"
  cidr_ipv4         = var.vpc_cidr
  ip_protocol       = each.key
  from_port         = 53
  to_port           = 53
}

resource "aws_vpc_security_group_egress_rule" "time" {
  security_group_id = aws_security_group.host.id
  description       = "Time, from the service of AWS"
  cidr_ipv4         = "169.254.169.123/32"
  ip_protocol       = "udp"
  from_port         = 123
  to_port           = 123
}

resource "aws_vpc_security_group_egress_rule" "tunnel" {
  for_each = toset(["tcp", "udp"])

  security_group_id = aws_security_group.host.id
  description       = "The tunnel: HTTP/2 over TCP, QUIC over UDP"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = each.key
  from_port         = 7844
  to_port           = 7844
}
