"""Everything that gives metrics and can be installed: the real programs, running, with something to count.

Caddy with the emitted files, the reference application with its database, object store and a search stub, PostgreSQL
and its
exporter, the node exporter with what the scripts write, the blackbox exporter, and Alertmanager.
"""
from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import app_server
import edge
import postgres_server
from needed import program
from observing import Sink, certificate, fetched, free_port, running

from pretamane_analysis.emit.observability.alertmanager import (
    files as alertmanager_files,
)
from pretamane_analysis.emit.observability.blackbox import files as blackbox_files
from pretamane_analysis.stack.stack import example

STACK = example()
SCRIPTS = Path(__file__).resolve().parent.parent / "pretamane_analysis/templates/scripts"
PASSWORD = "role-of-the-exporter"


@dataclass
class Exporters:
    """Where each program's metrics are: 'host:port' by the name of its service, and what makes traffic"""

    addresses: dict[str, str]
    edge: edge.Edge
    app: app_server.App
    site: str  # a site with TLS, which the blackbox exporter believes

    def traffic(self, rounds: int = 1) -> None:
        """Requests of every kind, a document, a search"""
        for number in range(rounds):
            self.edge.ask("/healthz")
            self.edge.ask("/docs")
            self.edge.ask("/docs/missing")
            self.app.call("GET", "/contacts")
            self.app.call("GET", "/contacts", key=None)
            self.app.call("GET", "/nothing")
            self.app.upload(b"some text %d" % number)
            self.app.call("GET", "/documents?q=text")
            self.app.call("GET", "/documents/search?q=text")


def script_metrics(now: float) -> str:
    """What the scripts write for the node exporter, with plausible values"""
    found = []
    for script in sorted(SCRIPTS.rglob("*.sh")):
        for name, kind in re.findall(r"^(?:\$\{\w+\})?# TYPE (pretamane_\w+) (\w+)", script.read_text(), re.MULTILINE):
            value = (now - 3600 if name.endswith("timestamp_seconds") else 1
                     if name.endswith(("success", "healthy")) else 4096)
            labels = '{service="caddy"}' if name == "pretamane_service_healthy" else ""
            found.append(f"# HELP {name} From the scripts.\n# TYPE {name} {kind}\n{name}{labels} {value}\n")
    assert found
    return "".join(found)


@contextmanager
def _application(postgres) -> Iterator[app_server.App]:
    with ExitStack() as stack:
        store = app_server.S3Server()
        stack.callback(store.remove)
        platform = app_server.Platform(postgres, store)
        stack.callback(platform.remove)
        platform.prepare()
        app = platform.app().start()
        stack.callback(app.remove)
        yield app


def _programs(stack: ExitStack, folder: Path, postgres) -> dict[str, str]:
    ports = {name: free_port() for name in ("node-exporter", "blackbox-exporter", "postgres-exporter", "alertmanager")}
    (folder / "textfile").mkdir()
    (folder / "password").write_text(PASSWORD)
    (folder / "textfile/scripts.prom").write_text(script_metrics(time.time()))
    (folder / "blackbox.yml").write_text(blackbox_files(STACK)["blackbox/blackbox.yml"])
    (folder / "alertmanager.yml").write_text(re.sub(r"url_file: /run/secrets/(\w+)", r"url: http://127.0.0.1:1/\1",
                                                    alertmanager_files(STACK)["alertmanager/alertmanager.yml"]))
    postgres.psql(f"CREATE ROLE monitoring LOGIN NOSUPERUSER PASSWORD '{PASSWORD}'; GRANT pg_monitor TO monitoring;")
    environment = {"SSL_CERT_FILE": str(folder / "certificate.pem"),
                   "DATA_SOURCE_URI": f"127.0.0.1:{postgres.port}/postgres?sslmode=disable",
                   "DATA_SOURCE_USER": "monitoring", "DATA_SOURCE_PASS_FILE": str(folder / "password")}
    commands = {
        "node-exporter": [program("node_exporter"), f"--collector.textfile.directory={folder / 'textfile'}"],
        "blackbox-exporter": [program("blackbox_exporter"), f"--config.file={folder / 'blackbox.yml'}"],
        "postgres-exporter": [program("postgres_exporter")],
        "alertmanager": [program("alertmanager"), f"--config.file={folder / 'alertmanager.yml'}",
                         "--cluster.listen-address=", f"--storage.path={folder / 'alerts'}",
                         f"--web.external-url=http://127.0.0.1:{ports['alertmanager']}/alertmanager"],
    }
    for name, command in commands.items():
        prefix = "/alertmanager" if name == "alertmanager" else ""
        stack.enter_context(running([*command, f"--web.listen-address=127.0.0.1:{ports[name]}"],
                                    f"http://127.0.0.1:{ports[name]}{prefix}/metrics",
                                    folder / f"{name}.log", environment))
    return {name: f"127.0.0.1:{port}" for name, port in ports.items()}


@contextmanager
def exporters(folder: Path) -> Iterator[Exporters]:
    """Run everything until the block ends"""
    with ExitStack() as stack:
        postgres = postgres_server.make_postgres()
        stack.callback(postgres.remove)
        app = stack.enter_context(_application(postgres))
        site = Sink({"/healthz": (200, {}, "ok")}, *certificate(folder))
        stack.callback(site.server_close)
        stack.callback(site.shutdown)
        addresses = _programs(stack, folder, postgres)
        scraper, edge.SCRAPER = edge.SCRAPER, "127.0.0.1"  # the only address that Prometheus can have here
        stack.callback(setattr, edge, "SCRAPER", scraper)
        here = stack.enter_context(edge.running(STACK))
        addresses |= {"caddy": f"127.0.0.1:{here.ports['metrics']}", "fastapi-app": f"127.0.0.1:{app.metrics_port}"}
        yield Exporters(addresses, here, app, f"https://localhost:{site.server_address[1]}")


def scraped(address: str, path: str = "/metrics") -> str:
    """The metrics of one program as text"""
    status, text = fetched(f"http://{address}{path}")
    assert status == 200, text
    return text
