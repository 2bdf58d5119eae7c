variable "create" {
  type    = bool
  default = true
}
variable "prefix" { type = string }
variable "tags" {
  type    = map(string)
  default = {}
}
