data "aws_iam_policy_document" "deploy" {
  statement {
    sid       = "All"
    actions   = ["*"]
    resources = ["*"]
  }
  statement {
    actions   = ["ec2:DescribeInstances", "ec2:DescribeVpcs"]
    resources = ["*"]
  }
}
resource "aws_iam_policy" "deploy" {
  name   = "deploy"
  policy = data.aws_iam_policy_document.deploy.json
}
resource "aws_iam_role_policy" "logs" {
  role   = "ci"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:PutLogEvents"]
      Resource = "arn:aws:logs:*:*:log-group:/ci/*"
    }]
  })
}
