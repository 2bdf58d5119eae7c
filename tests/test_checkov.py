"""checkov over everything that is emitted for Terraform and Kubernetes: it finds nothing but what the tree names with
a reason, and nothing is named in vain. One run reads all, because a start takes longer than a tree does."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import test_kubernetes_bill as of_open_cluster
import test_terraform_cluster as of_cluster
import yaml
from needed import program
from terraform_runner import cluster_files, host_files, pair_files
from test_kubernetes import objects, tree_of
from test_terraform_host import varied

from pretamane_analysis.stack.stack import Stack, example

TREES: dict[str, tuple[Callable[[Stack], dict[str, str]], Callable[[], Stack]]] = {
    "host": (host_files, example), "host, varied": (host_files, varied), "pair": (pair_files, example),
    **{f"cluster, {name}": (cluster_files, of_cluster.STACKS[name]) for name in ("alb", "clb", "managed", "standby")},
    **{f"open cluster, {name}": (of_open_cluster.cluster_of, of_open_cluster.STACKS[name])
       for name in ("large", "maps", "rails")}}
KUBERNETES = "manifests"


def checkov() -> list[str]:
    """Return how checkov is called, by its interpreter, because a path with a space stands in no first line of a
    script; skip where it is not installed"""
    beside = Path(sys.prefix, "checkov", "bin")
    return [str(beside / "python"), str(beside / "checkov")] if (beside / "checkov").exists() else [program("checkov")]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[tuple[str, str], tuple[set[str], int]]:
    """The rules that each tree breaks, and how many checks it passes, by the kind of its files"""
    command, folder = checkov(), tmp_path_factory.mktemp("checkov")
    for name, (emit, stack) in TREES.items():
        for path, text in emit(stack()).items():
            if path.startswith("terraform/"):
                (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / name / path).write_text(text, encoding="utf-8")
    (folder / KUBERNETES).mkdir()
    (folder / KUBERNETES / "all.yaml").write_text(yaml.safe_dump_all(objects("ha")), encoding="utf-8")
    command += ["--directory", folder, "--framework", "terraform", "kubernetes", "--output", "json", "--compact"]
    done = subprocess.run([*command, "--skip-download"], env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
                          capture_output=True, text=True)
    broken: dict[tuple[str, str], tuple[set[str], int]] = {}
    for report in json.loads(done.stdout):
        for name in (KUBERNETES, *TREES):
            failed, passed = ([each["check_id"] for each in report["results"][kind]
                               if each["file_path"].startswith(f"/{name}/")]
                              for kind in ("failed_checks", "passed_checks"))
            broken[report["check_type"], name] = {*failed}, len(passed)
    return broken


@pytest.mark.parametrize("name", TREES)
def test_terraform_breaks_what_its_list_names(name, found):
    """The rules that are not followed are exactly those of checkov.yaml, each with its reason"""
    emit, stack = TREES[name]
    text = emit(stack())["terraform/checkov.yaml"]
    explained = yaml.safe_load(text)["skip-check"]
    assert all(re.search(rf"- {each} # \S+ \S+", text) for each in explained)
    rules, passed = found["terraform", name]
    assert rules == {*explained} and passed >= 10


def test_manifests_break_what_their_list_names(found):
    """Each rule in the list of the manifests would be broken, and no other"""
    rules, passed = found["kubernetes", KUBERNETES]
    assert rules == {*yaml.safe_load(tree_of()["kubernetes/checkov.yaml"])["skip-check"]} and passed >= 10
