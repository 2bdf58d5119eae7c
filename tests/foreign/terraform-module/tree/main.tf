locals {
  name = "${var.prefix}-queue"
  tags = merge(var.tags, { Module = "queue" })
}
resource "aws_sqs_queue" "this" {
  count = var.create ? 1 : 0
  name  = local.name
  tags  = local.tags
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[0].arn
    maxReceiveCount     = 5
  })
}
resource "aws_sqs_queue" "dead" {
  count = var.create ? 1 : 0
  name  = "${local.name}-dead"
}
data "aws_iam_policy_document" "send" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [for q in aws_sqs_queue.this : q.arn]
  }
}
