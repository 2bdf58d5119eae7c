# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# TF1: what may come in and go out.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  bundle_path = "./versions.tf"
}

run "inbound" {
  command = plan

  # A rule for what comes in would be a resource of its own, so none may be declared in any file.
  assert {
    condition     = length(regexall("\"aws_vpc_security_group_ingress_rule\"", join("", [for file in fileset(path.module, "*.tf") : file("${path.module}/${file}")]))) == 0
    error_message = "In tunnel mode nothing may come in."
  }

  assert {
    condition     = length(regexall("(?m)^\\s*(ingress|egress) \\{", join("", [for file in fileset(path.module, "*.tf") : file("${path.module}/${file}")]))) == 0
    error_message = "Rules are resources of their own: a rule inside a group hides from those that look for them."
  }

  assert {
    condition     = aws_subnet.public.map_public_ip_on_launch == false
    error_message = "Nothing may get a public address by being in the subnet."
  }
}

run "outbound" {
  command = plan

  assert {
    condition     = toset(keys(aws_vpc_security_group_egress_rule.tcp)) == toset(["80", "443"])
    error_message = "Only packages, images and AWS may be reached."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.dns : rule.cidr_ipv4 == var.vpc_cidr])
    error_message = "Names come from the network's own resolver."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.time.cidr_ipv4 == "169.254.169.123/32"
    error_message = "Time comes from AWS."
  }
}

run "no_flow_logs_unless_asked" {
  command = plan

  assert {
    condition     = length(aws_flow_log.main) == 0
    error_message = "Flow logs are billed by the GB, so they are a choice."
  }
}

run "flow_logs" {
  command = plan

  variables {
    flow_log_bucket_arn = "arn:aws:s3:::example-flow-logs"
  }

  assert {
    condition     = aws_flow_log.main[0].traffic_type == "ALL" && aws_flow_log.main[0].log_destination_type == "s3"
    error_message = "All traffic is to be recorded in the bucket."
  }
}
