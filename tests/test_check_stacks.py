"""No finding on trees that are right: many stacks, none like the example, and each of them checked."""
from __future__ import annotations

import json
import re
from datetime import date

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from trees import changed

from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example

AS_OF = date(2026, 11, 22)
OPTIONAL = ("pgadmin", "grafana", "alloy", "node-exporter", "blackbox-exporter", "alertmanager", "cloudflared", "loki")
PREFIXED = ("prometheus", "alertmanager", "grafana", "pgadmin")
WORKER = {"image": "ghcr.io/example/worker:1.4.2", "memory": "96Mi", "networks": ["app", "data"], "user": "1001:1001",
          "ports": {"http": 8200},
          "environment": {"DB_HOST": "postgresql", "DB_NAME": "pretamane", "DB_USER": "pretamane",
                          "SEARCH": "http://meilisearch:7700/"},
          "secrets": ["postgres_password"], "health_check": {"test": ["CMD", "/worker", "health"]},
          "depends_on": {"postgresql": "healthy"},
          "mounts": [{"volume": "worker-data", "path": "/var/lib/worker"}],
          "routes": [{"path": "/jobs", "auth": "basic"}]}


def plain() -> dict:
    """The example as data that may be changed"""
    return json.loads(json.dumps(example().model_dump(exclude_unset=True, mode="json")))


def used(data: dict, kind: str) -> set[str]:
    """The volumes or secrets that services use"""
    each = data["services"].values()
    return ({mount["volume"] for one in each for mount in one.get("mounts", [])} if kind == "volumes"
            else {name for one in each for name in one.get("secrets", [])})


def without(data: dict, names: set[str]) -> None:
    """Take services away, with what only they use"""
    before = {kind: used(data, kind) for kind in ("volumes", "secrets")}
    data["services"] = {name: each for name, each in data["services"].items() if name not in names}
    for each in data["services"].values():
        each["depends_on"] = {other: state
                              for other, state in each.get("depends_on", {}).items() if other in data["services"]}
    for kind, old in before.items():
        gone = old - used(data, kind)
        data[kind] = {name: each for name, each in data[kind].items() if name not in gone}


def moved(data: dict, name: str, prefix: str) -> None:
    """Serve one of the administrators' tools below another prefix"""
    if name in data["services"]:
        text = json.dumps(data["services"][name])
        pattern = rf'(?<!/etc)(?<!/lib)(?<!=)(?<!"path": ")/{name}(?=["/])'  # its files keep their places
        data["services"][name] = json.loads(re.sub(pattern, prefix, text))
        data["services"][name]["routes"] = [{**route, "path": prefix} for route in data["services"][name]["routes"]]


def direct(data: dict) -> None:
    """Without a tunnel: the edge itself is open to the internet and keeps certificates"""
    data["host"] = {**data.get("host", {}), "edge": "direct"}
    without(data, {"cloudflared"})
    data["volumes"]["caddy-data"] = {"size_gb": 1}
    data["services"]["caddy"]["mounts"] = [{"volume": "caddy-data", "path": "/data"}]


def with_worker(data: dict) -> None:
    """One service more, of an image that no table knows"""
    data["services"]["worker"] = WORKER
    data["volumes"]["worker-data"] = {"size_gb": 2, "backup": "none"}


@st.composite
def stacks(draw) -> Stack:
    """A stack that differs from the example in several ways"""
    data = plain()
    data["host"]["instance_type"] = "t3a.large"  # sizing counts one color of two, a deployment needs both
    data["name"] = draw(st.sampled_from(["pretamane", "shop", "a-9"]))
    without(data, set(draw(st.lists(st.sampled_from(OPTIONAL), unique=True, max_size=5))))
    if "loki" not in data["services"]:
        without(data, {"alloy"})
    for name in draw(st.lists(st.sampled_from(PREFIXED), unique=True)):
        moved(data, name, draw(st.sampled_from(["/ops", "/internal/tools", "/x"])) + f"-{name[:3]}")
    if draw(st.booleans()):
        direct(data)
    if draw(st.booleans()):
        with_worker(data)
    if draw(st.booleans()):
        data["services"]["fastapi-app"]["deploy"] = "recreate"
    if draw(st.booleans()):
        data["services"]["caddy"]["ports"] = {"http": 8000, "admin": 8100, "metrics": 2021}
        data["services"]["caddy"]["health_check"]["test"][-1] = "http://127.0.0.1:8000/healthz"
    return Stack.model_validate(data)


def test_replicas_without_a_question_for_their_health_are_judged_by_their_answers():
    """The edge cannot ask them, and says so: its own file has no finding for it"""
    data = plain()
    with_worker(data)
    data["services"]["worker"] = {**WORKER, "replicas": 2, "mounts": []}
    del data["volumes"]["worker-data"]
    tree = changed(emitted(Stack.model_validate(data)), AS_OF)
    assert "fail_duration" in str(tree.files["caddy/upstreams.caddy"])
    assert [each for each in check(tree) if each.rule == "E16"] == []


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
          phases=[Phase.generate])
@given(stacks())
def test_a_right_tree_has_no_finding(stack):
    """Services added and removed, no tunnel, other prefixes, other volumes, other ports: not one finding"""
    found = check(changed(emitted(stack), AS_OF))
    assert not found, "\n".join(f"{each.rule} {each.file}:{each.line}: {each.message}" for each in found)
