"""The checker as a person uses it: its forms, its exit codes, its speed, and trees that no one foresaw."""
from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace
from datetime import date

import pytest
import yaml
from file_times import processor
from trees import changed, example_files

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import RULES, check, rules

HEAVY = {"pandas", "matplotlib", "boto3", "botocore", "diagrams", "resvg_py", "numpy", "pydantic", "jsonschema",
         "jinja2", "asyncio"}
AS_OF = date(2026, 11, 22)


def run(*words, folder=None, python=()):
    """Call the command in another process"""
    import pretamane_analysis

    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(pretamane_analysis.__file__))}
    return subprocess.run([sys.executable, *python, "-m", "pretamane_analysis", "check", *words], capture_output=True,
                          text=True, cwd=folder, env=environment)


def spent(words, folder, variables=()):
    """Seconds of a processor that a command takes"""
    before = processor()
    subprocess.run(words, capture_output=True, cwd=folder, env=os.environ | dict(variables), check=True)
    return processor() - before


@pytest.fixture(scope="module")
def files():
    """The example's tree"""
    return example_files()


def written(folder, files):
    """Write a tree as it is, without a lock"""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_rules_alone_take_as_long_as_twenty_starts_of_python(root, tmp_path):
    """`check infra --no-tools` takes about 0.5 s of a processor where `python -c pass` takes 0.03 s; a ratio of the
    least of several, so that a slow or a busy machine gives the same answer"""
    alone = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    check_, nothing = ([sys.executable, "-m", "pretamane_analysis", "check", "infra", "--no-tools"],
                       [sys.executable, "-c", "pass"])
    spent(check_, root, alone)  # writes the bytecode that an installed package has
    pairs = [(spent(check_, root, alone), spent(nothing, root, alone)) for _ in range(6)]
    ours, pythons = (min(each) for each in zip(*pairs, strict=True))
    assert ours < 20 * pythons, pairs


def test_a_long_script_takes_no_square():
    """A rule looked at all lines below each line: twice as many took four times as long"""
    text = "#!/bin/sh\nset -eu\n" + "docker compose pull --quiet web\n" * 6_000 + "docker compose restart web\n"
    tree = Tree({"deploy.sh": text, "Caddyfile": "shop.example {\n\treverse_proxy web:80\n}\n", "compose.yaml": (
        "services:\n  web: {image: 'me/web:1', expose: [80]}\n"
        "  caddy:\n    image: caddy:2.11.4\n    ports: ['443:443']\n"
        "    volumes: ['./Caddyfile:/etc/caddy/Caddyfile']\n")})
    begun = time.process_time()
    assert [each.line for each in check(tree, ["S10"])] == [6_003]
    assert time.process_time() - begun < 2


def test_rules_alone_import_nothing_heavy(root):
    """YAML and the standard library suffice for the rules"""
    done = run("infra", "--no-tools", folder=root, python=("-X", "importtime"))
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "pretamane_analysis" in loaded and not loaded & HEAVY


def test_out_writes_a_file(tmp_path, files):
    """--out leaves the report in a file, whole, and says so in a line"""
    done = run(str(written(tmp_path / "tree", files)), "--no-tools", "--format", "sarif", "--out",
               str(tmp_path / "found.sarif"), "--as-of", "2026-11-22")
    assert done.returncode == 0 and "found.sarif" in done.stdout
    assert json.loads((tmp_path / "found.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.parametrize("words, expected", [
    (["missing"], "missing: cannot read"), (["a-file"], "cannot read"), (["empty"], "nothing to check"),
    (["empty", "--as-of", "2026-13-01"], "--as-of"), (["empty", "--format", "xml"], "invalid choice"), ([], "DIR"),
    (["tree", "--no-tools", "--out", "a-file/x"], "cannot write"),
])
def test_bad_words(words, expected, tmp_path, files):
    """A folder or a word that is wrong: exit code 2 and one sentence"""
    (tmp_path / "a-file").write_text("")
    (tmp_path / "empty").mkdir()
    written(tmp_path / "tree", {"compose.yaml": files["compose/compose.yaml"]})
    done = run(*words, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and expected in done.stderr


def test_strange_files_are_findings(tmp_path, files):
    """Links in circles and out of the folder, files that are no text, pipes, names that are no UTF-8: told, never a
    traceback"""
    tree = written(tmp_path / "tree", files)
    (tree / "prometheus/more.yaml").write_bytes(bytes(range(256)))
    (tree / "loop").symlink_to("loop")
    (tree / "circle").symlink_to(tree, target_is_directory=True)
    (tmp_path / "secret").write_text("outside")
    (tree / "outside.yaml").symlink_to(tmp_path / "secret")
    os.mkfifo(tree / "pipe.yaml")
    with open(os.path.join(os.fsencode(tree), b"\xff.json"), "wb") as out:
        out.write(b"{")
    done = run(str(tree), "--no-tools", "--format", "json", "--as-of", "2026-11-22")
    assert done.returncode == 1 and done.stderr == ""
    found = {each["file"]: each["message"] for each in json.loads(done.stdout)["findings"]}
    assert set(found) == {"prometheus/more.yaml", "loop", "outside.yaml", "\ufffd.json"}


@pytest.mark.skipif(os.geteuid() == 0, reason="allowed: root may read everything")
def test_unreadable_files_are_findings(tmp_path, files):
    """A file and a folder without the right to read them"""
    tree = written(tmp_path, files)
    (tree / "loki/loki.yaml").chmod(0)
    (tree / "alloy").chmod(0)
    found = json.loads(run(str(tree), "--no-tools", "--format", "json").stdout)["findings"]
    (tree / "alloy").chmod(0o755)
    assert {"loki/loki.yaml", "alloy"} <= {each["file"] for each in found if each["rule"] == "X00"}


STRANGE = [None, [], {}, 0, -1, "", "x", True, [1], {"a": None}, ["a", {"b": 1}], 1.5, "${X}", "a:b:c:d",
           date(2026, 1, 1)]


def spots(data, path=()):
    """Every place in nested data"""
    yield path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        yield from spots(value, (*path, key))


@pytest.mark.parametrize("seed", range(4))
def test_rules_survive_any_shape(files, seed):
    """Whatever stands at some place of the compose file, no rule falls over"""
    whole, chance = yaml.load(files["compose/compose.yaml"], Loader=yaml.CSafeLoader), random.Random(seed)
    files = {path: each for path, each in files.items()
             if path.startswith(("compose/", "caddy/", "prometheus/", "blackbox/", "scripts/"))}
    places = [place for place in spots(whole) if place]
    for _ in range(13):
        data = deepcopy(whole)
        for place in chance.sample(places, 6):
            node = data
            try:
                for key in place[:-1]:
                    node = node[key]
                node[place[-1]] = chance.choice(STRANGE)
            except (KeyError, IndexError, TypeError):
                continue
        text = yaml.dump(data, Dumper=yaml.CSafeDumper)
        fallen = [each for each in check(changed(files | {"compose/compose.yaml": text}, AS_OF))
                  if "could not be applied" in each.message]
        assert not fallen, (fallen, data)


def test_every_rule_says_what_must_hold():
    """Ids are unique and sorted, titles are sentences, defects are those of the audit"""
    for each in rules().values():
        assert each.severity in ("error", "warning") and each.title and not each.title.endswith(".")
        assert all(defect[0] == "D" and 1 <= int(defect[1:]) <= 84 for defect in each.defects), each.id


@pytest.mark.parametrize("named", ["a.env", "[a.env, null, 5, [a.env], {path: 3}]", "{a: b}", "5", '[""]'])
@pytest.mark.parametrize("own", ["hello", "5", "[1, null]", "[[a]]", "{A: [b]}", "{}"])
def test_variables_of_any_shape_are_survived(named, own):
    """Neither `env_file` nor `environment` need be what Compose takes"""
    web = f"    image: a/b:1\n    env_file: {named}\n    environment: {own}\n"
    made = Tree({"compose.yaml": f"services:\n  web:\n{web}",
                 "a.env": "A=1\nB=$A$B${C:-x}\n=\n"})
    assert not [each for each in check(made) if "could not be applied" in each.message]


@pytest.mark.parametrize("text", ["import\n", "import ***/[\n", ":80\n{block}\n", ":80\n(a) {\n}\nimport a b\n",
                                  "{\n}\n", "import {args[0]}\n", "a {\n}\nb\nimport c\n",
                                  "(a) {\n\timport a\n}\nimport a\n"])
def test_caddyfiles_of_any_shape_are_survived(text):
    """What Caddy would refuse is told or passed over, whatever stands at the top"""
    made = Tree({"Caddyfile": text, "compose.yaml":
                 "services:\n  web:\n    image: caddy:2\n    volumes: [.:/etc/caddy]\n"})
    assert not [each for each in check(made) if "could not be applied" in each.message]


def _unbearable(tree):
    """A rule that takes each job for a mapping, and each service's `user` for text"""
    for path in tree.of("prometheus"):
        for document in tree.documents(path):
            assert all(job.get("job_name") for job in document.data.get("scrape_configs", ()))
    assert all(each.get("user", "").strip() is not None for each in tree.compose["services"].values())
    yield from ()


@pytest.mark.parametrize("changes,place", [
    ({"b/prometheus.yml": "global: {}\nscrape_configs:\n  - job_name: a\n  - job\n"}, ("b/prometheus.yml", 4)),
    ({"b/prometheus.yml": "global: {}\nscrape_configs: []\n---\nscrape_configs: [{job_name: a}, 7]\n"},
     ("b/prometheus.yml", 4)),
    ({"b/compose.override.yaml": "services:\n  web:\n    init: true\n    user: [1000]\n"},
     ("b/compose.override.yaml", 4)),
])
def test_a_value_of_a_wrong_type_is_told_where_it_stands(changes, place, monkeypatch):
    """Not at the first compose file: at the file and the line without which the rule can be applied"""
    given = rules()["X05"]
    monkeypatch.setitem(RULES, "X99", replace(given, id="X99", find=_unbearable))
    service = "services:\n  web:\n    image: nginx:1.28\n    volumes: [./:/srv]\n"
    made = Tree({"a/compose.yaml": service, "b/compose.yaml": service, **changes}, AS_OF)
    found = [(each.file, each.line) for each in check(made) if "rule X99 could not be applied" in each.message]
    assert found == [place]


def test_what_somebody_decided_to_leave_is_kept_with_its_reason(tmp_path, capsys):
    """`.pretamane.yaml`, a comment and a baseline each take a finding away; JSON and SARIF keep all with the reason"""
    from pretamane_analysis.cli.main import main

    web = "services:\n  web:\n    image: a/web:1\n    environment: {A: '$LOST'}\n"
    tree = written(tmp_path / "tree", {"compose.yaml": web, "b/compose.yaml": web, "c/compose.yaml": web.replace(
        "'$LOST'}", "'$LOST'} # pretamane: ignore X01 set by the host"),
        **{f"{folder}.env.example": "OTHER=1\n" for folder in ("", "b/", "c/")}})
    (tree / ".pretamane.yaml").write_text("ignore: [{rule: X01, path: 'b/*', reason: a template}]\n")
    words = ["check", str(tree), "--no-tools", "--format"]
    assert main([*words, "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in found["findings"]] == ["compose.yaml"]
    assert sorted(each["reason"] for each in found["suppressed"]) == ["a template", "set by the host"]
    old = str(tmp_path / "old.json")
    assert main(["check", str(tree), "--no-tools", "--write-baseline", old]) == 0 and capsys.readouterr()
    assert main([*words, "sarif", "--baseline", old]) == 0
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert sorted((each["suppressions"][0]["kind"], each["suppressions"][0]["justification"]) for each in results) == [
        ("external", "a template"), ("external", "in the baseline"), ("inSource", "set by the host")]
