"The rules of service level objectives: the emitted tests pass, the oracles hold, and a damaged rule is noticed."
import re
from decimal import Decimal
from pathlib import PurePosixPath

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from promtool import complaint, measured, only, run, written
from trees import example_files

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.emit.observability import slo_rules, slo_tests
from pretamane_analysis.emit.observability.slo_rules import Named
from pretamane_analysis.emit.observability.slo_traffic import Stretch, Traffic
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.budget import budgets, firings
from pretamane_analysis.stack.slo import BUCKETS, Slo
from pretamane_analysis.stack.stack import Stack, example
from pretamane_analysis.stack.vocabulary import CATEGORIES


@pytest.fixture(scope="module")
def files():
    return {path.removeprefix("prometheus/"): text
            for path, text in example_files().items() if path.startswith("prometheus/")}


@pytest.fixture(scope="module")
def runbooks():
    return {path for path in emitted(example(), ["runbooks"])}


def with_slos(**slos):
    data = example().model_dump(exclude_unset=True)
    data["slos"] = {name: slo.model_dump() if isinstance(slo, Slo) else slo for name, slo in slos.items()}
    return Stack.model_validate(data)


def tree_of(stack):
    return {path.removeprefix("prometheus/"): text
            for part in (slo_rules, slo_tests) for path, text in part.files(stack).items()}


def alerts_of(files):
    return [rule for path, text in files.items() if path.startswith("rules/")
            for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if "alert" in rule]


# What Prometheus itself says

def test_prometheus_accepts_configuration_and_rules(files, tmp_path):
    written(tmp_path, files)
    found = run("check", "config", "--lint=all", "--lint-fatal", tmp_path / "prometheus.yml")
    assert found.returncode == 0 and found.stdout.count("SUCCESS") == 8, found.stdout + found.stderr
    rules = run("check", "rules", "--lint=all", "--lint-fatal", *sorted((tmp_path / "rules").iterdir()))
    assert rules.returncode == 0, rules.stdout + rules.stderr


def test_every_rule_file_has_a_test_file_and_is_named(files):
    named = set(yaml.safe_load(files["prometheus.yml"])["rule_files"])
    assert named == {path for path in files if path.startswith("rules/")}
    assert {f"tests/{name.removeprefix('rules/').removesuffix('.yml')}.test.yml" for name in named} <= set(files)


def test_every_alert_says_what_to_do(files, runbooks):
    found = alerts_of(files)
    for each in found:
        assert each["annotations"].keys() == {"summary", "description", "runbook"}, each["alert"]
        assert each["annotations"]["runbook"] in runbooks, each["alert"]
        assert each["labels"]["category"] in CATEGORIES
        assert each["labels"]["severity"] in ({"none"} if each["alert"] == "Watchdog" else {"page", "ticket"})
    assert {each["annotations"]["runbook"] for each in found} == runbooks - {"runbooks/secret-read.md"}
    assert all(each["labels"].get("slo") or "slo=" in each["expr"] for each in found
               if each["labels"]["category"] == "slo")


def test_runbooks_say_what_it_means_where_to_look_and_how_to_mend():
    for path, text in emitted(example(), ["runbooks"]).items():
        body = text.partition("\n")[2]
        assert re.match(r"# .+\n\n## What it means\n\n.+?\n## First look\n\n1\. .+?\n## Mend\n\n- .+", body, re.S), path
        assert "{{" not in body.replace("{{json", "") and "None" not in body, path
        steps = [line for line in body.splitlines() if re.match(r"\d+\. ", line)]
        assert [int(line.split(".")[0])
                for line in steps] == list(range(1, len(steps) + 1)) and text.endswith(".\n"), path


def test_runbooks_name_only_what_is_there():
    everything, stack = example_files(), example()
    folders = {parent.as_posix() for path in everything for parent in PurePosixPath(path).parents}
    for path, text in everything.items():
        if not path.startswith("runbooks/"):
            continue
        named = {each.rstrip("./") for each in re.findall(rf"/opt/{stack.name}/current/([\w./-]+)", text)}
        assert named <= {*everything, *folders}, path
        units = set(re.findall(rf"{stack.name}-[a-z-]+\.(?:service|timer)", text))
        assert {f"systemd/{each}" for each in units} <= set(everything), path
        assert set(re.findall(rf"{stack.name}-([a-z-]+)-1\b", text)) <= set(stack.services), path
        assert set(re.findall(r"`([a-z-]+\.md)`", text)) <= {each.removeprefix("runbooks/") for each in everything
                                                             if each.startswith("runbooks/")}, path


def test_every_alert_fires_in_some_test(files):
    everything = "\n".join(text for path, text in files.items() if path.startswith("tests/"))
    for each in alerts_of(files):
        assert f'"{each["alert"]}"' in everything.replace('\\"', '"'), each["alert"]


# Oracles, measured

BURNS = {Decimal(15): 58, Decimal(20): 44, Decimal(50): 18, Decimal(200): 5}


def first_minutes(stack, name, burns, before, length, folder, alerts=None):
    "For each burn rate the minute after which each alert first fires, as promtool finds it."
    of = Named(stack, name)
    budget = of.slo.budget
    tests = [{"name": f"{burn}", "interval": "1m", "end": f"{before + length}m", "input_series": Traffic([
        Stretch(before, Decimal(100_000)), Stretch(length, Decimal(100_000), burn * budget)]).series(of)}
             for burn in burns]
    alerts = alerts or [each.name for each in of.slo.alerts]
    asked = [f'count_over_time(ALERTS{{alertname="{each}",alertstate="firing"}}[{before + length}m])'
             for each in alerts]
    rules = {path: text for path, text in slo_rules.files(stack).items() if path.endswith(f"/slo-{name}.yml")}
    found = measured(folder, rules, tests, asked)
    return {burn: {alert: None if value is None
                   else length + 1 - int(value) for alert, value in zip(alerts, row.values(), strict=True)}
            for burn, row in zip(burns, found, strict=True)}


def said(burn, alert):
    "What `pretamane slo` says."
    return next(each.minutes
                for each in firings(budgets(example())[0]) if (each.burn, each.alert.name) == (burn, alert))


def test_pages_at_the_minute_that_the_workbook_gives(tmp_path):
    found = first_minutes(example(), "availability", [*BURNS, Decimal("14.4"), Decimal(13)], 60, 80, tmp_path,
                          ["SloPageBurn1h"])
    assert {burn: found[burn]["SloPageBurn1h"] for burn in BURNS} == BURNS
    assert found[Decimal("14.4")] == {"SloPageBurn1h": 60}  # its own rate, exactly: when the whole window is bad
    assert found[Decimal(13)] == {"SloPageBurn1h": None}
    for burn in (Decimal("14.4"), Decimal(20), Decimal(50), Decimal(200)):
        assert said(burn, "SloPageBurn1h") == found[burn]["SloPageBurn1h"]
    assert said(Decimal(10), "SloPageBurn1h") is None


def test_slow_page_comes_when_six_hours_say_so(tmp_path):
    found = first_minutes(example(), "availability", [Decimal(15)], 360, 150, tmp_path, ["SloPageBurn6h"])
    assert {burn: row["SloPageBurn6h"] for burn, row in found.items()} == {Decimal(15): 144}
    assert said(Decimal(20), "SloPageBurn6h") == 108


# Every SLO proves itself

@st.composite
def slos(draw):
    sli, source = draw(st.sampled_from(["availability", "latency"])), draw(st.sampled_from(["edge", "application"]))
    objective = draw(st.decimals("93.1", "99.999", places=draw(st.integers(1, 3))))
    slo = {"objective": objective, "sli": sli, "source": source, "window_days": draw(st.integers(7, 30)),
           "ignored_failures": draw(st.integers(0, 3)), "time_scale": draw(st.sampled_from([1, 1, 10, 60]))}
    if sli == "latency":
        slo["threshold"] = draw(st.sampled_from(BUCKETS))
    if draw(st.booleans()):
        long, short = draw(st.sampled_from([("30m", "5m"), ("90m", "8m")]))
        burn = draw(st.decimals(2, min(1 / ((100 - objective) / 100), Decimal(30)), places=2))
        slo["alerts"] = [{"severity": "page", "long": long, "short": short, "burn": burn,
                          "keep_firing": draw(st.integers(0, 10))},
                         {"severity": "ticket", "long": "1d", "short": "1h", "burn": 1 + burn.to_integral_value() // 4}]
    return Slo.model_validate(slo)


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(slos())
def test_every_slo_passes_its_own_tests(tmp_path_factory, slo):
    files = tree_of(with_slos(mine=slo))
    folder = tmp_path_factory.mktemp("slo")
    said = complaint(folder, files, "tests/slo-mine.test.yml")
    assert not said, f"{slo!r}\n{said[:3000]}"


@pytest.mark.parametrize("slo", [
    {"objective": "99.9", "source": "application"},
    {"objective": "99", "sli": "latency", "threshold": "1", "source": "application"},
    {"objective": "99.95", "alerts": [{"severity": "page", "long": "2h", "short": "10m", "burn": "5"}],
     "time_scale": 10},
], ids=["application", "application latency", "one alert, faster clock"])
def test_other_slos_pass_over_days(tmp_path, slo):
    files = tree_of(with_slos(mine=slo))
    minutes = only(files["tests/slo-mine.test.yml"], "SL2 exactly", "SL8 only 503", "leaves half")
    for name in ("tests/slo-mine.test.yml", "tests/slo-mine-days.test.yml"):
        words = complaint(tmp_path, files | {"tests/slo-mine.test.yml": minutes}, name)
        assert not words, words[:3000]


def test_integer_buckets_are_found_under_both_spellings():
    files = slo_rules.files(with_slos(mine={"objective": "99", "sli": "latency", "threshold": "1"}))
    assert r'le=~"1(\\.0)?"' in files["prometheus/rules/slo-mine.yml"]


def test_a_promise_longer_than_the_memory_is_refused():
    with pytest.raises(PretamaneError, match="Prometheus forgets after 30"):
        slo_rules.files(with_slos(mine={"objective": "99", "window_days": 60}))


# Damaged rules

def plain_text(old, new, count=1):
    def damage(text):
        assert old in text, old
        return text.replace(old, new, count) if count else text.replace(old, new)
    return damage


def pattern(old, new, count=1):
    def damage(text):
        changed, found = re.subn(old, new, text, count=count)
        assert found, old
        return changed
    return damage


ERRORS = r'sum\((increase\([^()]*code=~"5\.\."[^()]*\))\)'
EVENTS = r'(increase1h\n    expr: )sum\((increase\(.*\))\)\n'
PAGE = r"(?s)(alert: SloPageBurn1h\n    expr: .*?)"
MUTANTS = [
    ("availability", "drop the sum of errors", pattern(ERRORS, r"\1", 0),
     "SL1 200x fires SloPageBurn1h after 5 minutes"),
    ("availability", "drop the sum of requests", pattern(EVENTS, r"\1\2\n"),
     "SL10 one user a minute fails among 18 probes: SloPageBurn1h fires"),
    ("availability", "or in place of and, long and short",
     pattern(PAGE + r"and on \(slo\)\n", r"\1or on (slo)\n"), "SL3"),
    ("availability", "or in place of and, before the floor",
     pattern(PAGE + r"and on \(slo\)\n(.*?)and on \(slo\)\n", r"\1and on (slo)\n\2or on (slo)\n"),
     "SL2 99 % of 14.4x"),
    ("availability", "unless in place of and", pattern(PAGE + r"and on \(slo\)\n", r"\1unless on (slo)\n"),
     "SL1 200x fires SloPageBurn1h after 5 minutes"),
    ("availability", "a tenth of the factor", plain_text(">= 0.072", ">= 0.0072", 0), "SL2 exactly 3x"),
    ("availability", "twice the factor", plain_text(">= 0.072", ">= 0.144", 0), "SL2 exactly 14.4x"),
    ("availability", "a factor that is 1.5 % too low", plain_text(">= 0.072", ">= 0.0709", 0), "SL2 99 % of 14.4x"),
    ("availability", "a factor that is 0.5 % too high", plain_text(">= 0.072", ">= 0.0724", 0), "SL2 exactly 14.4x"),
    ("availability", "the slow page's factor doubled", plain_text(">= 0.03\n", ">= 0.06\n", 0), "SL2 exactly 6x"),
    ("availability", "the fast ticket's factor halved", plain_text(">= 0.015", ">= 0.0075", 0), "SL2 99 % of 3x"),
    ("availability", "the slow ticket's factor halved", plain_text(">= 0.005", ">= 0.0025", 0), "SL2 99 % of 1x"),
    ("availability", "more than in place of at least", plain_text(">= 0.072", "> 0.072", 0), "SL2 exactly 14.4x"),
    ("availability", "less in place of more", plain_text(">= 0.072", "< 0.072"), "SL2 exactly 14.4x"),
    ("availability", "an hour that counts half an hour", plain_text("[1h]", "[30m]", 0),
     "SL1 200x fires SloPageBurn1h after 5 minutes"),
    ("availability", "an hour that counts two", plain_text("[1h]", "[2h]", 0),
     "SL1 20x fires SloPageBurn1h after 44 minutes"),
    ("availability", "five minutes that count thirty", plain_text("[5m]", "[30m]", 0), "SL3"),
    ("availability", "six hours that count two", plain_text("[6h]", "[2h]", 0), "SL1 10x after clean days"),
    ("availability", "a day that counts six hours", plain_text("[1d]", "[6h]", 0), "SL1 10x after clean days"),
    ("availability", "three days that count one", plain_text("[3d]", "[1d]", 0), "SL1 10x after clean days"),
    ("availability", "the long window is the short one", pattern(PAGE + "ratio_rate1h", r"\1ratio_rate5m"),
     "SL1 200x fires SloPageBurn1h after 5 minutes"),
    ("availability", "the short window is the long one", pattern(PAGE + "ratio_rate5m", r"\1ratio_rate1h"), "SL3"),
    ("availability", "no floor for the fast page", pattern(PAGE + r'slo:events:increase1h\{slo="availability"\} >= 21',
                                                           r'\1slo:events:increase1h{slo="availability"} >= 0'),
     "SL6 1 bad of 13 requests in 1h: nobody is woken"),
    ("availability", "no floor for the slow page", plain_text(">= 51", ">= 0"),
     "SL6 1 bad of 13 requests in 1h: nobody is woken"),
    ("availability", "no floor for the fast ticket", plain_text(">= 101", ">= 0"),
     "SL6 1 bad of 13 requests in 1h: nobody is woken"),
    ("availability", "no floor for the slow ticket", plain_text(">= 301", ">= 0"),
     "SL6 1 bad of 13 requests in 1h: nobody is woken"),
    ("availability", "no floor for the spent budget", plain_text("> 200", "> -1"),
     "SL6 1 bad of 13 requests in 1h: nobody is woken"),
    ("availability", "ten times the floor", plain_text(">= 21\n", ">= 210\n"),
     "SL6 27 requests in 1h, all bad: SloPageBurn1h fires"),
    ("availability", "nothing in place of 0 without errors", pattern(r"\n      or 0 \* sum\(.*", "", 0), "SL4"),
    ("availability", "NaN in place of nothing without traffic",
     pattern(r'\((slo:events:increase1h\{slo="availability"\}) > 0\)', r"\1"), "SL5"),
    ("availability", "requests by errors",
     pattern(r"round\((slo:errors:increase5m\{.*?\}) / \((slo:events:increase5m\{.*?\}) > 0\)",
             r"round(\2 / (\1 > 0)"), "SL4"),
    ("availability", "mistakes of the caller count", plain_text('code=~"5.."', 'code=~"[45].."', 0),
     "SL8 only 429: the caller's mistake"),
    ("availability", "only 500 counts", plain_text('code=~"5.."', 'code="500"', 0),
     "SL8 only 504: every alert fires"),
    ("availability", "a dead application does not count",
     plain_text("request_duration_seconds", "response_duration_seconds", 0), "SL8 only 429: the caller's mistake"),
    ("availability", "the administrators' listener counts", plain_text('server="public",', "", 0), "SL4"),
    ("availability", "another job counts", plain_text('job="caddy",', "", 0), "SL4"),
    ("availability", "every handler counts a request", plain_text(',handler="request_body"', "", 0),
     "SL6 1 bad of 13 requests in 1h: nobody is woken"),
    ("availability", "restarts are errors", plain_text("increase(", "delta(", 0),
     "SL7 counters begin again at 0: no error is invented"),
    ("availability", "rates in place of numbers", plain_text("sum(increase(", "sum(rate(", 0),
     "SL6 27 requests in 1h, all bad: SloPageBurn1h fires"),
    ("availability", "no alert without data", pattern(r"absent\(sum\(increase\(.*", "vector(1) > 2"), "SL5"),
    ("availability", "no data of another SLO",
     pattern(r'absent\(sum\(increase\((\w+)\{job="caddy"', r'absent(sum(increase(\1{job="other"'), "SL4"),
    ("availability", "a page that is a ticket", plain_text("severity: page", "severity: ticket"),
     "SL2 exactly 14.4x"),
    ("availability", "an alert without its category", pattern(PAGE + "      category: slo\n", r"\1"),
     "SL2 exactly 14.4x"),
    ("availability", "a wait on top of the window",
     pattern(PAGE + "    labels:", r"\1    for: 10m\n    labels:"), "SL1 200x fires SloPageBurn1h after 5 minutes"),
    ("availability", "rings on after recovery",
     pattern(PAGE + "    labels:", r"\1    keep_firing_for: 5m\n    labels:"), "SL3"),
    ("availability", "each minute weighs the same", pattern(r"(record: slo:sli_error:ratio_rate30d\n    expr: ).*",
                                                            r"\1avg_over_time(slo:sli_error:ratio_rate5m[30d])"),
     "bad quarter"),
    ("availability", "what is spent as what is left",
     plain_text("1 - slo:period_burn_rate", "0 + slo:period_burn_rate"), "SL4"),
    ("availability", "a budget of ten times the size", plain_text(
        'ratio_rate30d{slo="availability"} / 0.005', 'ratio_rate30d{slo="availability"} / 0.05'), "half the budget"),
    ("availability", "the current burn of a day", plain_text(
        'ratio_rate5m{slo="availability"} / 0.005', 'ratio_rate5m{slo="availability"} / 0.05'), "half the budget"),
    ("availability", "another objective", plain_text("vector(0.995)", "vector(0.95)"), "half the budget"),
    ("availability", "spent when there is some left", plain_text("< 0\n", "> 0\n"), "overspends"),
    ("latency", "the next lower bucket", plain_text('le="0.5"', 'le="0.25"', 0), "SL4"),
    ("latency", "the next higher bucket", plain_text('le="0.5"', 'le="1"', 0),
     "SL1 100x fires SloPageBurn1h after 9 minutes"),
    ("latency", "failures count as slow", plain_text(',code!~"5.."', "", 0), "SL4"),
    ("latency", "fast ones counted as slow",
     pattern(r"(errors:increase5m\n    expr: \|-\n      )sum\(.*\n      - ", r"\1"), "SL4"),
    ("latency", "fast ones added", plain_text("\n      - sum(", "\n      + sum(", 0), "SL4"),
    ("latency", "the administrators' listener counts", plain_text('server="public",', "", 0), "SL4"),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{slo}: {name}" for slo, name, _, _ in MUTANTS])
def test_a_damaged_rule_is_noticed(files, tmp_path, mutant):
    slo, _, damage, word = mutant
    rules, test = f"rules/slo-{slo}.yml", f"tests/slo-{slo}{'-days' if 'clean days' in word else ''}.test.yml"
    tree = {rules: damage(files[rules]), test: only(files[test], word)}
    assert tree[rules] != files[rules]
    checked = run("check", "rules", written(tmp_path, tree) / rules)
    assert checked.returncode == 0, f"not a rule any more: {checked.stdout}{checked.stderr}"
    said = complaint(tmp_path, tree, test)
    assert "FAILED" in said, "survived"
