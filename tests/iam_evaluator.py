"""Whether IAM would allow a request: the evaluation logic of identity policies, for what the emitted policies use.

Explicit deny, then allow, else deny. `*` and `?` in actions and resources, `Action`/`NotAction`,
`Resource`/`NotResource`, and the
condition operators named in `OPERATORS`; an operator that is not known is an error, never a pass.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def matches(pattern: str, text: str, ignore_case: bool = False) -> bool:
    """Whether `text` fits an IAM pattern"""
    expression = "".join(".*" if each == "*" else "." if each == "?" else re.escape(each) for each in pattern)
    return re.fullmatch(expression, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


OPERATORS = {
    "StringEquals": lambda wanted, given: given == wanted,
    "StringLike": matches,
    "Bool": lambda wanted, given: given.lower() == wanted.lower(),
    "NumericLessThan": lambda wanted, given: float(given) < float(wanted),
}


def _conditions(statement: dict[str, Any], context: dict[str, str]) -> bool:
    for operator, keys in statement.get("Condition", {}).items():
        test = OPERATORS[operator]
        for key, wanted in keys.items():
            if key not in context or not any(test(each, context[key]) for each in _listed(wanted)):
                return False
    return True


def _fits(statement: dict[str, Any], action: str, resource: str, context: dict[str, str]) -> bool:
    def any_of(key: str, text: str, ignore_case: bool) -> bool:
        if key in statement:
            return any(matches(each, text, ignore_case) for each in _listed(statement[key]))
        return not any(matches(each, text, ignore_case) for each in _listed(statement[f"Not{key}"]))

    return any_of("Action", action, True) and any_of("Resource", resource, False) and _conditions(statement, context)


def allowed(policies: Iterable[str | dict], action: str, resource: str, context: dict[str, str] | None = None) -> bool:
    """Whether policies (JSON or parsed) together allow an action on a resource"""
    parsed = [json.loads(each) if isinstance(each, str) else each for each in policies]
    fitting = [statement["Effect"] for policy in parsed for statement in _listed(policy["Statement"])
               if _fits(statement, action, resource, context or {})]
    return "Allow" in fitting and "Deny" not in fitting
