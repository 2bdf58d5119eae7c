"""The emitted probes, asked by the real blackbox exporter of the real Caddy with the emitted Caddyfile."""
from __future__ import annotations

import re
import subprocess
import time
import urllib.parse

import edge as caddy
import pytest
import yaml
from needed import program
from observing import Sink, certificate, fetched, free_port, running

from pretamane_analysis.emit.observability.blackbox import MODULES, files
from pretamane_analysis.emit.targets import edge_series, probe_targets
from pretamane_analysis.facts.conventions import edge_ports
from pretamane_analysis.stack.stack import example

STACK = example()
JOBS = {each.job: each for each in probe_targets(STACK)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the emitted modules"""
    made = tmp_path_factory.mktemp("blackbox")
    (made / "blackbox.yml").write_text(files(STACK)["blackbox/blackbox.yml"])
    certificate(made)
    return made


@pytest.fixture(scope="module")
def probe(folder):
    """Ask the exporter for one probe: its metrics by name"""
    port = free_port()
    command = [program("blackbox_exporter"), f"--config.file={folder / 'blackbox.yml'}",
               f"--web.listen-address=127.0.0.1:{port}"]

    def ask(target: str, module: str, hostname: str = "") -> dict[str, float]:
        query = {"target": target, "module": module} | ({"hostname": hostname} if hostname else {})
        status, text = fetched(f"http://127.0.0.1:{port}/probe?{urllib.parse.urlencode(query)}")
        assert status == 200, text
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.splitlines() if not line.startswith("#")}

    trusted = {"SSL_CERT_FILE": str(folder / "certificate.pem")}
    with running(command, f"http://127.0.0.1:{port}/-/healthy", folder / "log", trusted):
        yield ask


@pytest.fixture(scope="module")
def tls_site(folder):
    """A site with TLS for the name localhost"""
    server = Sink({"/healthz": (200, {}, "ok")}, folder / "certificate.pem", folder / "key.pem")
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def edge():
    """A running Caddy with the emitted file and stand-ins behind it"""
    program("caddy")
    with caddy.running(STACK) as found:
        yield found


def there(edge, target: str) -> str:
    """The address in the test of a target at the edge"""
    parts = urllib.parse.urlsplit(target)
    doors = {STACK.services["caddy"].ports["admin"]: "admin",
             edge_ports(STACK.services["caddy"].ports, "tunnel")["probes"]: "probes"}
    assert parts.hostname == "caddy"
    return f"http://127.0.0.1:{edge.ports[doors[parts.port]]}{parts.path}"


def test_the_exporter_accepts_the_modules(folder):
    checked = subprocess.run([program("blackbox_exporter"), "--config.check",
                              f"--config.file={folder / 'blackbox.yml'}"], capture_output=True, text=True, timeout=20)
    assert checked.returncode == 0, checked.stderr
    (folder / "bad.yml").write_text((folder / "blackbox.yml").read_text().replace("valid_status_codes",
                                                                                  "valid_status_code"))
    assert subprocess.run([program("blackbox_exporter"), "--config.check",
                           f"--config.file={folder / 'bad.yml'}"], capture_output=True, timeout=20).returncode == 1


def test_every_module_is_used_and_every_job_has_a_module(folder):
    modules = yaml.safe_load((folder / "blackbox.yml").read_text())["modules"]
    assert {*modules} == {each.module for each in JOBS.values()} == {*MODULES}


@pytest.mark.parametrize("job", ["probe-open", "probe-locked-admin"])
def test_probes_at_the_edge_succeed_when_all_is_well(probe, edge, job):
    for each in JOBS[job].probes:
        found = probe(there(edge, each.target), JOBS[job].module, JOBS[job].hostname)
        assert found["probe_success"] == 1, (each.target, found.get("probe_http_status_code"))


def test_an_open_door_is_seen(probe, edge):
    """The stand-ins answer 200 without a key: what a locked path must never do"""
    for each in JOBS["probe-locked"].probes:
        found = probe(there(edge, each.target), "http_401", JOBS["probe-locked"].hostname)
        assert (found["probe_success"], found["probe_http_status_code"]) == (0, 200), each.target


def test_a_dead_application_is_seen(probe, edge):
    target = next(each for each in JOBS["probe-open"].probes if each.service == "fastapi-app")
    dead = [each for each in edge.behind.values() if each.name.startswith("fastapi-app")]
    try:
        for each in dead:
            each.stop()
        found = probe(there(edge, target.target), "http_2xx", STACK.domain)
        assert found["probe_success"] == 0 and found["probe_http_status_code"] in (502, 503)
        health = next(each for each in JOBS["probe-open"].probes if each.service == "caddy")
        assert probe(there(edge, health.target), "http_2xx", STACK.domain)["probe_success"] == 1
    finally:
        edge.behind |= {each.name: each.again() for each in dead}


@pytest.mark.parametrize("status, module, success", [
    (200, "http_2xx", 1), (204, "http_2xx", 1), (301, "http_2xx", 0), (401, "http_2xx", 0), (404, "http_2xx", 0),
    (500, "http_2xx", 0),
    (401, "http_401", 1), (200, "http_401", 0), (302, "http_401", 0), (403, "http_401", 0), (503, "http_401", 0),
    (200, "https_2xx", 0),
])
def test_what_each_module_takes_for_good(probe, status, module, success):
    """D64: a module passes on exactly what its name says"""
    sink = Sink({"/": (status, {"Location": "/elsewhere"}, ""), "/elsewhere": (200, {}, "")})
    try:
        assert probe(f"{sink.url}/", module)["probe_success"] == success
    finally:
        sink.shutdown()
        sink.server_close()


def test_a_certificate_is_checked_and_its_end_is_known(probe, tls_site):
    """What the certificate alert reads"""
    found = probe(f"{tls_site}/healthz", "https_2xx")
    assert found["probe_success"] == 1
    assert 9.9 < (found["probe_ssl_earliest_cert_expiry"] - time.time()) / 86400 <= 10
    # another name
    assert probe(f"{tls_site}/healthz".replace("localhost", "127.0.0.1"), "https_2xx")["probe_success"] == 0


def test_ports(probe):
    sink, closed = Sink(), free_port()
    assert probe(sink.url.removeprefix("http://"), "tcp_connect")["probe_success"] == 1
    assert probe(f"127.0.0.1:{closed}", "tcp_connect")["probe_success"] == 0
    sink.shutdown()
    sink.server_close()


def test_every_probe_speaks_for_a_service_of_the_stack():
    for job in JOBS.values():
        assert len({each.target for each in job.probes}) == len(job.probes)
        assert {each.service for each in job.probes} <= {*STACK.services}


@pytest.mark.parametrize("stack", [STACK, caddy.direct()], ids=["tunnel", "direct"])
def test_the_edge_counts_each_request_once(stack):
    """What objectives and dashboards read: whatever the answer, also when nobody is behind the edge; the stack's own
    probes are nobody"""
    program("caddy")
    labels = {f'{name}="{value}"' for name, value in edge_series(stack).items()}
    asked = {"/docs": 3, "/docs/missing": 2, "/healthz": 1}
    with caddy.running(stack) as here:
        for path, times in asked.items():
            for _ in range(times):
                here.ask(path)
        assert [here.ask(path, door="probes").status for path in ("/docs", "/healthz", "/contacts")] == [200] * 3
        if stack.host.edge == "direct":
            assert here.ask("/grafana/", door="probes", host=stack.admin_domain).status == 401
        for each in here.behind.values():
            each.stop()
        here.ask("/docs")
        text = here.ask("/metrics", door="metrics", source=caddy.SCRAPER).body.decode()
    counted = {}
    for line in text.splitlines():
        if line.startswith("caddy_http_request_duration_seconds_count{") and all(each in line for each in labels):
            code = re.search(r'code="(\d+)"', line)[1]
            counted[code] = counted.get(code, 0) + float(line.rsplit(" ", 1)[1])
    assert counted.pop("502", 0) + counted.pop("503", 0) == 1
    # Behind a tunnel, who asks for the edge's own health is no user.
    assert counted == {"200": 4 if stack.host.edge == "direct" else 3, "404": 2}
