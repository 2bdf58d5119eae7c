provider "docker" {}

resource "docker_image" "shop" {
  name = "shop:dev"
}
