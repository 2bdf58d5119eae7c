# Made by `pretamane emit` from model b764955bd419. Change the stack, not this file.

# SES sends for the domain once its owner has put the records of the output `mail_records` into the DNS.
resource "aws_ses_domain_identity" "main" {
  domain = "app.example.com"
}

resource "aws_ses_domain_dkim" "main" {
  domain = aws_ses_domain_identity.main.domain
}
