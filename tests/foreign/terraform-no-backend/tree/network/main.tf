terraform {
  cloud {
    organization = "shop"
    workspaces {
      name = "network"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

resource "aws_vpc" "shop" {
  cidr_block = "10.0.0.0/16"
}
