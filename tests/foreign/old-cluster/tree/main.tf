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
    key          = "clusters.tfstate"
    region       = "eu-west-1"
    encrypt      = true
    use_lockfile = true
  }
}

variable "role" {
  type        = string
  description = "The role of both clusters."
}

variable "subnets" {
  type        = list(string)
  description = "Where the nodes are."
}

resource "aws_eks_cluster" "old" {
  name     = "old"
  role_arn = var.role
  version  = "1.31"

  vpc_config {
    subnet_ids             = var.subnets
    endpoint_public_access = false
  }
}

resource "aws_eks_cluster" "new" {
  name     = "new"
  role_arn = var.role
  version  = "1.35"

  vpc_config {
    subnet_ids             = var.subnets
    endpoint_public_access = false
  }
}
