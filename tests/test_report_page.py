"""The report's page as a person opens it: from a folder, in a real browser, in both color schemes, on a phone."""
from __future__ import annotations

import json
import re
import shlex
from decimal import Decimal

import pytest
from browser import console_errors, open_browser, requested, scheme, serious, size

from pretamane_analysis.base.tables import less, money
from pretamane_analysis.cli.main import main

CHOICES = {  # what somebody sets in the form; what is left out stays as reported
    "as reported": {},
    "egress within the free allowance": {"egress": "100"},
    "egress in the second tier": {"egress": "12345.67"},
    "no egress": {"egress": "0"},
    "egress below what the balancer counts": {"egress": "11.111111"},
    "more memory": {"memory": "16Gi"},
    "a host that costs more": {"memory": "64Gi", "egress": "0"},
    "bought otherwise": {"purchase-option": "Spot-typical"},
    "everything": {"region": "us-east-1", "egress": "2048.5", "memory": "32Gi", "purchase-option": "Reserved-1yr-AllUpfront"},
    "no price for the host": {"purchase-option": "Reserved-3yr-NoUpfront"},
    "a region with few prices": {"region": "ap-south-1", "egress": "300"},
    "a region without a host": {"region": "ap-southeast-5", "memory": "64Gi"},
}
SET = """const form = document.querySelector('#what-if form');
form.reset();
for (const [name, value] of Object.entries(arguments[0])) form.elements[name].value = value;
form.dispatchEvent(new Event('input', {bubbles: true}));"""
SHOWN = """const part = document.getElementById('what-if');
return {rows: [...part.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent)),
  sentence: part.querySelector('[role=status]').textContent, why: [...part.querySelectorAll('li')].map(each => each.textContent),
  commands: part.querySelector('pre').textContent.split('\\n')};"""
OVERFLOW = "return document.scrollingElement.scrollWidth - window.innerWidth"
PICTURES = "return [...document.images].map(each => each.complete && each.naturalWidth > 0)"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The report of the example, opened as a file"""
    folder = tmp_path_factory.mktemp("report") / "report"
    assert main(["report", "--out", str(folder)]) == 0
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def driver():
    """One browser for all of it"""
    with open_browser() as found:
        yield found


def test_it_stands_alone(page, driver):
    """No error in the console, nothing asked of anybody, every picture there"""
    size(driver, 1280)
    driver.get(page)
    assert (console_errors(driver), requested(driver)) == ([], set())
    pictures = driver.execute_script(PICTURES)
    assert all(pictures)
    assert len(pictures) + driver.execute_script("return document.querySelectorAll('svg').length") >= 3


def test_a_phone_does_not_scroll_sideways(page, driver):
    """390 CSS pixels are enough; what is wider scrolls by itself"""
    size(driver, 390, 844)
    driver.get(page)
    assert driver.execute_script(OVERFLOW) <= 0


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_it_can_be_read_by_everybody(colors, page, driver):
    """Axe, with its measure of contrast, in both color schemes"""
    size(driver, 1280)
    scheme(driver, colors)
    driver.get(page)
    assert driver.execute_script(f"return matchMedia('(prefers-color-scheme: {colors})').matches")
    assert serious(driver) == []


def asked(driver, page, choices: dict[str, str]) -> dict:
    """Set the form and return what the page shows then"""
    driver.get(page)
    driver.execute_script(SET, choices)
    return driver.execute_script(SHOWN)


def printed(command: str, capsys) -> tuple[dict | None, str]:
    """Run a command that the page shows; return its bill, or what it says instead"""
    code = main([*shlex.split(command)[1:], "--format", "json"])
    out, err = capsys.readouterr()
    return (json.loads(out), "") if code == 0 else (None, err)


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_the_page_answers_as_the_command_line(choices, page, driver, capsys):
    """Both totals, each feature, the difference and the share are what the commands print that the page shows; what has no price says so"""
    found = asked(driver, page, choices)
    bills = [printed(each, capsys) for each in found["commands"]]
    totals = [bill and Decimal(bill["total"]) for bill, _ in bills]
    assert found["rows"][-1][1:3] == ["no price" if total is None else money(total) for total in totals]
    for at, (bill, said) in enumerate(bills):
        assert (bill is None) == any(row[1 + at] == "no price" for row in found["rows"])
        if bill is None:
            assert any(each in said for each in found["why"]), (said, found["why"])
            continue
        for feature, shown in zip(driver.execute_script("return Object.keys(JSON.parse(answers.textContent).features)"), found["rows"]):
            assert shown[1 + at] == money(sum((Decimal(each["EffectiveCost"]) for each in bill["lines"] if each["feature"] == feature), Decimal(0)))
    if None not in totals:
        assert found["rows"][-1][3] == money(totals[1] - totals[0])
        assert found["sentence"].endswith(f"{less(100 * (totals[0] - totals[1]) / totals[0])}.")


def test_some_of_these_have_a_price_and_some_have_not(page, driver, capsys):
    """The choices above hold both kinds, so neither is tested in vain"""
    missing = [any(row[1] == "no price" or row[2] == "no price" for row in asked(driver, page, each)["rows"]) for each in CHOICES.values()]
    assert missing.count(False) >= 7 and missing.count(True) >= 3


def test_compare_says_the_same(page, driver, capsys):
    """`pretamane compare` takes the same options and gives the same figures"""
    found = asked(driver, page, {"egress": "250", "memory": "16Gi"})
    assert main(["compare", "--egress", "250", "--memory", "16Gi", "--format", "json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert found["rows"][-1][1:3] == [money(Decimal(compared[side]["total"])) for side in ("baseline", "alternative")]


@pytest.mark.parametrize("text", ["", "-1", "much", "1e3"])
def test_what_is_no_number_is_refused(text, page, driver):
    """The figures stay, the sentence says what is expected"""
    before = asked(driver, page, {})
    after = asked(driver, page, {"egress": text})
    assert "a number of 0 or more is expected" in after["sentence"] and after["rows"] == before["rows"]


def test_without_scripts_no_question_is_shown(page, driver):
    """A form that cannot answer is not offered"""
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(page)
        shown = driver.find_element("id", "what-if").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert not shown


def test_a_report_of_a_change_starts_from_it(tmp_path, driver, capsys):
    """What was given to `report` is what the page starts from, and its commands say so"""
    assert main(["report", "--egress", "77", "--memory", "16Gi", "--out", str(tmp_path)]) == 0
    headline = capsys.readouterr().out.splitlines()[0]
    found = asked(driver, (tmp_path / "index.html").as_uri(), {})
    assert re.findall(r"[\d.,]+ USD", headline) == [f"{each} USD" for each in found["rows"][-1][1:3]]
    assert [money(Decimal(bill["total"])) for bill, _ in (printed(each, capsys) for each in found["commands"])] == found["rows"][-1][1:3]
