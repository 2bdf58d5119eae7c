"""Defects of the edge: D39 to D52 of the audit, and what else would open or break it.

Each names the behavior of tests/edge_behaviors.py that must fail; tests/test_edge_mutants.py runs them in a real Caddy.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mutants import Files, Mutant, replaced, substituted

CADDYFILE, UPSTREAMS, COMPOSE = "caddy/Caddyfile", "caddy/upstreams.caddy", "compose/compose.yaml"
KILLER = "behaviour:tests/test_edge_mutants.py::test_the_behavior_notices"


@dataclass(frozen=True)
class EdgeMutant(Mutant):
    """A defect that a behavior of the edge shows"""

    behavior: str = ""


def shown(defect: str, title: str, behavior: str, *mutations: Callable[[Files], Files]) -> EdgeMutant:
    """A mutant that `behavior` kills"""
    def mutate(files: Files) -> Files:
        for each in mutations:
            files = each(files)
        return files

    return EdgeMutant(defect, title, mutate, KILLER, behavior)


def caddyfile(old: str, new: str, count: int = 1) -> Callable[[Files], Files]:
    """A mutation of the Caddyfile"""
    return replaced(CADDYFILE, old, new, count)


def without(pattern: str, count: int = 0, file: str = CADDYFILE) -> Callable[[Files], Files]:
    """A mutation that takes lines out of the Caddyfile, or another one of the edge's"""
    return substituted(file, rf"^[ \t]*{pattern}\n", "", count)


EVERYWHERE = 0  # of `substituted`
GRAFANA = "\t\thandle /grafana* {\n\t\t\tvars asked_for admin.app.example.com\n\t\t\timport grafana:3000\n\t\t}\n\n"
IN_ERRORS = r"(handle_errors \{\n\t\timport request_identity\n)\t\timport security_headers\n"
IN_PUBLIC = r"(:8080 \{(?:\n.*)*?\n\troute \{\n\t\timport one_reading\n)"

MUTANTS = [
    # D39: directives that another Caddy knows
    shown("D39", "basic_auth under its old name", "caddy_takes_the_files", caddyfile("basic_auth {", "basicauth {")),
    shown("D39", "a Caddy that does not know basic_auth", "the_pinned_caddy_knows_the_directives",
          substituted(COMPOSE, r"image: caddy:[\d.]+", "image: caddy:2.6.2")),
    # D40: headers
    shown("D40", "no headers on what Caddy answers itself", "headers_on_every_answer",
          substituted(CADDYFILE, IN_ERRORS, r"\1", EVERYWHERE)),
    shown("D40", "the Server header shows", "headers_on_every_answer", without("-Server")),
    shown("D40", "the Via header shows", "headers_on_every_answer", without("-Via")),
    shown("D40", "headers set for good answers only", "both_colors_down_is_told_with_all_headers",
          substituted(CADDYFILE, IN_ERRORS, r"\1", EVERYWHERE)),
    # D41: other origins
    shown("D41", "every origin on every answer", "only_listed_origins",
          caddyfile("\t\tX-Content-Type-Options nosniff",
                    '\t\tAccess-Control-Allow-Origin "*"\n\t\tX-Content-Type-Options nosniff')),
    shown("D41", "any origin is answered with itself", "only_listed_origins",
          substituted(CADDYFILE, r"(@origin \{\n\t\theader Origin) .*", r"\1 *")),
    shown("D41", "the key's header is not allowed", "only_listed_origins", caddyfile("X-API-Key, ", "")),
    shown("D41", "a service's own * gets through", "only_listed_origins",
          without(r"header_down -\{vars.edge_says\}", file=UPSTREAMS)),
    shown("D41", "the origin counts on pages too", "other_paths_keep_their_own",
          substituted(CADDYFILE, r"(handle @/docs \{\n)", r"\1\t\t\timport cors\n")),
    # D42: the password goes on
    shown("D42", "the password reaches the tools", "no_password_upstream", without("request_header -Authorization")),
    # D43: prefixes
    shown("D43", "the prefix of the object store's console stays", "prefixes_arrive_as_each_service_knows_them",
          without("uri strip_prefix /minio")),
    shown("D43", "a prefix is cut off that the service knows", "prefixes_arrive_as_each_service_knows_them",
          substituted(CADDYFILE, r"(handle @/prometheus \{\n)", r"\1\t\t\turi strip_prefix /prometheus\n")),
    shown("D43", "the caller says the prefix", "prefixes_arrive_as_each_service_knows_them",
          without(r"request_header -X-Forwarded-\*")),
    shown("D43", "no way from /minio to /minio/", "prefixes_arrive_as_each_service_knows_them",
          without(r"redir @bare .*")),
    # D44: routes
    shown("D44", "a group of API routes is missing", "every_api_path_reaches_the_application",
          substituted(CADDYFILE, r"@/contacts path .*", "@/contacts path /contacts/*"),
          substituted(CADDYFILE, r"\t\thandle \{\n\t\t\tvars \{\n.*\n\t\t\t\}\n\t\t\tinvoke fastapi.*\n\t\t\}\n",
                      "\t\thandle {\n\t\t\terror 404\n\t\t}\n")),
    shown("D44", "a prefix takes longer words too", "every_api_path_reaches_the_application",
          substituted(CADDYFILE, r"@/grafana path .*", "@/grafana path /grafana*")),
    shown("D44", "metrics and readiness of the application in public", "what_is_internal_stays_inside",
          substituted(CADDYFILE, r"\t\thandle @internal \{\n\t\t\terror 404\n\t\t\}\n", "")),
    # D45: who calls
    shown("D45", "nobody speaks for callers", "the_caller_is_who_the_tunnel_says", without("trusted_proxies static .*"),
          without("trusted_proxies_strict")),
    shown("D45", "services think it is http", "services_know_that_it_is_https",
          without("header_up X-Forwarded-Proto https", file=UPSTREAMS)),
    shown("D45", "callers over http stay there", "services_know_that_it_is_https", without("redir @unencrypted .*")),
    # D46: administration of Caddy
    shown("D46", "no administration, so no reload", "the_administration_of_caddy_is_on_a_socket",
          caddyfile("admin unix//run/caddy/admin.sock", "admin off")),
    shown("D46", "the administration of Caddy on a port", "the_administration_of_caddy_is_on_a_socket",
          caddyfile("admin unix//run/caddy/admin.sock", "admin 0.0.0.0:2019")),
    shown("D46", "no metrics", "metrics_are_for_prometheus", without("metrics", 1)),
    shown("D46", "half a second for what takes a second", "a_slow_request_outlives_a_reload",
          replaced(UPSTREAMS, "response_header_timeout 1m", "response_header_timeout 500ms", -1)),
    shown("D46", "metrics for every network", "metrics_are_for_prometheus",
          substituted(CADDYFILE, r"remote_ip \S+", "remote_ip 0.0.0.0/0")),
    # D47: secrets in the file
    shown("D47", "the hash stands in the file", "secrets_are_only_named",
          substituted(CADDYFILE, r"\{file\./run/secrets/\w+\}", "$2a$14$" + "a" * 53)),
    shown("D47", "a password in a comment", "secrets_are_only_named",
          caddyfile("(request_identity)", "# password: in plain words\n(request_identity)")),
    shown("D47", "a new password does not take hold", "a_new_password_takes_hold",
          substituted(CADDYFILE, r"\{file\./run/secrets/\w+\}",
                      "$2b$12$MRN37RWuK5TuAS9bQfC5vO1CdKLZZeEpj2JFVMPGlc91Bk.w.DW6C")),
    # D48: promises to browsers
    shown("D48", "HSTS for names that are not ours", "strict_promises",
          caddyfile('"max-age=31536000"', '"max-age=31536000; includeSubDomains; preload"')),
    shown("D48", "inline scripts everywhere", "strict_promises",
          caddyfile("object-src 'none'\"", "object-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'\"")),
    shown("D48", "scripts from other hosts", "strict_promises",
          caddyfile("default-src 'self';", "default-src 'self' https://cdn.example;")),
    # D49: limits
    shown("D49", "bodies of any size", "what_is_too_large_is_refused",
          substituted(CADDYFILE, r"\trequest_body(?: @\w+)? \{\n.*\n\t\}\n", "", EVERYWHERE)),
    shown("D49", "headers of any size", "what_is_too_large_is_refused",
          caddyfile("name public\n", "name public\n\t\tmax_header_size 1MB\n")),
    shown("D49", "callers may take for ever", "who_is_too_slow_is_cut_off", without("read_header 10s"),
          without("read_body 5m"), without("idle 5m")),
    # D50, D51: nothing there
    shown("D50", "nothing at the root", "the_root_answers",
          substituted(CADDYFILE, r"\t\thandle \{\n\t\t\tvars \{\n.*\n\t\t\t\}\n\t\t\tinvoke fastapi.*\n\t\t\}\n",
                      "\t\thandle {\n\t\t\terror 404\n\t\t}\n")),
    shown("D51", "no route to the objects", "presigned_addresses_arrive_as_signed",
          substituted(CADDYFILE, r"@/pretamane-documents path .*", "@/pretamane-documents path /nowhere")),
    shown("D51", "another host than the one that was signed", "presigned_addresses_arrive_as_signed",
          substituted(UPSTREAMS, r"header_up Host .*", "header_up Host {upstream_hostport}", EVERYWHERE)),
    shown("D51", "the console leads to another host", "prefixes_arrive_as_each_service_knows_them",
          caddyfile("redir @bare /minio/", "redir @bare http://localhost:8080/minio/")),
    # D52: ways around the tunnel
    shown("D52", "a quick tunnel", "the_tunnel_is_the_only_way_in",
          substituted(COMPOSE, r"--token-file, /run/secrets/tunnel_token", "--url, 'http://caddy:8080'")),
    shown("D52", "ports open beside the tunnel", "the_tunnel_is_the_only_way_in",
          substituted(COMPOSE, r"(    image: caddy:.*\n)", r"\1    ports: ['8080:8080', '8443:8443']\n")),
    shown("D52", "whoever comes from a private address speaks for callers", "the_caller_is_who_the_tunnel_says",
          substituted(CADDYFILE, r"trusted_proxies static .*", "trusted_proxies static private_ranges", EVERYWHERE)),
    shown("D52", "the list of addresses is believed from its start", "the_caller_is_who_the_tunnel_says",
          without("trusted_proxies_strict")),
    # The doors
    shown("CA8", "a tool in public", "tools_are_not_in_public", substituted(CADDYFILE, IN_PUBLIC, rf"\1{GRAFANA}")),
    shown("CA8", "no password at the administrators' door", "tools_are_behind_the_password",
          substituted(CADDYFILE, r"\t\tbasic_auth \{\n.*\n\t\t\}\n", "")),
    shown("CA8", "the password for one spelling of a path", "tools_are_behind_the_password",
          caddyfile("\t\tbasic_auth {", "\t\t@tools path_regexp ^/[a-z]+(/|$)\n\t\tbasic_auth @tools {")),
    shown("CA8", "paths that can be read in two ways", "a_path_has_one_reading", without("error @two_readings 400")),
    # Traces and logs
    shown("D75", "any id is believed", "requests_have_an_identity",
          caddyfile("~^[A-Za-z0-9._-]{8,128}$ ${0}", "~.+ ${0}")),
    shown("D75", "no trace", "requests_have_an_identity", without("header_up Traceparent .*", file=UPSTREAMS)),
    shown("D75", "a trace of zeros", "requests_have_an_identity", without("~\\^00-0\\{32\\}- .*")),
    shown("D75", "the state of another trace", "requests_have_an_identity",
          without("request_header @untraced -Tracestate")),
    shown("CA3", "keys in the log", "the_log_tells_no_secrets", without("request>uri regexp .*")),
    shown("CA3", "keys of the page before in the log", "the_log_tells_no_secrets",
          without("request>headers>Referer .*")),
    shown("CA3", "presigned addresses in the log", "the_log_tells_no_secrets", without("resp_headers>Location .*")),
    shown("CA3", "the API's key in the log", "the_log_tells_no_secrets", without("request>headers>X-Api-Key .*")),
    # Colors
    shown("D37", "one color only", "one_color_down_harms_nobody",
          substituted(UPSTREAMS, r"(to fastapi-app-blue:8000) .*", r"\1")),
    shown("D37", "readiness is not asked for", "one_color_not_ready_gets_nothing",
          without("health_uri /readyz", file=UPSTREAMS)),
    shown("D37", "a request that reached nobody is lost", "one_color_down_harms_nobody",
          without("lb_try_.*", file=UPSTREAMS)),
    shown("D37", "a lost request is sent again", "a_lost_request_is_not_sent_twice",
          replaced(UPSTREAMS, "not path *", "path *", -1)),
]
