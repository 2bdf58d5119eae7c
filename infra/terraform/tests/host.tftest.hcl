# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

# TF2 and TF3: what the host starts from, and what stays when it goes.
mock_provider "aws" {
  source = "./tests/mocks"
}

# A plan does not know ids, but what the host is told depends on them.
override_resource {
  target          = aws_ebs_volume.data
  override_during = plan
  values = {
    id = "vol-0123456789abcdef0"
  }
}

override_resource {
  target          = aws_s3_bucket.backup
  override_during = plan
  values = {
    id = "example-backup"
  }
}

variables {
  bundle_path = "./versions.tf"
}

run "first" {
  command = plan

  assert {
    condition     = startswith(aws_instance.host.user_data, "#!")
    error_message = "The host's first script must say what runs it."
  }

  assert {
    condition     = length(regexall("\\$\\{[a-z_]*(bundle|volume|region|environment|stack)[a-z_]*\\}", aws_instance.host.user_data)) == 0
    error_message = "A placeholder is left in the host's first script."
  }

  assert {
    condition     = length(base64encode(aws_instance.host.user_data)) * 3 / 4 <= 16384
    error_message = "EC2 takes no more than 16 KiB of user data."
  }

  assert {
    condition     = strcontains(aws_instance.host.user_data, filesha256(var.bundle_path)) && strcontains(aws_instance.host.user_data, "vol0123456789abcdef0")
    error_message = "The host must know the bundle that it has to check, and its data disk by its serial number."
  }

  assert {
    condition     = aws_instance.host.metadata_options[0].http_tokens == "required"
    error_message = "Credentials must ask for a token."
  }

  assert {
    condition     = aws_instance.host.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Credentials must not go further than they are needed."
  }

  assert {
    condition     = aws_instance.host.root_block_device[0].encrypted && aws_ebs_volume.data.encrypted
    error_message = "Every disk is encrypted."
  }

  assert {
    condition     = !strcontains(file("${path.module}/compute.tf"), "key_name")
    error_message = "There is no SSH key: sessions come through Session Manager."
  }
}

run "another_bundle" {
  command = plan

  variables {
    bundle_path = "./variables.tf"
  }

  assert {
    condition     = strcontains(aws_instance.host.user_data, filesha256("./variables.tf")) && aws_instance.host.user_data_replace_on_change
    error_message = "Another bundle must make another host."
  }

  assert {
    condition     = output.bundle != run.first.bundle && output.data_volume_id == run.first.data_volume_id
    error_message = "Another bundle has another name, and the data disk stays."
  }
}
