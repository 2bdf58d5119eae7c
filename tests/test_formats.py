"""What others read stays as it is until that is meant: schemas, and what each resource asks of the price list."""
from __future__ import annotations

import json

import defaults
import resource_cases
from golden_files import GOLDEN, same

from pretamane_analysis.bill.claim import Claim
from pretamane_analysis.stack.stack import schema


def test_schema_of_a_stack_file(root):
    """Every field with its default, limits and text, as editors get it; docs/schema/stack.json is what is published"""
    same(root / "docs" / "schema" / "stack.json", json.dumps(schema(), indent=1, ensure_ascii=False))


def test_schema_of_a_claim_file(root):
    """The same of a claim"""
    same(root / "docs" / "schema" / "claim.json", json.dumps(Claim.model_json_schema(), indent=1, ensure_ascii=False))


def test_defaults():
    """Of fields of classes and of parameters, in stack, prices, resources and bill"""
    same(GOLDEN / "defaults.txt", defaults.text())


def test_what_each_resource_is_charged_for():
    """Each field of each kind on its own: offer code, usage type, unit, attributes, quantity, note or error"""
    same(GOLDEN / "charges.txt", resource_cases.text())
