resource "aws_instance" "host" {
  ami           = var.ami
  instance_type = "t3.small"
  user_data = templatefile("${path.module}/files/boot.sh.tftpl", {
    name = var.name
  })
}
variable "ami" { type = string }
variable "name" { type = string }
