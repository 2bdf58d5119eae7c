"""Running the real Terraform, without a network, on a tree that was just emitted."""
from __future__ import annotations

import atexit
import functools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from pretamane_analysis.emit.tree import OF_CLUSTER, OF_PAIR, emitted
from pretamane_analysis.stack.stack import Stack

ROOT = Path(__file__).resolve().parent.parent

import terraform_mirror  # noqa: E402 (a tool of development, not part of the package)

PROGRAM = terraform_mirror.program()
needs_terraform = pytest.mark.skipif(PROGRAM is None, reason="allowed: neither terraform nor tofu is installed")


def host_files(stack: Stack) -> dict[str, str]:
    """Return the host's Terraform: the configuration and, from the bootstrap, the script of the first boot"""
    return emitted(stack, ["terraform", "bootstrap"])


def pair_files(stack: Stack) -> dict[str, str]:
    """Return the Terraform of two hosts, and the script of a first boot"""
    return emitted(stack, ["terraform", "bootstrap"], OF_PAIR)


def cluster_files(stack: Stack) -> dict[str, str]:
    """Return the emitted files of the baseline"""
    return emitted(stack, ["eks"], OF_CLUSTER)


@dataclass(eq=False)
class Configuration:
    """A copy of an emitted configuration in which Terraform can be run"""

    folder: Path

    @classmethod
    def of(cls, files: dict[str, str], folder: Path, below: str = "terraform/") -> Configuration:
        """Write the files `below` a folder of an emitted tree, and a release bundle for them"""
        for path, text in files.items():
            if path.startswith(below) and not path.endswith(terraform_mirror.LOCK):  # the provider here is a stand-in
                place = folder / "configuration" / path.removeprefix(below)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8")
        (folder / "bundle.tar.gz").write_bytes(b"a bundle")
        (folder / "other.tar.gz").write_bytes(b"another bundle")
        return cls(folder / "configuration")

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment that names a provider which runs already"""
        return terraform_mirror.reattached(self.folder)

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """Run Terraform and return what it said, whatever its exit code"""
        return subprocess.run([PROGRAM, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True)

    def must(self, *words: str) -> str:
        """Run Terraform, which must succeed; return what it printed"""
        done = self.run(*words)
        assert done.returncode == 0, f"terraform {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def plan(self, bundle: str = "bundle.tar.gz", *words: str) -> dict:
        """Return a plan as data"""
        return self.plan_plain(f"-var=bundle_path=../{bundle}", *words)

    def plan_plain(self, *words: str) -> dict:
        """Return a plan of a configuration that takes no bundle"""
        self.must("plan", "-no-color", "-lock=false", "-out=plan.bin", *words)
        return json.loads(self.must("show", "-json", "plan.bin"))

    def apply(self, bundle: str = "bundle.tar.gz") -> dict:
        """Apply against nobody; return the state as data"""
        self.must("apply", "-no-color", "-auto-approve", "-lock=false", f"-var=bundle_path=../{bundle}")
        return json.loads(self.must("show", "-json"))

    def mutated(self, folder: Path, **replacements: tuple[str, str]) -> Configuration:
        """Return a copy in which files (`compute` for compute.tf) have one text replaced by another, once and surely"""
        copy = Configuration(Path(shutil.copytree(self.folder.parent, folder / "mutant")) / "configuration")
        for name, (old, new) in replacements.items():
            place = copy.folder / f"{name}.tf"
            text = place.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{name}.tf: {text.count(old)} times {old!r}"
            place.write_text(text.replace(old, new), encoding="utf-8")
        copy.__dict__["environment"] = self.environment
        return copy


@functools.cache
def ready(emit: Callable[[Stack], dict[str, str]], stack: Callable[[], Stack]) -> Configuration:
    """Return what a stack emits, written once for all tests; a remote state is left out"""
    files = {path: text for path, text in emit(stack()).items() if not path.endswith("/backend.tf")}
    folder = Path(tempfile.mkdtemp(prefix="terraform-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Configuration.of(files, folder)


@functools.cache
def first_plan(configuration: Configuration) -> dict:
    """Return what the first apply would do, planned once for all tests"""
    bundle = "bundle_path" in (configuration.folder / "variables.tf").read_text(encoding="utf-8")
    return configuration.plan() if bundle else configuration.plan_plain()


def resources(document: dict, kind: str = "") -> dict[str, dict]:
    """Return the values of each managed resource of a plan or state by address, of one kind unless it is empty"""
    root = (document.get("planned_values") or document.get("values"))["root_module"]
    return {each["address"]: each["values"] for each in root.get("resources", ())
            if each["mode"] == "managed" and kind in ("", each["type"])}


def changes(plan: dict) -> dict[str, list[str]]:
    """Return what a plan does to each resource that it touches, by address"""
    return {each["address"]: each["change"]["actions"] for each in plan["resource_changes"]
            if each["mode"] == "managed" and each["change"]["actions"] != ["no-op"]}
