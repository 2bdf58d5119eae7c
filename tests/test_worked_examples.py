"""Every worked example in scope is met by the package, and the comparison can fail."""
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import worked_examples
from examples import ADAPTERS
from examples.rates import parse
from examples.row import number
from worked_examples import COLUMNS, COPY, Example, check, read

from pretamane_analysis.base.errors import PretamaneError

SCRIPT = Path(worked_examples.__file__)
EXAMPLES = read(COPY)
UNSUPPORTED = {"aws-cognito-asf-500"}  # advanced security of old user pools: its name in the price list is not known
IN_SCOPE = [example for example in EXAMPLES if example.service in ADAPTERS and example.id not in UNSUPPORTED]
OUT_OF_SCOPE = Counter({"CloudTrail": 1})
IRRELEVANT_INPUTS = {  # doubled, they change nothing
    ("aws-alb-sap-mtls", "connection_minutes"): "another dimension of the capacity unit is larger",
    ("aws-alb-sap-mtls", "new_connections_per_s"): "another dimension of the capacity unit is larger",
    ("aws-alb-sap-mtls", "requests_per_s"): "10 rules are free",
    ("aws-alb-sap-mtls", "rules"): "10 rules are free",
    ("aws-ebs-ex11-timebased-copy", "completion_hours"): "it only decides which rate is printed",
    ("aws-lambda-durable", "executions"): "the billable requests are told besides",
    ("ic-opensearch-gp3-180gb-125mibps", "throughput_mibps"): "250 MiB/s are included",
    ("aws-eventbridge-sportsbook", "invocations"): "what is delivered inside the account is free",
    ("aws-eventbridge-sportsbook", "same_account_deliveries"): "what is delivered inside the account is free",
    ("pub-eventbridge-50M-custom", "aws_service_events"): "AWS's own events are free",
    ("pub-elasticache-serverless-redis-floor", "stored_gb"): "1 GB is the least that is billed",
    ("rule-fargate-eks-pod-8gb-rounds-up", "requested_vcpu"): "the pod gets 2 vCPU for its memory",
    ("ic-rds-postgres11-extended-support", "extended_support_year"): "the first two years cost the same",
    ("ic-sns-charged-subscribers", "requests"): "within the free million",
    ("calc-wf-s3", "select_scanned_gb"): "less than half a cent",
    ("calc-wf-s3", "select_returned_gb"): "less than half a cent",
}
IRRELEVANT_RATES = {
    ("bst-gp3-200gb-2000iops", "iops_month_over_3000"): "3,000 IOPS are included",
    ("calc-wf-s3", "sel_scan"): "less than half a cent",
    ("calc-wf-s3", "sel_ret"): "less than half a cent",
}


def example(service, inputs, rates, expected=0, region="us-east-1"):
    """An example made up for a test."""
    exact = json.loads(json.dumps(inputs), parse_float=Decimal)
    printed = {name: Decimal(str(usd)) for name, usd in rates.items()}
    return Example("made-up", service, region, exact, printed, Decimal(str(expected)))


def run(*arguments, **environment):
    """The script in a process of its own."""
    known = {name: value for name, value in os.environ.items() if name != "PRETAMANE_WORKED_EXAMPLES"}
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True,
                          text=True, check=False,
                          env={**known, **{name: str(value) for name, value in environment.items()}})


def write(path, **cells):
    """A file of two rows, the second with some cells replaced."""
    good = {"id": "good", "service": "EKS", "region": "us-east-1", "inputs_json": '{"clusters": 1}',
            "unit_rates": '{"cluster_hour": 0.1}', "expected_monthly_usd": "73"}
    lines = [",".join(COLUMNS)]
    for row in (good, {**good, "id": "second", **cells}):
        quoted = [row[name].replace('"', '""') for name in COLUMNS]
        lines.append(",".join(f'"{cell}"' for cell in quoted))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("each", IN_SCOPE, ids=lambda each: each.id)
def test_example_matches(each):
    """The package's bill is the printed total."""
    result = check(each)
    assert result.status == "match", result


def test_scope():
    """Only the services that the package does not bill are out of scope."""
    assert len(EXAMPLES) == 220
    left_out = Counter(each.service for each in EXAMPLES if check(each).status == "out-of-scope")
    assert left_out == OUT_OF_SCOPE
    assert {each.id for each in EXAMPLES if check(each).status == "unsupported"} == UNSUPPORTED
    assert {each.service for each in IN_SCOPE} | {"SES", "CloudWatch metric"} == set(ADAPTERS)


def doubled_inputs(each):
    """The example with one quantity after the other doubled."""
    for name, value in each.inputs.items():
        if not name.startswith("_") and isinstance(value, int | Decimal) and not isinstance(value, bool) and value:
            yield name, replace(each, inputs={**each.inputs, name: value * 2})


@pytest.mark.parametrize("each", IN_SCOPE, ids=lambda each: each.id)
def test_doubled_quantity_no_longer_matches(each):
    """Each input decides, but for those that AWS does not bill."""
    same = {(each.id, name) for name, changed in doubled_inputs(each) if check(changed).status == "match"}
    assert same == {key for key in IRRELEVANT_INPUTS if key[0] == each.id}


@pytest.mark.parametrize("each", IN_SCOPE, ids=lambda each: each.id)
def test_doubled_rate_is_wrong(each):
    """Each printed rate decides, but for those whose quantity is nothing."""
    changed = {name: check(replace(each, rates={**each.rates, name: usd * 2})).status
               for name, usd in each.rates.items()}
    assert {(each.id, name) for name, status in changed.items() if status == "match"} == {
        key for key in IRRELEVANT_RATES if key[0] == each.id}
    assert set(changed.values()) <= {"wrong", "match"}


@pytest.mark.parametrize("each", IN_SCOPE, ids=lambda each: each.id)
def test_unknown_names_are_unsupported(each):
    """Neither an unknown input nor a rate that pays for nothing is passed over."""
    for changed, name in ((replace(each, inputs={**each.inputs, "moon_phase": 1}), "moon_phase"),
                          (replace(each, rates={**each.rates, "moon_fee": Decimal(1)}), "moon_fee")):
        result = check(changed)
        assert result.status == "unsupported" and name in result.reason


@pytest.mark.parametrize("each", IN_SCOPE, ids=lambda each: each.id)
def test_expected_total_and_id_decide_nothing(each):
    """The result comes from the inputs and the rates alone."""
    assert check(replace(each, expected=each.expected + 1)).status == "wrong"
    assert check(replace(each, expected=Decimal(0), id="other", tolerance=Decimal(10**9))).got == check(each).got


def test_unknown_service_is_out_of_scope():
    """A service without an adapter is listed, not tried."""
    result = check(example("Ground Station", {"antennas": 1}, {"hour": 1}))
    assert (result.status, result.got) == ("out-of-scope", None)


OTHERS = [
    ("ALB", {"load_balancers": 2, "hours": 730, "processed_gb": 2000}, {"hour": 0.0225, "lcu_hour": 0.008}, 48.85),
    ("ALB", {"hours": 730, "requests_per_s": 500, "rules": 20}, {"hour": 0.0225, "lcu_hour": 0.008}, 45.625),
    ("API Gateway HTTP", {"requests": 10**6, "request_kb": 513}, {"per_1M": 1}, 2),
    ("CloudWatch metric", {"metrics": 300_000}, {"t1_10k": 0.3, "t2_240k": 0.1, "t3_750k": 0.05}, 29_500),
    ("Data transfer", {"internet_in_gb": 500, "internet_out_gb": 100}, {"egress": 0.09}, 9),
    ("EBS", {"gb_each": 500, "iops_each": 5000, "type": "gp3", "volumes": 2},
     {"gb_month": 0.152, "iops_month_over_3000": 0.0095}, 190),
    ("EBS", {"gb": 100, "iops": 80_000, "type": "io2"},
     {"gb_month": 0.125, "iops_t1_32000": 0.065, "iops_t2_64000": 0.0455, "iops_t3": 0.032}, 4060.5),
    ("EBS snapshot", {"azs": 2, "minutes": 30, "snapshots": 2}, {"dsu_hour": 0.75}, 3),
    ("EC2", {"count": 2, "ebs_gb_each": 30, "hours_per_week": 84, "instance_type": "t3.medium"},
     {"gp3_gb": 0.08, "hour": 0.0416}, 32.768),
    ("EC2", {"hours": 730, "instance_type": "m5.large", "os": "windows"}, {"m5.large_windows_hour": 0.188}, 137.24),
    ("EC2 + CloudWatch", {"count": 2, "detailed_monitoring_metrics": 7, "hours": 730, "instance_type": "m3.large"},
     {"hour": 0.133, "metric_month": 0.3}, 198.38),
    ("EC2 CPU credits", {"cpu_percent": 50, "hours": 730, "instance_type": "t3.large"},
     {"cpu_credit_vcpu_hour": 0.05, "hour": 0.0832}, 75.336),
    ("EKS", {"clusters": 2, "hours": 720}, {"cluster_hour": 0.1, "extended_surcharge_hour": 0.5}, 864),
    ("Lambda", {"free_tier": True, "mb": 1536, "ms": 120, "requests": 3 * 10**6},
     {"gbs": 0.0000166667, "req_1M": 0.2}, 2.733338),
    ("Public IPv4", {"addresses": 3, "hours": 720, "idle_eip": 1}, {"ipv4_hour": 0.005}, 14.4),
    ("S3", {"standard_gb": 600_000}, {"t1_51200": 0.023, "t2_460800": 0.022, "t3": 0.021}, 13_163.2),
    ("S3", {"standard_gb": 100, "standard_ia_gb": 50}, {"gb": 0.023, "ia_gb": 0.0125}, 2.925),
    ("SES", {"attachment_gb": 10, "emails": 100_000}, {"attachment_gb": 0.12, "per_1k": 0.1}, 11.2),
    ("Secrets Manager", {"days": 15, "secrets": 4}, {"secret": 0.4}, 0.8),
    ("VPC endpoint", {"endpoint_az_hours": 730, "gb": 7_000_000},
     {"hour": 0.01, "t1_1PB": 0.01, "t2_4PB": 0.006, "t3": 0.004}, 42_007.3),
]


@pytest.mark.parametrize("service,inputs,rates,expected", OTHERS,
                         ids=lambda value: value if isinstance(value, str) else "")
def test_other_combinations(service, inputs, rates, expected):
    """Totals worked out by hand for combinations that the copy does not have."""
    result = check(example(service, inputs, rates, expected))
    assert result.status == "match", result


UNSURE = [
    ("EBS", {"gb": 100, "type": "gp3", "volumes": 2}, {"gb_month": 0.08}, "of each of the 2 or of all"),
    ("EBS", {"gb": 100, "iops": 4000}, {"gb_month": 0.08, "iops_month": 0.005}, "kind of the disk"),
    ("EC2", {"hours": 730, "hours_each": 730, "instance_type": "t3.medium"}, {"hour": 0.0416}, "contradict"),
    ("EC2", {"hours": "730; 1", "instance_type": "t3.medium"}, {"hour": 0.0416}, "not an expression"),
    ("EC2", {"hours": -1, "instance_type": "t3.medium"}, {"hour": 0.0416}, "0 or more"),
    ("EC2", {"instance_type": "t3.medium"}, {}, "no price"),
    ("EC2 RI", {"hours": 730, "instance_type": "t3.medium", "purchase": "std-1y-pu"}, {"ri_hour": 0.01}, "upfront"),
    ("EC2 RI", {"hours": 730, "instance_type": "t3.medium", "purchase": "lease"}, {"ri_hour": 0.01}, "lease"),
    ("ECR", {"free_gb": 5, "gb": 50, "internet_out_gb": 100}, {"egress": 0.09, "gb": 0.1}, "deducted from what"),
    ("EFS", {"included_mibps": 99, "provisioned_mibps": 100, "standard_gb": 230},
     {"provisioned_mibps": 6, "standard": 0.3}, "include"),
    ("Data transfer", {"internet_out_gb": 20_000}, {"t1_10240": 0.09}, "no rate is known"),
    ("Data transfer", {"internet_out_gb": 20_000}, {"t2_40960": 0.085}, "not printed"),
    ("Lambda", {"mb": 128, "ms": 100, "requests": 1}, {"gbs_first6B": 2, "gbs_over9B": 1, "req_1M": 0.2}, "not tiers"),
    ("Fargate", {"gb": 1, "minutes": 5, "tasks_per_day": 3, "vcpu": 1}, {"gb_hour": 0.004, "vcpu_hour": 0.04},
     "without days"),
    ("S3", {"glacier_gb": 5, "standard_gb": 5}, {"gb": 0.02}, "would pay for"),
    ("KMS", {"_note": "nothing else"}, {}, "no inputs"),
]


@pytest.mark.parametrize("service,inputs,rates,reason", UNSURE,
                         ids=lambda value: value if isinstance(value, str) else "")
def test_what_would_be_a_guess_is_unsupported(service, inputs, rates, reason):
    """The reason names what is missing or contradictory."""
    result = check(example(service, inputs, rates))
    assert result.status == "unsupported" and reason in result.reason, result


def test_rate_names():
    """Divisor, tier and subject are told apart."""
    names = {name: parse(name, Decimal(1)) for name in
             ("per_1M_io", "t1_1B_per1M", "conn_1M_min", "gbs_over15B", "t3.medium_hour", "t1_333M")}
    assert {name: (rate.stem, rate.per, rate.tier or rate.edge, rate.size) for name, rate in names.items()} == {
        "per_1M_io": ("io", 10**6, "", None), "t1_1B_per1M": ("", 10**6, 1, 10**9),
        "conn_1M_min": ("conn_min", 10**6, "", None),
        "gbs_over15B": ("gbs", None, "over", 15 * 10**9), "t3.medium_hour": ("t3.medium_hour", None, "", None),
        "t1_333M": ("", None, 1, 333 * 10**6)}
    assert number("2 + 3*4/6 - 1", "x") == 3


BROKEN = [
    ({"inputs_json": "{"}, "inputs_json is not JSON"), ({"inputs_json": "[]"}, "inputs_json is not a JSON object"),
    ({"inputs_json": '{"clusters": NaN}'}, "NaN is not a number"),
    ({"unit_rates": '{"cluster_hour": "cheap"}'}, "unit_rates cluster_hour"),
    ({"expected_monthly_usd": "73,0"}, "expected_monthly_usd"), ({"inputs_json": '{"_tol": "wide"}'}, "_tol"),
    ({"expected_monthly_usd": ""}, "expected_monthly_usd"),
]


@pytest.mark.parametrize("cells,message", BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_broken_row(tmp_path, cells, message):
    """The message names file and row."""
    path = write(tmp_path / "broken.csv", **cells)
    with pytest.raises(PretamaneError) as caught:
        read(path)
    assert message in str(caught.value) and f"{path}, row 3 (second)" in str(caught.value)
    process = run(path)
    assert (process.returncode, process.stdout) == (2, "") and f"{path}, row 3 (second)" in process.stderr
    assert "Traceback" not in process.stderr


def test_broken_file(tmp_path):
    """No file, no rows, other columns, missing cells, other encodings: exit 2, and no traceback."""
    head = ",".join(COLUMNS)
    for name, content in (("none.csv", None), ("empty.csv", b""), ("head.csv", head.encode()),
                          ("columns.csv", b"a,b\n1,2\n"),
                          ("short.csv", f"{head}\nonly\n".encode()), ("latin.csv", f"{head}\n\xe9".encode("latin-1"))):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        process = run(tmp_path / name)
        assert process.returncode == 2 and name in process.stderr and "Traceback" not in process.stderr


def test_script_on_the_copy():
    """One JSON object a row, exit 0."""
    process = run()
    found = [json.loads(line) for line in process.stdout.splitlines()]
    assert process.returncode == 0, process.stderr
    assert [each["id"] for each in found] == [each.id for each in EXAMPLES]
    assert all({"id", "service", "status", "expected", "got"} <= set(each) for each in found)
    assert Counter(each["status"] for each in found) == {
        "match": len(IN_SCOPE), "out-of-scope": OUT_OF_SCOPE.total(), "unsupported": len(UNSUPPORTED)}


def test_script_on_other_files(tmp_path):
    """Exit 1 for a wrong row, 0 for one that is unsupported; the argument goes before the variable."""
    wrong = write(tmp_path / "wrong.csv", expected_monthly_usd="74")
    unsure = write(tmp_path / "unsure.csv", inputs_json='{"clusters": 1, "moons": 2}')
    for process, code, status in ((run(wrong), 1, "wrong"), (run(PRETAMANE_WORKED_EXAMPLES=wrong), 1, "wrong"),
                                  (run(unsure, PRETAMANE_WORKED_EXAMPLES=wrong), 0, "unsupported")):
        assert process.returncode == code
        assert [json.loads(line)["status"] for line in process.stdout.splitlines()] == ["match", status]
    assert run("a.csv", "b.csv").returncode == 2
    assert run("--help").returncode == 0
