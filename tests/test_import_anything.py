"""Whatever is given to `import`: a stack that loads, or a message with file and line; soon, and no traceback."""
from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.own_stack import CHECKS
from pretamane_analysis.intake.import_files import imported
from pretamane_analysis.intake.priced_import import priced_text
from pretamane_analysis.intake.terraform_files import ALLOWED
from pretamane_analysis.intake.terraform_services import READERS
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import loads

FOLDER = Path(__file__).parent / "imports"
WHOLE = [each.read_text() for each in sorted(FOLDER.rglob("*")) if each.suffix in (".yml", ".yaml", ".json")]
LIKE_NO_OTHER = settings(max_examples=25, deadline=None, suppress_health_check=[
    HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
leaves = st.one_of(st.none(), st.booleans(), st.integers(-5, 99999), st.text(max_size=8), st.floats(allow_nan=True),
                   st.sampled_from(["80:80", "redis:7.4.0", "512m", "./data:/data", "${X:?}", "postgres", "::", "${"]))
values = st.recursive(leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
    st.sampled_from(["image", "ports", "environment", "command", "deploy", "resources", "limits", "memory", "volumes",
                     "depends_on", "healthcheck", "test", "build", "target", "published", "a", "secrets", "extends",
                     "labels", "user", "scale", "replicas", "env_file", "profiles", "restart"]), inner, max_size=5)),
                      max_leaves=18)
services = st.dictionaries(st.sampled_from(["web", "db", "My_App", "worker", "1x", "migrate"]), st.dictionaries(
    st.sampled_from(["image", "ports", "environment", "command", "deploy", "volumes", "depends_on", "healthcheck",
                     "build", "secrets", "extends", "labels", "user", "scale", "env_file", "profiles", "restart",
                     "mem_limit", "cpus", "expose", "entrypoint", "links", "networks"]), values, max_size=7),
                          max_size=4)


def outcome(folder, name, text, genuine=True):
    """Import a file: a stack, or the message of what is wrong with it"""
    path = folder / name
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        found = imported([str(path)], "compose" if name.startswith("compose") else "", genuine=genuine)
        return loads(priced_text(found, bundled(), "stack.yaml"), "stack.yaml", CHECKS)
    except PretamaneError as error:
        assert re.search(rf"{re.escape(name)}(:\d+)?|stack\.yaml:\d+|--region", str(error)), str(error)
        return str(error)


@LIKE_NO_OTHER
@given(made=services)
def test_any_compose_file(tmp_path, made):
    """Random values under the keys of compose"""
    outcome(tmp_path, "compose.yaml", json.dumps({"services": made}), genuine=False)


@LIKE_NO_OTHER
@given(text=st.sampled_from(WHOLE), start=st.integers(0, 3000), size=st.integers(1, 200), put=st.sampled_from(
    ["", "\n", "{", "\x00", "- ", ": ", "&a *a", "\t", "${", "%", "null", '"', "é", "[[["]))
def test_any_damage(tmp_path, text, start, size, put):
    """A part of a good file is replaced"""
    start = start % len(text)
    outcome(tmp_path, "file.json" if text.startswith("{") else "compose-or-not.yaml" if "services:" in text else
            "manifest.yaml", text[:start] + put + text[start + size:])


@LIKE_NO_OTHER
@given(made=st.dictionaries(st.sampled_from(["values", "planned_values", "resource_changes", "prior_state", "variables",
                                             "configuration", "format_version", "resources", "serial"]), values))
def test_any_plan(tmp_path, made):
    """Random values under the keys of plans"""
    outcome(tmp_path, "plan.json", json.dumps({"terraform_version": "1", **made}))


@LIKE_NO_OTHER
@given(kind=st.sampled_from(sorted(READERS)),
       made=st.dictionaries(st.sampled_from(sorted(ALLOWED)), values, max_size=9))
def test_any_resource_of_terraform(tmp_path, kind, made):
    """Random values under the attributes that are read"""
    outcome(tmp_path, "plan.json", json.dumps({"format_version": "1.0", "values": {"root_module": {"resources": [
        {"address": f"{kind}.a", "type": kind, "values": {**made, "arn": "arn:aws:x:us-east-1:1:y"}}]}}}))


@LIKE_NO_OTHER
@given(kind=st.sampled_from(["Deployment", "Service", "Ingress", "StatefulSet", "CronJob", "HorizontalPodAutoscaler",
                             "PersistentVolumeClaim", "Kafka", "Gateway", "Secret"]), spec=values, more=values)
def test_any_manifest(tmp_path, kind, spec, more):
    """Random values in an object"""
    good = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
        {"image": "a:1.0.0", "ports": more, "env": more, "resources": more, "volumeMounts": spec}], "volumes": more}}
    odd = {"apiVersion": "kafka.strimzi.io/v1", "kind": kind, "metadata": {"name": "b"}, "spec": spec,
           "data": more}
    outcome(tmp_path, "all.yaml", f"{json.dumps(good)}\n---\n{json.dumps(odd)}\n")


def refused(path, within=1.0):
    """The message about a file that is refused, soon"""
    start = time.process_time()
    with pytest.raises(PretamaneError) as error:
        imported([str(path)])
    assert time.process_time() - start < within
    return str(error.value)


def test_bombs_and_giants_are_refused_in_a_second(tmp_path):
    """Aliases of aliases, 200 MB, a link to itself, a million brackets"""
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + at)}: &{chr(98 + at)} [{','.join([f'*{chr(97 + at)}'] * 9)}]\n" for at in range(9))
    (tmp_path / "bomb.yaml").write_text(f"{bomb}services: {{a: {{image: x}}}}\n")
    assert "aliases" in refused(tmp_path / "bomb.yaml")
    for name in ("giant.yaml", "giant.json"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(200 * 2**20)
        assert "MiB" in refused(tmp_path / name)
    os.symlink(tmp_path / "self.yaml", tmp_path / "self.yaml")
    assert "cannot read" in refused(tmp_path / "self.yaml")
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: a\nversion: 1.0.0\n")
    with open(tmp_path / "chart" / "values.yaml", "wb") as file:
        file.truncate(200 * 2**20)
    assert "too large" in refused(tmp_path / "chart")
    (tmp_path / "deep.yaml").write_text("services: " + "[" * 1_000_000)
    assert "deep.yaml" in refused(tmp_path / "deep.yaml", 3)


def test_a_folder_that_leads_into_itself_ends(tmp_path):
    """Links to folders are not followed"""
    (tmp_path / "a").mkdir()
    os.symlink(tmp_path, tmp_path / "a" / "again")
    (tmp_path / "a" / "web.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: "
                                             "[{image: 'a:1.0.0'}]}\n")
    assert list(imported([str(tmp_path)]).services) == ["a"]


def test_sixty_services_take_less_than_two_seconds(tmp_path):
    """Of processor time, from the files to the checked text of the stack"""
    names = [f"service-{number}" for number in range(60)]
    made = {name: {"image": f"example/{name}:1.{at}.0", "ports": [f"{8000 + at}:8000"], "environment": {
        "A": "b", "DB_PASSWORD": f"word-{at}-word"}, "depends_on": names[at - 1:at]} for at, name in enumerate(names)}
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": made}, indent=1))
    imported([str(FOLDER / "shop")])  # what is loaded once
    start = time.process_time()
    text = priced_text(imported([str(tmp_path / "compose.yaml")]), bundled())
    assert time.process_time() - start < 2 and len(loads(text).services) == 61
