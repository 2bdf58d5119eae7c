# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# A value that cannot be right is refused before anything is planned.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  bundle_path = "./versions.tf"
}

run "zone_of_another_region" {
  command = plan

  variables {
    availability_zone = "xx-test-1a"
  }

  expect_failures = [var.availability_zone]
}

run "part_of_a_gibibyte" {
  command = plan

  variables {
    data_volume_gb = 10.5
  }

  expect_failures = [var.data_volume_gb]
}

run "no_bundle" {
  command = plan

  variables {
    bundle_path = "./no-such-file.tar.gz"
  }

  expect_failures = [var.bundle_path]
}

run "not_an_image" {
  command = plan

  variables {
    ami_id = "ubuntu"
  }

  expect_failures = [var.ami_id]
}

run "not_a_network" {
  command = plan

  variables {
    vpc_cidr = "10.20.0.0/8"
  }

  expect_failures = [var.vpc_cidr]
}

run "not_a_port" {
  command = plan

  variables {
    egress_ports = [0]
  }

  expect_failures = [var.egress_ports]
}
