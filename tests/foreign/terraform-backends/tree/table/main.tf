terraform {
  backend "s3" {
    bucket  = "example-state"
    key     = "shop.tfstate"
    region  = "eu-west-1"
    encrypt = true
    dynamodb_table = "state-locks"
  }
}
