module "queue" {
  source = "../.."
  prefix = "demo"
}
