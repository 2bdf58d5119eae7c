terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

module "queue" {
  source = "../building/queue"
}

resource "aws_s3_bucket" "uploads" {
  bucket = "shop-uploads"
}
