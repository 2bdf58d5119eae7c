<<<<<<< HEAD
# Made by `pretamane emit` from model 86515157af92. Change the stack, not this file.
=======
# Made by `pretamane emit` from model 30de4c7e6b88. Change the stack, not this file.
>>>>>>> origin/main

# SES sends for the domain once its owner has put the records of the output `mail_records` into the DNS.
resource "aws_ses_domain_identity" "main" {
  domain = "app.example.com"
}

resource "aws_ses_domain_dkim" "main" {
  domain = aws_ses_domain_identity.main.domain
}
