"""Defects of the Caddyfile: D39 to D52."""
from __future__ import annotations

import re

from mutants import CADDYFILE, Mutant, added, replaced, service, substituted

UPSTREAMS = "caddy/upstreams.caddy"
HASH = "$2a$14$" + "abcdefghijklmnopqrstuv" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234"  # the form of one, of nothing


def in_errors(files):
    """handle_errors without the headers"""
    text, count = re.subn(r"(handle_errors \{\n(?:\s*import request_identity\n)?)\s*import security_headers\n",
                          r"\1", files[CADDYFILE])
    assert count
    return {**files, CADDYFILE: text}


def without(pattern, file=CADDYFILE):
    """The Caddyfile, or another one of the edge's, without the lines that match"""
    return substituted(file, rf"^[ \t]*{pattern}[^\n]*\n", "", count=0)


def without_block(name):
    """The Caddyfile without the blocks of a directive"""
    return substituted(CADDYFILE, rf"^([ \t]*){name}(?: @\w+)? \{{\n(?:\1[ \t]+[^\n]*\n)*\1\}}\n", "", count=0)


def stripped_twice(files):
    """A prefix that is cut off by the handler and by the directive"""
    text = files[CADDYFILE]
    assert "handle @/meilisearch {" in text
    return {**files, CADDYFILE: text.replace("handle @/meilisearch {", "handle_path /meilisearch/* {")}


def route(text, before="handle @/grafana {"):
    """A route more, before another"""
    return replaced(CADDYFILE, before, f"{text}\n\n\t\t{before}")


MUTANTS = [
    Mutant("D39", "a Caddy that does not know basic_auth", service("caddy", image="caddy:2.6.2"), "E17"),
    Mutant("D39", "a directive that Caddy does not know", replaced(CADDYFILE, "basic_auth {", "basic_authentication {"),
           "tool:caddy"),
    Mutant("D40", "errors without headers", in_errors, "E10"),
    Mutant("D40", "no handle_errors at all", without_block("handle_errors"), "E10"),
    Mutant("D40", "the Server header shown", without("-Server"), "E10"),
    Mutant("D40", "no Strict-Transport-Security", without("Strict-Transport-Security"), "E10"),
    Mutant("D41", "every origin may read",
           replaced(CADDYFILE, "X-Content-Type-Options nosniff",
                    "X-Content-Type-Options nosniff\n\t\tAccess-Control-Allow-Origin *"), "E11"),
    Mutant("D42", "the password passed on", without("request_header -Authorization"), "X09"),
    Mutant("D42", "administration without a password", without_block("basic_auth"), "X09"),
    Mutant("D43", "a prefix cut twice", stripped_twice, "X10"),
    Mutant("D43", "Loki without the beginning of its paths",
           route("handle_path /loki/* {\n\t\t\treverse_proxy loki:3100\n\t\t}"), "X10"),
    Mutant("D43", "a prefix that the service does not know",
           substituted(CADDYFILE, r"^\s*uri strip_prefix /meilisearch\n", ""), "X10"),
    Mutant("D43", "a prefix cut that the service wants", replaced(
        CADDYFILE, "handle @/prometheus {", "handle @/prometheus {\n\t\t\turi strip_prefix /prometheus"), "X10"),
    Mutant("D44", "a pattern that takes too much",
           substituted(CADDYFILE, r"path /grafana /grafana/\*", "path /grafana*"), "E02"),
    Mutant("D44", "paths that nobody answers",
           substituted(CADDYFILE, r"^([ \t]+)handle \{\n", r"\1handle /pages {\n", count=0), "E03"),
    Mutant("D44", "an upstream that does not listen",
           substituted("caddy/upstreams.caddy", r"to grafana:3000", "to grafana:3001"), "X04"),
    Mutant("D45", "the tunnel's address for every caller", without("trusted_proxies"), "E13"),
    Mutant("D45", "everybody believed",
           substituted(CADDYFILE, r"trusted_proxies static \S+", "trusted_proxies static 0.0.0.0/0", count=0), "E13"),
    Mutant("D45", "another network believed",
           substituted(CADDYFILE, r"trusted_proxies static \S+", "trusted_proxies static 10.0.0.0/8", count=0), "E13"),
    Mutant("D45", "the caller's own list believed", without("trusted_proxies_strict"), "E13"),
    Mutant("D45", "the header not read", without("client_ip_headers"), "E13"),
    Mutant("D46", "no reload", substituted(CADDYFILE, r"^\tadmin .*$", "\tadmin off"), "E14"),
    Mutant("D46", "administration for the network",
           substituted(CADDYFILE, r"^\tadmin .*$", "\tadmin 0.0.0.0:2019"), "E14"),
    Mutant("D46", "requests not counted", substituted(CADDYFILE, r"^\tmetrics\n", ""), "E14"),
    Mutant("D47", "a hash in the Caddyfile",
           substituted(CADDYFILE, r"\{file\./run/secrets/\w+\}", HASH, count=0), "E18"),
    Mutant("D47", "the same, by its form", substituted(CADDYFILE, r"\{file\./run/secrets/\w+\}", HASH, count=0), "X21"),
    Mutant("D47", "a password in a comment", added(CADDYFILE, "# password: Summer" + "2026!\n"), "X21"),
    Mutant("D48", "a promise for a domain of others",
           replaced(CADDYFILE, '"max-age=31536000"', '"max-age=31536000; includeSubDomains; preload"'), "E12"),
    Mutant("D48", "scripts from anywhere in a page",
           replaced(CADDYFILE, "?Content-Security-Policy \"default-src 'self';",
                    "?Content-Security-Policy \"default-src 'self' 'unsafe-inline' 'unsafe-eval';"), "E12"),
    Mutant("D49", "a body of any size", without_block("request_body"), "E15"),
    Mutant("D49", "no timeouts", without_block("timeouts"), "E15"),
    Mutant("D50", "a site that is not there",
           route("handle /site/* {\n\t\t\troot /srv/site\n\t\t\tfile_server\n\t\t}"), "X05"),
    Mutant("D51", "a console that sends browsers to localhost", replaced(
        "compose/compose.yaml", "https://admin.app.example.com/minio/", "http://localhost:8080/minio/"), "E01"),
    Mutant("D51", "a console that sends browsers elsewhere",
           replaced("compose/compose.yaml", "https://admin.app.example.com/minio/",
                    "https://admin.app.example.com/console/"), "E01"),
    Mutant("D37", "colors without active health",
           substituted(UPSTREAMS, r"^\s*health_uri [^\n]*\n", "", count=0), "E16"),
    Mutant("D37", "a color that the edge does not know",
           substituted("caddy/upstreams.caddy", r" fastapi-app-green:8000", "", count=0), "C26"),
    Mutant("D37", "no second try", without("lb_try_duration", UPSTREAMS), "E16"),
]
