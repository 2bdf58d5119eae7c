"""The report's page as a person opens it: from a folder, in a real browser, in both color schemes, on a phone. One
report is of the example, one of a
stranger's stack that shares nothing with it."""
from __future__ import annotations

import json
import re
import shlex
from decimal import Decimal
from pathlib import Path

import pytest
from browser import COLORS, console_errors, open_browser, requested, scheme, serious, size
from test_own_stacks import words

from pretamane_analysis.base.tables import less, money
from pretamane_analysis.bill.coverage import options
from pretamane_analysis.cli.main import main
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.report.page import MINUS
from pretamane_analysis.stack.stack import example

CHOICES = {  # what somebody sets in the form; what is left out stays as reported
    "as reported": {},
    "egress within the free allowance": {"egress": "100"},
    "egress in the second tier": {"egress": "12345.67"},
    "no egress": {"egress": "0"},
    "egress below what the balancer counts": {"egress": "11.111111"},
    "more memory": {"memory": "16Gi"},
    "a host that costs more": {"memory": "64Gi", "egress": "0"},
    "bought otherwise": {"purchase-option": "Spot-typical"},
    "everything": {"region": "us-east-1", "egress": "2048.5", "memory": "32Gi",
                   "purchase-option": "Reserved-1yr-AllUpfront"},
    "another host and other nodes": {"region": "us-west-2", "purchase-option": "Spot-typical"},
    "a host of another type": {"purchase-option": "Reserved-3yr-NoUpfront", "memory": "16Gi"},
    "no price for the host": {"region": "eu-west-3", "purchase-option": "Reserved-3yr-NoUpfront"},
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
  commands: part.querySelector('pre').textContent.split('\\n')};"""  # noqa: E501
OVERFLOW = "return document.scrollingElement.scrollWidth - window.innerWidth"
LIVE = ("return Object.fromEntries([...document.querySelectorAll('[data-live]')].map(each => [each.dataset.live, "
        "each.textContent]))")
TEXTS = """const rgb = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return {r, g, b, a}; };
const part = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = color => 0.2126 * part(color.r) + 0.7152 * part(color.g) + 0.0722 * part(color.b);
const solid = (each, x, y) => { const shape = each.getBoundingClientRect(), style = getComputedStyle(each), color = style.fill;
  return color !== 'none' && rgb(color).a > 0 && style.fillOpacity > .5 && style.opacity > .5
    && x >= shape.left && x <= shape.right && y >= shape.top && y <= shape.bottom; };
return [...document.querySelectorAll('figure svg')].filter(svg => svg.getClientRects().length).flatMap(svg => {
  const shapes = [...svg.querySelectorAll('rect, path, polygon')];
  return [...svg.querySelectorAll('text')].map(text => {
    const box = text.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
    const under = shapes.filter(each => each.compareDocumentPosition(text) & 4 && solid(each, x, y)).pop();
    const [one, two] = [rgb(getComputedStyle(text).fill), rgb(getComputedStyle(under).fill)].map(light).sort((a, b) => a - b);
    return {text: text.textContent.trim(), contrast: (two + .05) / (one + .05), height: parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a};
  });
}).filter(each => each.text);"""  # noqa: E501
PHONE = """return Object.fromEntries([...document.querySelectorAll('figure')].map(figure => {
  const svg = [...figure.querySelectorAll('svg')].find(each => each.getClientRects().length), box = svg.getBoundingClientRect();
  const cut = [...svg.querySelectorAll('text')].filter(text => { const one = text.getBoundingClientRect();
    return one.left < box.left - 1 || one.right > box.right + 1 || one.top < box.top - 1 || one.bottom > box.bottom + 1; });
  return [figure.id.slice(8), [box.right > innerWidth, cut.map(text => text.textContent)]]; }));"""  # noqa: E501
SORT = """const table = document.querySelector(`#${arguments[0]} table`);
const head = [...table.querySelectorAll('th')].find(each => each.textContent === arguments[1]);
head.querySelector('button').click();
return [head.getAttribute('aria-sort'), [...table.tBodies[0].rows].map(row => row.cells[head.cellIndex].textContent)];"""  # noqa: E501
STRANGER = """
name: ledgerly
region: us-east-1
services:
  nginx: {image: "nginx:1.31.3", role: edge, memory: 128Mi, ports: {http: 8080}, networks: [edge, app]}
  api: {image: "ghcr.io/ledgerly/api:4.2.0", role: application, memory: 1Gi, ports: {http: 3000}, routes: [{path: /}], networks: [app, data]}
  worker: {image: "ghcr.io/ledgerly/api:4.2.0", role: application, memory: 2Gi, ports: {metrics: 9394}, networks: [app, data]}
  mysql: {image: "mysql:8.4", role: database, memory: 4Gi, ports: {mysql: 3306}, networks: [data], user: "999:999"}
  redis: {image: "redis:8.2", role: other, memory: 1Gi, ports: {redis: 6379}, networks: [data]}
eks: {node_instance_type: m6a.large}
usage: {requests: 12000000, egress_gb: 900, database_gb: 60}
"""  # noqa: E501


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The report of the example, opened as a file"""
    folder = tmp_path_factory.mktemp("report") / "report"
    assert main(["report", "--out", str(folder)]) == 0
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Path:
    """The folder of the report of a stranger's stack"""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "stack.yaml").write_text(STRANGER, encoding="utf-8")
    assert main(["report", "--stack", str(folder / "stack.yaml"), "--out", str(folder / "report")]) == 0
    return folder / "report"


@pytest.fixture(scope="module")
def driver():
    """One browser for all of it"""
    with open_browser() as found:
        yield found


def test_it_stands_alone(page, driver):
    """No error in the console, nothing asked of anybody, every picture a part of the page and in its section"""
    size(driver, 1280)
    driver.get(page)
    assert (console_errors(driver), requested(driver)) == ([], set())
    assert driver.execute_script("return document.images.length") == 0
    pictures = driver.execute_script("return [...document.querySelectorAll('figure svg')].filter("
                                     "each => each.getClientRects().length).map(each => "
                                     "[each.closest('section').id, each.getBoundingClientRect().width])")
    assert len(pictures) >= 8 and all(width > 300 for _, width in pictures)
    assert {"compare", "attribution", "ranges", "drawings", "waterfall",
            "slo-availability"} <= {section for section, _ in pictures}


@pytest.mark.parametrize("width", [390, 768])
def test_a_phone_does_not_scroll_sideways(width, page, stranger, driver):
    """The window is enough; a picture that is wider scrolls by itself, a table does not have to: no cell of it is
    cut off or empty"""
    size(driver, width, 844)
    for address in (page, (stranger / "index.html").as_uri()):
        driver.get(address)
        driver.execute_script("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert driver.execute_script(OVERFLOW) <= 0
        if width == 390:
            assert driver.execute_script("return [...document.querySelectorAll('main td')].filter(each => "
                                         "each.getBoundingClientRect().right > innerWidth"
                                         " || (!each.textContent && each.closest('.wide') && "
                                         "each.offsetHeight)).map(each => each.outerHTML)") == []


def test_a_phone_shows_every_chart_whole(page, stranger, driver):
    """At 390 pixels no chart has to be pushed sideways and no text of it is cut off"""
    size(driver, 390, 844)
    for address in (page, (stranger / "index.html").as_uri()):
        driver.get(address)
        shown = driver.execute_script(PHONE)
        assert {"cost", "architectures", "ranges", "likely", "tornado", "causes", "growth"} <= {*shown}
        assert {name for name, (wide, _) in shown.items() if wide} == {
            name for name in shown if name.startswith(("drawing-", "slo-"))}
        assert [texts for name, (wide, texts) in shown.items() if not wide and texts] == []


@pytest.mark.parametrize(("colors", "width"), [("light", 1440), ("dark", 1440), ("light", 390)])
def test_text_in_pictures_can_be_read(colors, width, page, driver):
    """Every text of every chart and drawing has a contrast of 4.5 with what it stands on, and is 8.5 CSS pixels high
    or more"""
    size(driver, width)
    scheme(driver, colors)
    driver.get(page)
    texts = driver.execute_script(TEXTS)
    assert len(texts) > 200
    assert [each for each in texts if each["contrast"] < 4.5] == []
    assert [each for each in texts if each["height"] < 8.5] == []


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_it_can_be_read_by_everybody(colors, page, driver):
    """Axe, with its measure of contrast, in both color schemes; in the second only what colors can change"""
    size(driver, 1280)
    scheme(driver, colors)
    driver.get(page)
    assert driver.execute_script(f"return matchMedia('(prefers-color-scheme: {colors})').matches")
    assert serious(driver, COLORS if colors == "dark" else ()) == []


def test_the_theme_is_the_systems_until_it_is_chosen(page, driver):
    """The page follows the system; the switch goes the other way, for pictures too, and stays when the system
    changes"""
    ground = ("return [document.body, document.querySelector('#picture-cost svg path')].map((each, at) => "
              "getComputedStyle(each)[at ? 'fill' : 'backgroundColor'])")
    size(driver, 1280)
    scheme(driver, "light")
    driver.get(page)
    light = driver.execute_script(ground)
    scheme(driver, "dark")
    dark = driver.execute_script(ground)
    assert light == ["rgb(255, 255, 255)"] * 2 and dark == ["rgb(13, 17, 23)"] * 2
    driver.find_element("id", "theme").click()
    assert driver.execute_script(ground) == light
    scheme(driver, "light")
    driver.find_element("id", "theme").click()
    assert driver.execute_script(ground) == dark


def test_the_contents_stay_in_view(page, driver):
    """Far down, on a desk and on a phone, the list is on the screen and marks the section that is being read"""
    for width in (1440, 390):
        size(driver, width)
        driver.get(page)
        driver.execute_script("document.documentElement.style.scrollBehavior = 'auto'; "
                              "document.getElementById('drawings').scrollIntoView()")
        driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        box, marked, ids = driver.execute_script(
            "const nav = document.querySelector('nav'), found = nav.querySelectorAll('[aria-current]'), box = "
            "found[0].getBoundingClientRect();"
            "return [[nav.getBoundingClientRect().top, box.left, innerWidth - box.right, box.top, innerHeight "
            "- box.bottom], [...found].map(each => each.hash),"
            " [...nav.querySelectorAll('a')].map(each => each.hash.slice(1))]")
        assert all(each >= 0 for each in box) and marked == ["#drawings"]
        assert ids == driver.execute_script("return [...document.querySelectorAll('main > section')].map(each "
                                            "=> each.id)")


def test_tables_sort(page, driver):
    """A click on a head sorts its column, another one turns it; numbers count as numbers and the total stays last"""
    size(driver, 1280)
    driver.get(page)
    for way, turn in (("ascending", 1), ("descending", -1)):
        said, shown = driver.execute_script(SORT, "compare", "difference, USD")
        amounts = [Decimal(each.replace(MINUS, "-").replace(",", "")) for each in shown]
        assert said == way and amounts[:-1] == sorted(amounts[:-1])[::turn] and amounts[-1] < min(amounts[:-1])
    said, shown = driver.execute_script(SORT, "compare", "feature")
    assert shown == [*sorted(shown[:-1], key=str.lower), "total"]


def test_nothing_of_the_example_is_in_a_strangers_report(stranger, driver):
    """A reader who made no claim reads of none, and of no service, image or host that is the example's"""
    texts = [path.read_text(encoding="utf-8")
             for path in sorted(stranger.rglob("*")) if path.suffix in (".html", ".md", ".json", ".csv", ".svg")]
    assert len(texts) >= 20 and not (stranger / "audit.json").exists()
    for text in texts:
        text = re.sub(r"pretamane (cost|emit|report)", "", text)
        assert re.findall(r"90\.9 %|laimed|the claim|pretamane|fastapi|minio|pgadmin|cloudflared|example\.com",
                          text) == []
        assert {word for word in words() - {"nginx"} if re.search(rf"(?<![\w/]){re.escape(word)}(?![\w/])",
                                                                  text)} == set()


def test_the_verdict_comes_first_and_the_cards_follow_the_controls(page, driver, capsys):
    """The heading and the cards say what the commands print, before and after a change, and go back with the button"""
    size(driver, 1280)
    found, live = asked(driver, page, {}), driver.execute_script(LIVE)
    heading = driver.find_element("tag name", "h1").text
    assert (heading == f"One EC2 host costs {live['less']} than EKS."
            and live["less"] == f"{live['percent']} {live['word']}")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver.get(page)
    still = {each.get_attribute("data-live"): each.text for each in driver.find_elements("css selector", "[data-live]")}
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert still == live
    for choices in (CHOICES["a host that costs more"], CHOICES["egress in the second tier"]):
        found = asked(driver, page, choices)
        first, second = (Decimal(printed(each, capsys)[0]["total"]) for each in found["commands"])
        live = driver.execute_script(LIVE)
        assert (live["total-0"], live["total-1"],
                live["difference"]) == (money(first), money(second), money(abs(first - second)))
        assert live["less"] == less(100 * (first - second) / first) and live["year"] == money(
            12 * abs(first - second)) and live["region"] == choices.get("region", "us-east-1")
    driver.find_element("css selector", "#what-if [type=reset]").click()
    driver.execute_async_script("setTimeout(arguments[0], 50)")
    assert driver.execute_script(LIVE) == still
    asked(driver, page, CHOICES["no price for the host"])
    assert driver.execute_script(LIVE)["percent"] == "not known"


def test_one_sign_for_minus_and_one_for_usd(page, stranger, driver):
    """Amounts have a real minus and USD, never a hyphen and never a dollar sign, on the page and in its pictures"""
    for address in (page, (stranger / "index.html").as_uri()):
        asked(driver, address, {})
        text = driver.execute_script("document.querySelectorAll('script, style').forEach(each => each.remove()); "
                                     "return document.body.textContent")
        assert re.findall(r"(?:^|[\s(])-\d[\d,]*\.\d+|\$ ?\d", text) == [] and MINUS in text and "USD" in text


RIDDLES = ("What the dollars buy", "as reported", "Machines of both sides bought", "When somebody is told",
           "like with like", "How sure it is", "rings after")


def test_headings_and_columns_are_words_for_people(page, driver):
    """No riddle of the former page is left, and no option is offered by its code"""
    driver.get(page)
    text = driver.execute_script("return document.body.textContent")
    assert [each for each in RIDDLES if each in text] == []
    options = driver.execute_script("return [...document.querySelectorAll('option')].map(each => each.textContent)")
    assert not [each for each in options
                if re.search("Upfront|OnDemand|SavingsPlan", each)] and "reserved, 1 year, nothing upfront" in options


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
    """Both totals, each feature, the difference and the share are what the commands print that the page shows; what
    has no price says so"""
    found = asked(driver, page, choices)
    bills = [printed(each, capsys) for each in found["commands"]]
    totals = [bill and Decimal(bill["total"]) for bill, _ in bills]
    assert found["rows"][-1][1:3] == ["no price" if total is None else money(total) for total in totals]
    for at, (bill, said) in enumerate(bills):
        assert (bill is None) == any(row[1 + at] == "no price" for row in found["rows"])
        if bill is None:
            assert any(each in said for each in found["why"]), (said, found["why"])
            continue
        for feature, shown in zip(driver.execute_script("return Object.keys(JSON.parse(answers.textContent).features)"),
                                  found["rows"]):
            assert shown[1 + at] == money(sum(
                (Decimal(each["EffectiveCost"]) for each in bill["lines"] if each["feature"] == feature), Decimal(0)))
    if None not in totals:
        assert found["rows"][-1][3] == money(totals[1] - totals[0]).replace("-", MINUS)
        assert found["sentence"].endswith(f"{less(100 * (totals[0] - totals[1]) / totals[0])}.")


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "eu-west-3"])
def test_only_ways_to_pay_that_have_a_price_are_offered(region, page, driver):
    """What the list shows for a region is what `prices coverage --options` says of it"""
    asked(driver, page, {"region": region})
    offered = driver.execute_script("return [...document.querySelectorAll('[name=purchase-option] "
                                    "option')].filter(each => !each.disabled).map(each => each.value)")
    assert offered == ["", *options(example().model_copy(update={"region": region}), bundled())]


def test_some_of_these_have_a_price_and_some_have_not(page, driver, capsys):
    """The choices above hold both kinds, so neither is tested in vain"""
    missing = [any(row[1] == "no price" or row[2] == "no price" for row in asked(driver, page, each)["rows"])
               for each in CHOICES.values()]
    assert missing.count(False) >= 7 and missing.count(True) >= 2


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
    assert [money(Decimal(bill["total"]))
            for bill, _ in (printed(each, capsys) for each in found["commands"])] == found["rows"][-1][1:3]
