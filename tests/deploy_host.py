"""A host on which two colors of a stand-in for the application run behind a real Caddy, and twelve clients that
count."""
from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from needed import program
from operations_host import HERE, Host

DRAIN = 3  # seconds; Caddy looks every 2 s


PORTS = iter(random.sample(range(20000, 32000), 1000))  # below those that outgoing connections are given
PORTS_GUARD = threading.Lock()


def quiet_port() -> int:
    """Return a port that nobody uses, each only once: many hosts and clients run at once"""
    with PORTS_GUARD:
        for port in PORTS:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
    raise AssertionError("no port is free")


class DeployHost(Host):
    """A host whose edge is Caddy and whose colors are `color_app.py`"""

    def __init__(self, folder: Path) -> None:
        """Everything but the first release"""
        super().__init__(folder)
        self.caddy = program("caddy")
        self.ports = {name: quiet_port() for name in ("blue", "green", "public", "admin", "metrics", "probes")}
        self.environment |= {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "BAKE_SECONDS": "2",
                             "HEALTH_SECONDS": "60", "START_SECONDS": "60", "EDGE_SECONDS": "60",
                             "EDGE_RENEWS": "6", "POLL": "0.5", "FIRST_RELEASE": "b" * 64,
                             "DRAIN_SECONDS": "15"}
        address = {color: f"127.0.0.1:{self.ports[color]}" for color in ("blue", "green")}
        self.save(
            programs={f"fastapi-app-{color}": [sys.executable, "-I", "-S", str(HERE / "color_app.py"),
                                               str(self.ports[color]), str(DRAIN)]
                      for color in address},
            health={f"fastapi-app-{color}": f"http://{where}/readyz" for color, where in address.items()},
            tools={"caddy": self.caddy},
            addresses={f"fastapi-app-{color}:8000": where for color, where in address.items()},
            replace={f"fastapi-app-{color}:8000": where for color, where in address.items()} | self.places())

    def places(self) -> dict[str, str]:
        """Ports and folders of the edge's container, and those of this test"""
        ports = {":8080": f":{self.ports['public']}", ":8081": f":{self.ports['admin']}",
                 ":8082": f":{self.ports['probes']}", ":2020": f":{self.ports['metrics']}"}
        return ports | {"/run/caddy/": f"{self.folder}/", "/run/secrets/": f"{self.secrets}/caddy/"}

    def release(self, name: str, mode: str = "ok", current: bool = False) -> Path:
        """Install a release whose application is in a mode; its name becomes 64 digits"""
        return self.install(name.ljust(64, "0"), {"app/mode": f"{mode}\n"}, current)

    def begin_serving(self, color: str = "blue") -> None:
        """The first release with one color, and the edge in front of it"""
        self.release("f1", current=True)
        (self.secrets / "caddy").mkdir()
        hashed = subprocess.run([self.caddy, "hash-password", "--algorithm", "bcrypt", "--bcrypt-cost", "8",
                                 "--plaintext", "of this test"], capture_output=True, text=True, check=True)
        (self.secrets / "caddy" / "edge_admin_password_hash").write_text(hashed.stdout.strip())
        adapted = subprocess.run([self.caddy, "adapt", "--config", self.root / "current" / "caddy" / "Caddyfile"],
                                 capture_output=True, text=True, check=True).stdout
        for inside, outside in self.engine["replace"].items():
            adapted = adapted.replace(inside, outside)
        (self.folder / "edge.json").write_text(adapted)
        self.save(programs=self.engine["programs"]
                  | {"caddy": [self.caddy, "run", "--config", str(self.folder / "edge.json")]},
                  health=self.engine["health"] | {"caddy": f"http://127.0.0.1:{self.ports['public']}/healthz"})
        (self.state / "color").write_text(f"{color}\n")
        self.start("caddy", f"fastapi-app-{color}")
        self.wait_for("200")

    def wait_for(self, what: str) -> None:
        """Until the edge answers"""
        deadline = time.monotonic() + 60
        while self.get()[0] != int(what):
            assert time.monotonic() < deadline, (self.engine_folder / "caddy.log").read_text()[-2000:]
            time.sleep(0.1)

    def get(self, path: str = "/") -> tuple[int, str]:
        """One request through the edge"""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["public"], timeout=30)
        try:
            connection.request("GET", path, headers={"Host": self.stack.domain})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def served_by(self) -> str:
        """The name of the release that answers, without its zeros"""
        return self.get()[1].rstrip("0")

    def active(self) -> str:
        """The color that is recorded"""
        return (self.state / "color").read_text().strip()

    def running(self) -> list[str]:
        """The colors that run"""
        found = []
        for color in ("blue", "green"):
            file = self.engine_folder / "containers" / f"fastapi-app-{color}.json"
            if file.exists() and (pid := json.loads(file.read_text())["pid"]) and Path(
                    f"/proc/{pid}/cmdline").read_text():
                found.append(color)
        return found


class Clients:
    """Twelve clients: four GET, four POST, two slow, two that read a stream; each request is counted"""

    def __init__(self, host: DeployHost,
                 kinds: tuple[str, ...] = ("get",) * 4 + ("post",) * 4 + ("slow",) * 2 + ("stream",) * 2,
                 pause: float = 0.1) -> None:
        """Nothing runs yet; a client pauses so many seconds between two requests"""
        self.kinds, self.pause = kinds, pause
        self.host, self.ended = host, threading.Event()
        self.good, self.bad, self.longest = 0, [], 0.0
        self.guard = threading.Lock()

    def note(self, kind: str, fault: str, began: float) -> None:
        """Count one request"""
        with self.guard:
            self.longest = max(self.longest, time.monotonic() - began) if kind in ("get", "post") else self.longest
            if fault:
                self.bad.append(f"{kind}: {fault}")
            else:
                self.good += 1

    def client(self, kind: str, number: int) -> None:
        """Ask until the end; some keep their connection, some make a new one each time"""
        path = {"get": "/contacts", "post": "/contacts", "slow": "/slow", "stream": "/stream"}[kind]
        body = b"x" * 3000 if kind == "post" else None
        connection = None
        while not self.ended.is_set():
            began, fault = time.monotonic(), ""
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1",
                                                                      self.host.ports["public"], timeout=30)
                connection.request("POST" if body else "GET", path, body=body, headers={"Host": self.host.stack.domain})
                answer = connection.getresponse()
                content = answer.read()
                wrong = kind == "post" and content != body or kind == "stream" and content != b"part" * 10
                fault = str(answer.status) if answer.status != 200 else "another body" if wrong else ""
            except (OSError, http.client.HTTPException) as error:
                fault, connection = repr(error), None
            self.note(kind, fault, began)
            if number % 2 and connection:
                connection.close()
                connection = None
            time.sleep(self.pause)
        if connection:
            connection.close()

    def __enter__(self) -> Clients:
        """Start all"""
        self.threads = [threading.Thread(target=self.client,
                                         args=[kind, number]) for number, kind in enumerate(self.kinds)]
        for each in self.threads:
            each.start()
        time.sleep(0.5)
        return self

    def __exit__(self, *_) -> None:
        """End all"""
        self.ended.set()
        for each in self.threads:
            each.join()
