"""The edge's files for other stacks: other prefixes, no tools, no tunnel; and what a stack may not ask for."""
from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from edge import adapted, caddy, direct, password_hash, varied, written
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from needed import needs

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.emit.host.caddy import edge_routes
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example

needs_caddy = needs("caddy")


def changed(change) -> Stack:
    """Return the example stack after `change` has had its data"""
    data = example().model_dump(exclude_unset=True)
    change(data)
    return Stack.model_validate(data)


def require_valid(stack: Stack) -> None:
    """Assert that Caddy takes the files of a stack and would not format them otherwise"""
    with tempfile.TemporaryDirectory() as folder:
        files = emitted(stack, ["caddy"])
        place = written(folder, files)
        for file in (place, place.parent / "upstreams.caddy"):
            formatted = caddy("fmt", "--diff", str(file), folder=folder)
            assert formatted.returncode == 0, formatted.stdout
        (Path(folder) / "edge_admin_password_hash").write_text(password_hash())
        place.write_text(place.read_text().replace("/run/secrets", folder).replace("/run/caddy", folder))
        valid = caddy("validate", "--config", str(place), folder=folder)
        assert valid.returncode == 0, valid.stdout + valid.stderr


paths = st.from_regex(r"/[a-zA-Z0-9._~-]{1,12}(/[a-z0-9-]{1,8})?", fullmatch=True).filter(
    lambda path: not re.match(r"/(healthz|metrics|livez|readyz|\.\.?)(/|$)", path, re.IGNORECASE))


@st.composite
def stacks(draw):
    """A stack that differs from the example in what the edge looks at"""
    data = example().model_dump(exclude_unset=True)
    services = data["services"]
    for name in draw(
            st.sets(st.sampled_from(["pgadmin", "grafana", "alertmanager", "prometheus", "blackbox-exporter"]))):
        services.pop(name)
    for each in services.values():
        for name in [other for other in each.get("depends_on", {}) if other not in services]:
            each["depends_on"].pop(name)
    routed = [each for each in services.values() if each.get("routes")]
    fresh = iter(draw(st.lists(paths, min_size=12, max_size=12, unique_by=str.lower)))
    for each in routed:
        for route in each["routes"]:
            if draw(st.booleans()):
                route["path"] = next(fresh)
            route["strip_prefix"] = draw(st.booleans())
    if draw(st.booleans()):
        for each in routed:
            each["routes"] = [route for route in each["routes"] if route.get("auth") != "basic"]
    data["edge"] = draw(st.fixed_dictionaries({
        "admin_user": st.sampled_from(["admin", "root.user-1"]), "max_body": st.sampled_from(["1KB", "25MB", "2GB"]),
        "owned_apex": st.booleans(),
        "cors_origins": st.lists(st.sampled_from(["https://a.example", "http://b.example:8080"]), unique=True),
        "content_security_policy": st.sampled_from([None, "default-src 'none'"])}))
    services["fastapi-app"]["deploy"] = draw(st.sampled_from(["recreate", "blue-green"]))
    services["caddy"]["ports"] = draw(st.sampled_from([{"http": 8080}, {"http": 8000, "admin": 8001},
                                                       {"http": 8080, "admin": 8081, "metrics": 2020}]))
    if draw(st.booleans()):
        data["host"]["edge"] = "direct"
    return Stack.model_validate(data)


@needs_caddy
@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate),
          suppress_health_check=list(HealthCheck))
@given(stacks())
def test_files_of_other_stacks_are_valid(stack):
    """Every stack gives files that Caddy takes as they are, with a way to each of its routes"""
    require_valid(stack)
    text = emitted(stack, ["caddy"])["caddy/Caddyfile"]
    for route in edge_routes(stack):
        assert f"\t\thandle @{route.path} {{\n" in text if route.path else "\t\thandle {\n" in text


@needs_caddy
@pytest.mark.parametrize("stack", [example(), varied(), direct()], ids=["example", "with origins", "direct"])
def test_files_of_these_stacks_are_valid(stack):
    """The example, and both doors"""
    require_valid(stack)


@needs_caddy
def test_without_the_secret_caddy_does_not_start_open(tmp_path):
    """A missing file is no empty password"""
    place = written(tmp_path, emitted(example(), ["caddy"]))
    place.write_text(place.read_text().replace("/run/secrets", str(tmp_path)).replace("/run/caddy", str(tmp_path)))
    refused = caddy("validate", "--config", str(place), folder=tmp_path)
    assert refused.returncode != 0 and "username and password are required" in refused.stdout + refused.stderr


@needs_caddy
def test_the_longest_path_is_tried_first(tmp_path):
    """/contacts/reports/daily before /contacts/reports before /contacts, whoever serves them"""
    stack = changed(lambda data: data["services"]["loki"].update(routes=[{"path": "/contacts/reports/daily"},
                                                                         {"path": "/contacts/reports"}]))
    text = json.dumps(adapted(tmp_path, emitted(stack, ["caddy"])))
    order = ['["/contacts/reports/daily",', '["/contacts/reports",', '["/contacts",']
    assert sorted(order, key=text.index) == order


def test_no_tools_no_second_door():
    """Without administrators' routes nothing listens for them and no password is read"""
    def without_tools(data):
        data["services"]["caddy"]["secrets"] = []
        for each in data["services"].values():
            each["routes"] = [route for route in each.get("routes", []) if route.get("auth") != "basic"]

    text = emitted(changed(without_tools), ["caddy"])["caddy/Caddyfile"]
    assert "basic_auth" not in text and ":8081" not in text and "/run/secrets" not in text


def test_internal_paths_behind_a_prefix_are_closed_too():
    """A public service that does not know its prefix would be asked for /metrics"""
    stack = changed(
        lambda data: data["services"]["fastapi-app"]["routes"].append({"path": "/v2", "strip_prefix": True}))
    assert "/v2/metrics /v2/metrics/* /v2/livez" in emitted(stack, ["caddy"])["caddy/Caddyfile"]


REFUSED = {
    "two edges": (lambda data: data["services"]["loki"].update(role="edge"), "services",
                  "one service with the role 'edge'"),
    "no hash": (lambda data: data["services"]["caddy"].update(secrets=[]), "services.caddy.secrets",
                "no secret for its hash"),
    "metrics in public": (lambda data: data["services"]["fastapi-app"]["routes"].append({"path": "/metrics"}),
                          "services.fastapi-app.routes.4.path", "not for the public"),
    "the edge's own path": (
        lambda data: data["services"]["grafana"]["routes"].append({"path": "/Healthz/", "auth": "basic"}),
                            "services.grafana.routes.1.path", "not for the public"),
    "a policy with a quote": (lambda data: data.update(edge={"content_security_policy": 'default-src "self"'}),
                              "edge.content_security_policy", "without quotes"),
    "a route's policy on "
    "two lines": (lambda data: data["services"]["grafana"]["routes"][0].update(content_security_policy="a\nb"),
                  "services.grafana.routes.0.content_security_policy", "on one line"),
    "one port twice": (lambda data: data["services"]["caddy"].update(ports={"http": 8081}),
                       "services.caddy.ports", "same port"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_stack_may_not_ask_for(case):
    """An error that names the place and how to mend it"""
    change, place, message = REFUSED[case]
    with pytest.raises(PretamaneError, match=message) as error:
        emitted(changed(change), ["caddy"])
    assert error.value.place == place and error.value.remedy


def test_a_routes_own_policy_stands_alone():
    """It takes the place of the service's own, and of the edge's"""
    text = emitted(changed(lambda data: data["services"]["fastapi-app"]["routes"][-1].update(
        content_security_policy="default-src 'self' data:")), ["caddy"])
    assert "\t\t\theader >Content-Security-Policy \"default-src 'self' data:\"\n" in text["caddy/Caddyfile"]
