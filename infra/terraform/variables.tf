# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

variable "region" {
  description = "Region code."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region code such as us-east-1 is expected."
  }
}

variable "availability_zone" {
  description = "Zone of the host and its data disk. A disk cannot move to another zone, so it is named here and not looked up."
  type        = string
  default     = "us-east-1a"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", var.availability_zone)) && startswith(var.availability_zone, var.region)
    error_message = "A zone of the region is expected, such as us-east-1a."
  }
}

variable "environment" {
  description = "Part of the path of every secret, so that environments never share one."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.environment))
    error_message = "Lower case letters, digits and - are expected."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the network, which holds one subnet."
  type        = string
  default     = "10.20.0.0/24"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 27, false)
    error_message = "An IPv4 range between /16 and /27 is expected."
  }
}

variable "egress_ports" {
  description = "TCP ports that the host may reach anywhere: packages and images come through these. Add 587 for mail by SMTP."
  type        = set(number)
  default     = [80, 443]

  validation {
    condition     = alltrue([for port in var.egress_ports : port >= 1 && port <= 65535 && floor(port) == port])
    error_message = "Whole numbers from 1 to 65535 are expected."
  }
}

variable "instance_type" {
  description = "Type of the host. 5312 MiB of memory limits and what the system keeps fit the default."
  type        = string
  default     = "t3a.large"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[.][a-z0-9-]+$", var.instance_type))
    error_message = "An instance type such as t3a.large is expected."
  }
}

variable "ami_id" {
  description = "Image of the host. Empty takes the newest Ubuntu 24.04, and then a newer image replaces the host; name one to decide when."
  type        = string
  default     = ""

  validation {
    condition     = var.ami_id == "" || can(regex("^ami-[0-9a-f]{8,17}$", var.ami_id))
    error_message = "An image such as ami-0123456789abcdef0 is expected, or nothing."
  }
}

variable "root_volume_gb" {
  description = "GiB of the root disk, which holds no data."
  type        = number
  default     = 30

  validation {
    condition     = var.root_volume_gb >= 8 && var.root_volume_gb <= 16384 && floor(var.root_volume_gb) == var.root_volume_gb
    error_message = "Whole GiB from 8 to 16384 are expected."
  }
}

variable "data_volume_gb" {
  description = "GiB of the data disk: what the volumes of the stack hold. It can grow while in use, never shrink."
  type        = number
  default     = 79

  validation {
    condition     = var.data_volume_gb >= 1 && var.data_volume_gb <= 16384 && floor(var.data_volume_gb) == var.data_volume_gb
    error_message = "Whole GiB from 1 to 16384 are expected."
  }
}

variable "termination_protection" {
  description = "Whether AWS refuses to terminate the host. Off: a new bundle replaces the host, and the data is on a disk that Terraform refuses to destroy."
  type        = bool
  default     = false
}

variable "bundle_path" {
  description = "Release bundle that scripts/bundle.sh made."
  type        = string
  default     = "../pretamane-bundle.tar.gz"

  validation {
    condition     = fileexists(var.bundle_path)
    error_message = "There is no such file. Make the bundle first: scripts/bundle.sh."
  }
}

variable "snapshots_kept" {
  description = "Daily snapshots of the data disk that are kept."
  type        = number
  default     = 7

  validation {
    condition     = var.snapshots_kept >= 1 && var.snapshots_kept <= 1000 && floor(var.snapshots_kept) == var.snapshots_kept
    error_message = "A whole number from 1 to 1000 is expected."
  }
}

variable "old_backups_days" {
  description = "Days for which overwritten or deleted backups can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.old_backups_days >= 1 && floor(var.old_backups_days) == var.old_backups_days
    error_message = "A whole number of days is expected."
  }
}

variable "flow_log_bucket_arn" {
  description = "Bucket that gets the records of the network's traffic. Empty records nothing: AWS bills each GB delivered, which the bill of the stack does not count."
  type        = string
  default     = ""

  validation {
    condition     = var.flow_log_bucket_arn == "" || can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]+", var.flow_log_bucket_arn))
    error_message = "The ARN of a bucket is expected, or nothing."
  }
}

variable "audit_trail_days" {
  description = "Days for which the records of who read which secret are kept."
  type        = number
  default     = 365

  validation {
    condition     = var.audit_trail_days >= 1 && floor(var.audit_trail_days) == var.audit_trail_days
    error_message = "A whole number of days is expected."
  }
}

variable "tags" {
  description = "Tags that every resource gets besides its own."
  type        = map(string)
  default     = {}
}
