"""Every part of a stack or claim file left out or wrong, one at a time: what is said, where, and what was expected."""
from __future__ import annotations

import pytest
import yaml
from golden_files import GOLDEN, same, spoiled, told

from pretamane_analysis.bill.claim import Claim
from pretamane_analysis.bill.own_stack import CHECKS
from pretamane_analysis.stack.model_file import dump_model, parse
from pretamane_analysis.stack.stack import dump, loads

WRONG = ("?",)


def test_stack_file(root, tmp_path):
    """Each key of a file that has every section"""
    whole = yaml.safe_load((root / "tests" / "data" / "every_section.yaml").read_text(encoding="utf-8"))

    def read(document: dict) -> list[str]:
        text = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, width=1000)
        return [loads(text, checks=CHECKS).model_dump_json(exclude_unset=True)]

    text = told("stack", whole, spoiled(whole, WRONG), read, tmp_path)
    same(GOLDEN / "damage" / "stack.txt", "\n".join(text))


def test_claim_file(root, tmp_path):
    """Each key of a claim"""
    whole = yaml.safe_load((root / "tests" / "data" / "claims" / "vps.yaml").read_text(encoding="utf-8"))

    def read(document: dict) -> list[str]:
        return dump_model(parse(yaml.safe_dump(document, sort_keys=False), Claim, "claim.yaml")).splitlines()

    same(GOLDEN / "damage" / "claim.txt", "\n".join(told("claim", whole, spoiled(whole, WRONG), read, tmp_path)))


@pytest.mark.parametrize(("name", "text"), [
    ("nothing", ""), ("a list", "- a"), ("a text", "a"), ("a tab", "name:\t- x\n\ty"), ("twice", "name: a\nname: b"),
    ("itself", "name: &a [*a]"), ("no date", "as_of: 2026-13-01"), ("a tag", "name: !!python/object:x {}"),
    ("a list as key", "[a]: b"), ("unknown keys", "nmae: a\nservics: {}"), ("two documents", "a: 1\n---\nb: 2"),
    ("an open brace", "services: {a"), ("services wait", """name: a
services:
  b: {image: "x/b:1", role: worker, memory: 64Mi, depends_on: {c: started}}
  c: {image: "x/c:1", role: worker, memory: 64Mi, depends_on: {b: healthy}, mounts: [{volume: d, path: /d}]}
volumes: {e: {}, f: {holds: databse_gb}, g: {size_gb: 1, holds: database_gb}}
secrets: {h: {derived_from: i}}
managed: {j: none}
host: {tunnel: dev-quick}
environment: production
"""), ("a made name", """name: a
services:
  web: {image: "x/b:1", role: application, memory: 64Mi, ports: {http: 80}, deploy: blue-green, jobs: {web-job: [a]},
        routes: [{path: /, port: htp}, {path: /, port: http}], secrets: [none]}
  web-blue: {image: "x/b:1", role: worker, memory: 64Mi}
  web-job: {image: "x/b:1", role: worker, memory: 64Mi}
""")])
def test_other_mistakes(name, text, tmp_path):
    """What is wrong with the YAML itself, or between its parts"""
    def read(content: str) -> list[str]:
        return dump(loads(content)).splitlines()

    same(GOLDEN / "damage" / "yaml" / f"{name.replace(' ', '-')}.txt", "\n".join(told(name, text, iter(()), read,
                                                                                     tmp_path)))
