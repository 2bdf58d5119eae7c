"""What the edge must do, one function each: on a running Caddy (`SEEN`) or on the files (`READ`).

test_edge_answers.py holds them against the emitted files, test_edge_mutants.py against files with a defect put in.
"""
from __future__ import annotations

import json
import re
import time
from urllib.parse import urlsplit

import yaml
from edge import (
    ALLOWED,
    ALSO_ALLOWED,
    CREDENTIALS,
    HEADER_TIMEOUT,
    OTHER,
    SCRAPER,
    STRANGER,
    TUNNEL,
    Edge,
    adapted,
    caddy,
    until,
    written,
)

BODY = b"x" * 26_000_000  # more than 25 MB
EXACT = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
BLUE, GREEN = "fastapi-app-blue:8000", "fastapi-app-green:8000"
TOOLS = {"/grafana": "grafana:3000", "/prometheus": "prometheus:9090", "/alertmanager": "alertmanager:9093",
         "/pgadmin": "pgadmin:5050", "/meilisearch": "meilisearch:7700", "/minio": "minio:9001"}
STRIPPED = ("/meilisearch", "/minio")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def require_headers(answer) -> None:
    """Assert the full set of security headers, each once, and nothing that names a program"""
    for name, value in EXACT.items():
        assert answer.headers.get_all(name) == [value], (answer.status, name, answer.headers.get_all(name))
    policy = answer.headers.get_all("Content-Security-Policy")
    assert policy and len(policy) == 1 and policy[0].startswith(("default-src 'self'; base-uri 'self'",
                                                                 "default-src 'none'")), policy
    assert answer.headers["Permissions-Policy"] and re.fullmatch(r"[A-Za-z0-9._-]{8,128}",
                                                                 answer.headers["X-Request-ID"])
    assert [answer.headers[name] for name in ("Server", "Via", "X-Powered-By")] == [None, None, None]


def only(found: list):
    """Return the one thing of a list"""
    assert len(found) == 1, found
    return found[0]


# Headers

def headers_on_every_answer(edge: Edge) -> None:
    """D40"""
    answers = [edge.ask("/contacts/7"), edge.admin("/minio"), edge.ask("/grafana/", door="admin"),
               edge.admin("/nowhere"), edge.ask("/contacts/missing"),
               edge.ask("/contacts/x", method="POST", body=BODY), edge.ask("/contacts/crash", method="POST"),
               edge.ask("/readyz"), edge.ask("/%2e%2e/")]
    assert [each.status for each in answers] == [200, 301, 401, 404, 404, 413, 502, 404, 400]
    for each in answers:
        require_headers(each)


def strict_promises(edge: Edge) -> None:
    """D48"""
    answer = edge.ask("/")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    policy = answer.headers["Content-Security-Policy"]
    assert ("unsafe" not in policy and "http" not in policy and "object-src 'none'" in policy
            and "frame-ancestors 'self'" in policy)
    assert edge.ask("/contacts/policy").headers.get_all("Content-Security-Policy") == ["default-src 'none'"]


# Callers from other origins

def only_listed_origins(edge: Edge) -> None:
    """D41"""
    wanted = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-api-key, content-type")]
    flight = edge.ask("/documents", ("Origin", ALLOWED), *wanted, method="OPTIONS")
    assert flight.status == 204 and flight.headers.get_all("Access-Control-Allow-Origin") == [ALLOWED]
    assert {"x-api-key", "content-type"} <= {*re.split(r",\s*", flight.headers["Access-Control-Allow-Headers"].lower())}
    assert ("POST" in flight.headers["Access-Control-Allow-Methods"]
            and "Access-Control-Allow-Credentials" not in flight.headers)
    assert edge.ask("/documents",
                    ("Origin", ALSO_ALLOWED)).headers.get_all("Access-Control-Allow-Origin") == [ALSO_ALLOWED]
    for path in ("/documents/7", "/contacts/missing", "/contacts/crash", "/contacts/cors"):
        answer = edge.ask(path, ("Origin", ALLOWED), method="POST")
        assert answer.headers.get_all("Access-Control-Allow-Origin") == [ALLOWED], path
        assert answer.status == 502 or "Origin" in answer.headers["Vary"]
    for origin in (OTHER, "null", ALLOWED + ".evil.example", ALLOWED.replace("https", "http"), ALLOWED + ":8443", "*"):
        for path in ("/contacts/cors", "/contacts/crash")[: 2 if origin == OTHER else 1]:
            for answer in (edge.ask(path, ("Origin", origin), method="POST"),
                           edge.ask(path, ("Origin", origin), *wanted, method="OPTIONS")):
                assert not [name
                            for name in answer.headers if name.lower().startswith("access-control-")], (origin, path)


def other_paths_keep_their_own(edge: Edge) -> None:
    """D41: what is no API is not touched"""
    assert "Access-Control-Allow-Origin" not in edge.ask("/docs", ("Origin", ALLOWED)).headers
    assert edge.ask("/docs/cors", ("Origin", ALLOWED)).headers.get_all("Access-Control-Allow-Origin") == ["*"]
    assert "Access-Control-Allow-Origin" not in edge.admin("/prometheus/cors", ("Origin", OTHER)).headers


# Routes

def no_password_upstream(edge: Edge) -> None:
    """D42"""
    for path, upstream in TOOLS.items():
        answer = edge.admin(f"{path}/a")
        assert (answer.status, answer.upstream, answer.forwarded("Authorization")) == (200, upstream, [])
    assert edge.ask("/contacts/a", CREDENTIALS).forwarded("Authorization") == [CREDENTIALS[1]]


def prefixes_arrive_as_each_service_knows_them(edge: Edge) -> None:
    """D43"""
    for path in TOOLS:
        answer = edge.admin(f"{path}/a/b?c=d", ("X-Forwarded-Prefix", "/forged"))
        strips = path in STRIPPED
        assert answer.path == ("/a/b?c=d" if strips else f"{path}/a/b?c=d")
        assert answer.forwarded("X-Forwarded-Prefix") == [path] * strips
        bare = edge.admin(f"{path}?c=d")
        assert (bare.status, bare.headers["Location"]) == ((301, f"{path}/?c=d") if strips else (200, None))
    assert edge.admin("/minio").headers["Location"] == "/minio/"


def every_api_path_reaches_the_application(edge: Edge) -> None:
    """D44"""
    for path in ("/", "/contacts", "/contacts/x", "/contacts", "/contacts/7", "/documents", "/documents/7/text",
                 "/docs", "/docs"):
        answer = edge.ask(path)
        assert (answer.status, answer.upstream, answer.path) == (200, BLUE, path)
    for path in TOOLS:
        assert edge.admin(f"{path}XX").status == 404


def the_root_answers(edge: Edge) -> None:
    """D50"""
    assert (edge.ask("/").status, edge.ask("/").upstream) == (200, BLUE)


def presigned_addresses_arrive_as_signed(edge: Edge) -> None:
    """D51"""
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", endpoint_url="https://app.example.com", region_name="us-east-1",
                          aws_access_key_id="an-id",
                          aws_secret_access_key="for this test",
                          config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    signed = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": "pretamane-documents",
                                                                          "Key": "a folder/ü+1.pdf"}))
    answer = edge.ask(f"{signed.path}?{signed.query}")
    assert (answer.upstream, answer.path) == ("minio:9000", f"{signed.path}?{signed.query}")
    assert "X-Amz-SignedHeaders=host" in signed.query and answer.forwarded("Host") == [signed.netloc]


# Callers

def the_caller_is_who_the_tunnel_says(edge: Edge) -> None:
    """D45, D52"""
    claimed = [("Cf-Connecting-Ip", "203.0.113.7"), ("X-Forwarded-For", "198.51.100.1"), ("X-Real-Ip", "198.51.100.2"),
               ("True-Client-Ip", "198.51.100.3"),
               ("Forwarded", "for=198.51.100.4"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "1"),
               ("X-Webauth-User", "admin")]
    for source, who in ((TUNNEL, "203.0.113.7"), (STRANGER, STRANGER), (SCRAPER, SCRAPER)):
        for answer, host in ((edge.ask("/contacts/x", *claimed, source=source), "app.example.com"),
                             (edge.admin("/grafana/", *claimed, source=source), "admin.app.example.com")):
            assert answer.forwarded("X-Forwarded-For") == [who]
            assert (answer.forwarded("X-Forwarded-Host"), answer.forwarded("Host")) == ([host], [host])
            assert not [name for name in ("X-Real-Ip", "True-Client-Ip", "Forwarded", "Cf-Connecting-Ip",
                                          "X-Forwarded-Port", "X-Webauth-User")
                        if answer.forwarded(name)]
    listed = [("X-Forwarded-For", "192.0.2.1, 203.0.113.9")]
    assert edge.ask("/contacts/x", *listed).forwarded("X-Forwarded-For") == ["203.0.113.9"]
    assert edge.ask("/contacts/x", *listed, source=STRANGER).forwarded("X-Forwarded-For") == [STRANGER]


def services_know_that_it_is_https(edge: Edge) -> None:
    """D45"""
    assert edge.ask("/contacts/x").forwarded("X-Forwarded-Proto") == ["https"]
    assert edge.ask("/contacts/x", ("X-Forwarded-Proto", "https"),
                    source=STRANGER).forwarded("X-Forwarded-Proto") == ["https"]
    plain = edge.ask("/contacts/x?a=b", ("X-Forwarded-Proto", "http"))
    assert (plain.status, plain.headers["Location"]) == (308, "https://app.example.com/contacts/x?a=b")


# Doors

def tools_are_behind_the_password(edge: Edge) -> None:
    """D47, CA8"""
    wrong = ("Authorization", "Basic YWRtaW46d3Jvbmc=")
    for path in TOOLS:
        for each in (path, f"{path}/", f"{path}/a", f"{path.upper()}/", f"/{path}/", f"/x/..{path}/",
                     f"/%{ord(path[1]):x}{path[2:]}/", f"{path}%2fa", f"{path};x/"):
            assert edge.ask(each, door="admin").status == 401, each
            assert edge.ask(each, wrong, door="admin").status == 401, each
    assert edge.ask("/", door="admin").status == 401


def tools_are_not_in_public(edge: Edge) -> None:
    """CA8"""
    for path in TOOLS:
        for each in (path, f"{path}/", f"{path.upper()}/", f"/{path}/", f"{path}XX", f"/contacts/..{path}/",
                     f"/contacts/%2e%2e{path}/", f"http://admin.app.example.com{path}/"):
            for host in ("admin.app.example.com", "admin.app.example.com:8081",
                         "grafana:3000")[: 3 if each == path else 1]:
                answer = edge.ask(each, CREDENTIALS, host=host)
                assert answer.upstream in (BLUE, None), (each, host, answer.upstream)


def what_is_internal_stays_inside(edge: Edge) -> None:
    """D44, CA8"""
    for path in ("/metrics", "/livez", "/readyz"):
        for each in (path, f"{path}/", f"{path}/x", path.upper(), f"/{path}", f"/contacts/..{path}",
                     f"/%{ord(path[1]):x}{path[2:]}", f"/.{path}", f"{path}?x=/docs"):
            answer = edge.ask(each, ("Authorization", "Bearer x"))
            assert answer.status in (400, 404) and answer.seen is None, each


def a_path_has_one_reading(edge: Edge) -> None:
    """CA8"""
    for path in ("/contacts/../x", "/contacts/%2e%2e/x", "/contacts/.%2E/x", "/contacts/..%2fx", "/api%2f..%2fx",
                 "/contacts/./x", "/contacts/x/..", "/contacts/..;/x", "/contacts/x%00", "/%00",
                 "/api\\x", "/contacts/%5cx", "/contacts/%5C..%5Cx"):
        assert (edge.ask(path).status, edge.admin(f"/minio{path}").status) == (400, 400), path
    for path in ("/contacts/a..b", "/contacts/...", "/contacts/.well-known", "/contacts/a%2fb",
                 "/contacts/x?next=/../y", "/contacts/%C3%BC"):
        assert (edge.ask(path).status, edge.ask(path).path) == (200, path)


def metrics_are_for_prometheus(edge: Edge) -> None:
    """D46"""
    edge.ask("/contacts/x")
    answer = edge.ask("/metrics", door="metrics", source=SCRAPER)
    assert (answer.status == 200 and b'server="public"' in answer.body and b'server="admin"' in answer.body
            and answer.headers["Server"] is None)
    assert edge.ask("/", door="metrics", source=SCRAPER).status == 404
    for source in (TUNNEL, STRANGER):
        try:
            status = edge.ask("/metrics", door="metrics", source=source).status
        except OSError:
            status = None
        assert status is None, source


def a_new_password_takes_hold(edge: Edge) -> None:
    """D46, D47"""
    file = edge.folder / "edge_admin_password_hash"
    old, new = file.read_text(), caddy("hash-password", "--algorithm", "bcrypt", "--bcrypt-cost", "8", "--plaintext",
                                       "another").stdout
    try:
        file.write_text(new)
        edge.load()
        assert edge.admin("/grafana/").status == 401
        assert edge.ask("/grafana/", ("Authorization", "Basic YWRtaW46YW5vdGhlcg=="), door="admin").status == 200
    finally:
        file.write_text(old)
        edge.load()
    assert edge.admin("/grafana/").status == 200


# Limits

def what_is_too_large_is_refused(edge: Edge) -> None:
    """D49"""
    for chunked in (False, True):
        assert edge.ask("/contacts/x", method="POST", body=BODY, chunked=chunked).status == 413
        assert edge.ask("/contacts/x", method="POST", body=BODY[:24_000_000],
                        chunked=chunked).seen["body"] == 24_000_000
    assert edge.admin("/pgadmin/x", method="POST", body=BODY).status == 413
    assert edge.ask("/contacts/x", ("X-Long", "x" * 60_000)).status == 431


def who_is_too_slow_is_cut_off(edge: Edge) -> None:
    """D49"""
    with edge.connection("public", TUNNEL, "", HEADER_TIMEOUT
                         + 2) as public, edge.connection("admin", TUNNEL, "", HEADER_TIMEOUT + 2) as admin:
        began = time.monotonic()
        for connection in (public, admin):
            connection.sendall(b"GET /api/x HTTP/1.1\r\nHost: app.example.com\r\nX-Slow: ")
        for connection in (public, admin):
            try:
                while connection.recv(1000):
                    pass
            except ConnectionResetError:
                pass
        assert time.monotonic() - began < HEADER_TIMEOUT + 2


# Traces and logs

def requests_have_an_identity(edge: Edge) -> None:
    """D75"""
    for sent in ((), ("a b",), ("short",), ("x" * 200,), ("valid-id-1", "valid-id-2"), ('quote"-in-it',)):
        answer = edge.ask("/contacts/x", *[("X-Request-ID", each) for each in sent])
        forwarded = only(answer.forwarded("X-Request-ID"))
        assert forwarded == answer.headers["X-Request-ID"] and forwarded not in sent and len(forwarded) == 36
    answer = edge.ask("/contacts/x", ("X-Request-ID", "from-the-caller.1"), ("Traceparent", TRACE),
                      ("Tracestate", "a=b"))
    assert answer.forwarded("X-Request-ID") == [answer.headers["X-Request-ID"]] == ["from-the-caller.1"]
    assert (answer.forwarded("Traceparent"), answer.forwarded("Tracestate")) == ([TRACE], ["a=b"])
    seen = set()
    for sent in ((), ("x",), (TRACE.upper(),), ("01" + TRACE[2:],), ("ff" + TRACE[2:],), (TRACE, TRACE),
                 (TRACE + "-00",), ("00-" + "0" * 32 + TRACE[35:],), (TRACE[:36] + "0" * 16 + "-01",)):
        answer = edge.ask("/contacts/x", *[("Traceparent", each) for each in sent], ("Tracestate", "a=b"))
        made = only(answer.forwarded("Traceparent"))
        assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01",
                            made) and made not in sent, (sent, made)
        assert len(sent) == 2 or answer.forwarded("Tracestate") == []
        seen.add(made)
    assert len(seen) == 9


def the_log_tells_no_secrets(edge: Edge) -> None:
    """D75, CA3"""
    names = ("token", "access_token", "api_key", "apikey", "X-API-Key", "password", "X-Amz-Signature",
             "X-Amz-Credential", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature", "sig", "code")
    query = "&".join(f"{name}=SECRET{i}" for i, name in enumerate(names))
    headers = [CREDENTIALS, ("X-API-Key", "SECRET-key"), ("Cookie", "a=SECRET-cookie"),
               ("Referer", f"https://x.example/?{query}"),
               ("Cf-Access-Jwt-Assertion", "SECRET-jwt"), ("X-Request-ID", "the-log-request")]
    for answer in (edge.ask(f"/contacts/x?page=2&{query}", *headers), edge.ask(f"/contacts/moved?{query}", *headers),
                   edge.ask(f"/contacts/crash?{query}", *headers, method="POST"),
                   edge.admin(f"/grafana/?{query}", *headers[1:])):
        assert answer.status in (200, 302, 502)
    edge.ask("/healthz")
    until(lambda: edge.log().count('"request_id":"the-log-request"') >= 4)
    lines = [json.loads(line) for line in edge.log().splitlines()]
    access = [line for line in lines
              if line.get("logger", "").startswith("http.log.access") and line.get("request_id") == "the-log-request"]
    assert any("page=2" in line["request"]["uri"] for line in access) and all(line["traceparent"] for line in access)
    text = json.dumps(lines)
    assert not re.findall(r"SECRET[\w-]*", text) and CREDENTIALS[1] not in text and '"/healthz"' not in text


# Colors

def one_color_down_harms_nobody(edge: Edge) -> None:
    """D37"""
    for name, other in ((BLUE, GREEN), (GREEN, BLUE)):
        until(lambda: edge.ask("/contacts/x").upstream == BLUE)
        edge.behind[name].stop()
        try:
            for method in ("GET", "POST") * 10:
                answer = edge.ask("/contacts/x", method=method, body=b"x" * (method == "POST"))
                assert (answer.status, answer.upstream) == (200, other)
        finally:
            edge.behind[name] = edge.behind[name].again()


def one_color_not_ready_gets_nothing(edge: Edge) -> None:
    """D37"""
    until(lambda: edge.ask("/contacts/x").upstream == BLUE)
    edge.behind[BLUE].ready = False
    try:
        until(lambda: edge.ask("/contacts/x").upstream == GREEN, 3)
        before = edge.behind[BLUE].requests
        assert {edge.ask("/contacts/x", method="POST").upstream for _ in range(10)} == {GREEN}
        assert edge.behind[BLUE].requests == before
    finally:
        edge.behind[BLUE].ready = True
    until(lambda: edge.ask("/contacts/x").upstream == BLUE, 5)


def both_colors_down_is_told_with_all_headers(edge: Edge) -> None:
    """D40"""
    for name in (BLUE, GREEN):
        edge.behind[name].stop()
    try:
        for method in ("GET", "POST"):
            answer = edge.ask("/contacts/x", ("Origin", ALLOWED), method=method, body=b"x" * (method == "POST"))
            assert answer.status in (502, 503) and answer.headers["Access-Control-Allow-Origin"] == ALLOWED
            require_headers(answer)
        assert edge.admin("/grafana/").status == 200
    finally:
        for name in (BLUE, GREEN):
            edge.behind[name] = edge.behind[name].again()
    until(lambda: edge.ask("/contacts/x").status == 200)


def a_lost_request_is_not_sent_twice(edge: Edge) -> None:
    """A POST that a container lost is told, not repeated"""
    before = sum(edge.behind[each].requests for each in (BLUE, GREEN))
    assert edge.ask("/contacts/crash", method="POST", body=b"x").status == 502
    assert sum(edge.behind[each].requests for each in (BLUE, GREEN)) == before + 1


def a_slow_request_outlives_a_reload(edge: Edge) -> None:
    """D46"""
    import threading

    found = []
    asking = threading.Thread(
        target=lambda: found.append(edge.ask("/contacts/slow?seconds=1", method="POST", body=b"x")))
    asking.start()
    until(lambda: edge.behind[BLUE].working)
    edge.load()
    asking.join()
    assert [each.status for each in found] == [200]


SEEN = [headers_on_every_answer, strict_promises, only_listed_origins, other_paths_keep_their_own, no_password_upstream,
        prefixes_arrive_as_each_service_knows_them, every_api_path_reaches_the_application, the_root_answers,
        presigned_addresses_arrive_as_signed,
        the_caller_is_who_the_tunnel_says, services_know_that_it_is_https, tools_are_behind_the_password,
        tools_are_not_in_public,
        what_is_internal_stays_inside, a_path_has_one_reading, metrics_are_for_prometheus, a_new_password_takes_hold,
        what_is_too_large_is_refused,
        who_is_too_slow_is_cut_off, requests_have_an_identity, the_log_tells_no_secrets, one_color_down_harms_nobody,
        one_color_not_ready_gets_nothing, both_colors_down_is_told_with_all_headers, a_lost_request_is_not_sent_twice,
        a_slow_request_outlives_a_reload]


# The files

def caddy_takes_the_files(files, folder) -> None:
    """D39, D47: valid, as `caddy fmt` writes it, without a warning, and not without the secret"""
    place = written(folder, files)
    for file in (place, place.parent / "upstreams.caddy"):
        formatted = caddy("fmt", "--diff", str(file), folder=folder)
        assert formatted.returncode == 0, f"{file.name} is not formatted:\n{formatted.stdout}"
    made = caddy("adapt", "--config", str(place), folder=folder)
    assert made.returncode == 0 and '"level":"warn"' not in made.stderr, made.stderr


def the_pinned_caddy_knows_the_directives(files, folder) -> None:
    """D39"""
    image = yaml.safe_load(files["compose/compose.yaml"])["services"]["caddy"]["image"]
    major, minor = re.match(r"(?:.*/)?caddy:(\d+)\.(\d+)", image).groups()
    assert (int(major), int(minor)) >= (2, 8)


def the_administration_of_caddy_is_on_a_socket(files, folder) -> None:
    """D46"""
    assert adapted(folder, files)["admin"].get("listen") == "unix//run/caddy/admin.sock"


def secrets_are_only_named(files, folder) -> None:
    """D47"""
    text = files["caddy/Caddyfile"] + files["caddy/upstreams.caddy"]
    accounts = re.findall(r'"password": ?"([^"]*)"', json.dumps(adapted(folder, files)))
    assert accounts and all(re.fullmatch(r"\{file\./run/secrets/[a-z_]+\}", each) for each in accounts)
    assert not re.search(r"\$2[aby]\$\d\d\$|(?i:passw(or)?d\s*[:=]\s*\S)", text)


def the_tunnel_is_the_only_way_in(files, folder) -> None:
    """D52"""
    services = yaml.safe_load(files["compose/compose.yaml"])["services"]
    assert not [name for name, each in services.items() if each.get("ports")]
    assert "--url" not in services["cloudflared"]["command"] and "--token-file" in services["cloudflared"]["command"]


READ = [caddy_takes_the_files, the_pinned_caddy_knows_the_directives, the_administration_of_caddy_is_on_a_socket,
        secrets_are_only_named, the_tunnel_is_the_only_way_in]
