# Made by `pretamane emit` from model 9e802e41ee62. Change the stack, not this file.

output "instance_id" {
  description = "The host."
  value       = aws_instance.host.id
}

output "session" {
  description = "How to get a shell on the host, without SSH."
  value       = "aws ssm start-session --region ${var.region} --target ${aws_instance.host.id}"
}

output "data_volume_id" {
  description = "The data disk, which stays when the host goes."
  value       = aws_ebs_volume.data.id
}

output "backup_bucket" {
  description = "Where backups and release bundles are."
  value       = aws_s3_bucket.backup.id
}

output "bundle" {
  description = "The release bundle that the host starts from."
  value       = "s3://${local.backup_bucket}/${aws_s3_object.bundle.key}"
}

output "secrets_path" {
  description = "Where the secrets are in the Parameter Store."
  value       = local.secrets_path
}
