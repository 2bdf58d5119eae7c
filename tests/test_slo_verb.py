"What `pretamane slo` prints; that its minutes are those of promtool is in test_slo_rules.py."
import csv
import io
import json
import re

import pytest
import yaml

from pretamane_analysis.cli.main import main
from pretamane_analysis.stack.slo import Slo, minutes
from pretamane_analysis.stack.stack import example_text


@pytest.fixture
def answered(capsys, monkeypatch):
    "Call the command; give its exit code and what it printed."
    monkeypatch.setenv("PRETAMANE_CACHE", "")
    monkeypatch.setenv("COLUMNS", "120")  # a worker of pytest-xdist has its own

    def call(*words):
        code = main(["slo", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err
    return call


def stack_with(folder, **keys):
    "A stack file with some keys in place of the example's."
    content = yaml.safe_load(example_text()) | keys
    place = folder / "stack.yaml"
    place.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(place)


def test_table_names_the_budget_and_when_somebody_is_told(answered):
    code, out, _ = answered()
    assert code == 0
    assert "216 min" in out and "432 min" in out and "5 min (2.3 %)" in out
    for name in ("PageBurn1h", "PageBurn6h", "TicketBurn1d", "TicketBurn3d"):
        assert name in out


def test_rows_for_calculating(answered):
    rows = list(csv.DictReader(io.StringIO(answered("--format", "csv")[1])))
    page = {row["burn"]: row for row in rows if (row["slo"], row["alert"]) == ("availability", "SloPageBurn1h")}
    assert {burn: row["fires_after_minutes"] for burn, row in page.items()} == {
        "1": "", "2": "", "3": "", "6": "", "10": "", "14.4": "60", "20": "44", "50": "18", "200": "5"}
    assert page["200"]["bad_percent"].rstrip("0") == "100." and page["14.4"]["budget_spent_percent"] == "2.000"
    document = json.loads(answered("--format", "json")[1])
    assert [each["name"] for each in document["slos"]] == ["availability", "latency"]
    assert sum(len(each["firings"]) for each in document["slos"]) == len(rows)


def test_more_traffic_is_more_requests_and_the_same_minutes(answered):
    low, high = (json.loads(answered("--format", "json", "--scenario", name)[1])["slos"][0] for name in ("low", "high"))
    assert low["budget_minutes"] == high["budget_minutes"] == "216.000"
    assert float(high["budget_requests"]) == pytest.approx(25 * float(low["budget_requests"]), rel=1e-4)


def test_an_alert_that_never_sees_enough_requests_says_so(answered, tmp_path):
    usage = yaml.safe_load(example_text())["usage"] | {"requests": 5000}
    code, out, _ = answered("--stack", stack_with(tmp_path, usage=usage))
    assert code == 0 and "too little traffic" in out


def test_a_stack_without_promises(answered, tmp_path):
    code, out, err = answered("--stack", stack_with(tmp_path, slos={}))
    assert (code, out) == (2, "") and "defines no SLOs" in err and "objective" in err


def test_a_promise_that_cannot_be_guarded_names_its_line(answered, tmp_path):
    code, _, err = answered("--stack", stack_with(tmp_path, slos={"mine": {"objective": 80}}))
    assert code == 2 and "slos.mine" in err and "could never fire" in err and "stack.yaml:" in err


@pytest.mark.parametrize("days", [7, 14, 28, 30, 60, 90])
def test_alerts_fit_the_window(days, tmp_path, capsys):
    """No alert of the table waits for more than its part of the budget; no percentage has more digits than one reads"""
    spent = [each.burn * minutes(each.long) / (days * 1440) for each in Slo(objective=99.5, window_days=days).alerts]
    assert all(part <= most for part, most in zip(spent, (0.0801, 0.1251, 0.2001, 0.4201), strict=True)), spent
    text = re.sub(r"(objective: [\d.]+)", rf"\1, window_days: {days}", example_text())
    (tmp_path / "stack.yaml").write_text(text, encoding="utf-8")
    assert main(["slo", "--stack", str(tmp_path / "stack.yaml"), "--format", "md"]) == 0
    said = capsys.readouterr().out
    assert f"{days} d" in said and not re.search(r"\d\.\d{4,} ?%", said)
