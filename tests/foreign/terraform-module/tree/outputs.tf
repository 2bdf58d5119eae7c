output "arn" { value = try(aws_sqs_queue.this[0].arn, null) }
output "policy" { value = data.aws_iam_policy_document.send.json }
