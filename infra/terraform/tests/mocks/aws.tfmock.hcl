# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# What AWS would answer, so that `terraform test` needs no account.
mock_data "aws_caller_identity" {
  defaults = {
    account_id = "123456789012"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition = "aws"
  }
}

mock_data "aws_ami" {
  defaults = {
    id = "ami-0123456789abcdef0"
  }
}
