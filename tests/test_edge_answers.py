"""What comes back from the edge and what reaches the services behind it: a real Caddy, stand-ins, and every route."""
from __future__ import annotations

import pytest
from edge import CREDENTIALS, direct, running, until, varied
from edge_behaviors import BLUE, READ, SEEN, require_headers
from needed import needs

from pretamane_analysis.emit.host.caddy import edge_routes, upstreams
from pretamane_analysis.emit.tree import emitted

STACK = varied()
ROUTES = edge_routes(STACK)
pytestmark = needs("caddy")


@pytest.fixture(scope="module")
def edge():
    """One Caddy for all questions"""
    with running(STACK) as found:
        yield found


@pytest.mark.parametrize("behavior", SEEN, ids=[each.__name__ for each in SEEN])
def test_the_edge_behaves(edge, behavior):
    """Each behavior holds"""
    behavior(edge)


@pytest.mark.parametrize("behavior", READ, ids=[each.__name__ for each in READ])
def test_the_files_are_sound(behavior, tmp_path):
    """Each property of the files holds"""
    behavior(emitted(STACK, ["caddy", "compose"]), tmp_path)


# Every route x method x password x state of the service

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATES = {"up": ("a/b?c=d", 200), "says no": ("missing", 404), "crashes": ("crash", 502)}
PASSWORDS = {"none": [], "wrong": [("Authorization", "Basic YWRtaW46d3Jvbmc=")], "right": [CREDENTIALS]}


@pytest.mark.parametrize(("password", "state"), [(password, state) for password in PASSWORDS
                                                 for state in STATES if password == "right" or state == "up"])
@pytest.mark.parametrize("route", ROUTES, ids=[each.path or "/" for each in ROUTES])
def test_every_route(edge, route, password, state):
    """Status, service, path, password and headers for each method"""
    rest, status = STATES[state]
    path = f"{route.path}/{rest}"
    for method in METHODS[::3] if state == "crashes" else METHODS:
        until(lambda: max(each["fails"] for each in edge.pool()) < 6)
        answer = edge.ask(path, *PASSWORDS[password], method=method,
                          door="admin" if route.auth == "basic" else "public")
        refused = route.auth == "basic" and password != "right"
        assert answer.status == (401 if refused else status), method
        assert ("WWW-Authenticate" in answer.headers) == refused
        require_headers(answer)
        if refused or state == "crashes" or method == "HEAD":
            assert answer.seen is None
            continue
        assert (answer.upstream, answer.seen["method"]) == (upstreams(STACK)[route.upstream][0], method)
        assert answer.seen["path"] == (f"/{rest}" if route.strip_prefix else path)
        assert answer.forwarded("Authorization") == ([] if route.auth == "basic"
                                                     else [value for _, value in PASSWORDS[password]])
        assert answer.forwarded("X-Forwarded-Prefix") == [route.path] * route.strip_prefix


# Without a tunnel

@pytest.fixture(scope="module")
def direct_edge():
    """The same stack with its own certificates"""
    with running(direct(edge={"owned_apex": True})) as found:
        yield found


def test_both_names_answer_over_https(direct_edge):
    """One port, two names"""
    answer = direct_edge.ask("/contacts/x", ("Cf-Connecting-Ip", "203.0.113.7"), ("X-Forwarded-For", "203.0.113.8"),
                             ("X-Forwarded-Proto", "http"))
    assert (answer.status, answer.upstream, answer.forwarded("X-Forwarded-Proto")) == (200, BLUE, ["https"])
    assert answer.forwarded("X-Forwarded-For") == ["127.0.0.2"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert direct_edge.ask("/grafana/").upstream == BLUE
    assert direct_edge.ask("/grafana/", door="admin").status == 401
    assert direct_edge.admin("/grafana/").upstream == "grafana:3000"


@pytest.mark.parametrize("host", ["other.example", "admin.app.example.com"])
def test_a_name_other_than_the_certificates_is_refused(direct_edge, host):
    """A connection to one name cannot ask for another"""
    answer = direct_edge.ask("/grafana/", CREDENTIALS, host=host, name="app.example.com")
    assert (answer.status, answer.seen, answer.headers["Server"]) == (421, None, None)
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and len(answer.headers["X-Request-ID"]) == 36


@pytest.mark.parametrize(("host", "target"),
                         [("app.example.com", "app"), ("evil.example", "app"), ("admin.app.example.com", "admin.app")])
def test_http_leads_to_https(direct_edge, host, target):
    """Only to our own names"""
    answer = direct_edge.ask("/a?b=c", door="redirect", host=host)
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{target}.example.com/a?b=c")
    assert direct_edge.ask("/healthz", door="redirect", host="127.0.0.1:8080").status == 200
