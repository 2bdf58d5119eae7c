terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
  backend "s3" {
    bucket       = "example-terraform-state"
    key          = "host.tfstate"
    region       = "eu-west-1"
    encrypt      = true
    use_lockfile = true
  }
}

variable "image" {
  type        = string
  description = "The image that the host starts from."
}

variable "subnet" {
  type        = string
  description = "The subnet of the host."
}

resource "aws_instance" "host" {
  ami           = var.image
  subnet_id     = var.subnet
  instance_type = "t3.small"

  metadata_options {
    http_tokens = "required"
  }

  root_block_device {
    encrypted = true
  }
}
