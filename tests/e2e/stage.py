"""The emitted tree on the host: packed by its own bundle.sh, unpacked as user-data does it, started by the command
of its unit."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import images
import pytest
from engine import ENDS_WITH_ME, Engine, alone, boot_tree, disk, patience
from measure import VERSIONS, Busy, Meter

ROOT, HERE = images.ROOT, images.HERE
MOTO, SINK = 5055, 5066  # ports on the host, for AWS and for the webhook
PROVIDED = {"alert_webhook_url": f"http://172.30.251.1:{SINK}/alerts",
            "dead_man_url": f"http://172.30.251.1:{SINK}/dead-man", "tunnel_token": "a token"}
LONG = pytest.mark.skipif(os.environ.get("PRETAMANE_E2E") != "long", reason="allowed: make e2e-long")
DOMAIN, ADMIN = "app.example.com", "admin.app.example.com"


class Stage:
    """One host with one stack"""

    def __init__(self, folder: Path, tree: Path = ROOT / "infra", seed: Callable[[Engine], None] | None = None) -> None:
        """Boot, and bring what AWS would: parameters and a bucket. With `seed`, which puts there what EC2 gives a new
        machine, systemd boots it and cloud-init brings the engine"""
        self.tree, self.folder, self.began = tree, folder, time.time()
        with alone():
            made, _ = disk(), seed and boot_tree()
        self.engine = Engine(folder, made, booting=seed is not None)
        if seed:
            seed(self.engine)
        self.helpers: list[subprocess.Popen] = []
        self.engine.boot()
        self.serve_aws()
        self.meter = Meter(self.engine.group)
        if not seed:
            self.meter.begin(self.engine)
        self.settings = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{MOTO}", "AWS_ACCESS_KEY_ID": "stage",
                         "AWS_SECRET_ACCESS_KEY": "stage", "AWS_DEFAULT_REGION": "us-east-1"}
        self.run, self.path = self.engine.run, self.engine.path

    def close(self) -> None:
        """End the host and all that belongs to it"""
        self.meter.ended.set()
        self.end_helpers()
        self.engine.power_cut()
        shutil.rmtree(self.folder / "root", ignore_errors=True)

    def end_helpers(self) -> None:
        """End what stands in for AWS and for the webhook's other end"""
        for each in self.helpers:
            each.kill()
            each.wait()
        self.helpers.clear()

    def serve_aws(self) -> None:
        """The Parameter Store and S3 (moto), and the webhook; both on the host's own address"""
        log = open(self.folder / "helpers.log", "ab")
        for command in ([sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(MOTO)],
                        [sys.executable, str(HERE / "sink.py"), str(SINK), str(self.folder / "alerts")]):
            self.helpers.append(subprocess.Popen([*ENDS_WITH_ME, *self.engine.beside(*command)], stdout=log,
                                                 stderr=log, stdin=subprocess.DEVNULL))

    def parameters(self) -> dict[str, str]:
        """All that the Parameter Store holds"""
        return json.loads(self.beside(
            "import boto3, json\npages = boto3.client('ssm').get_paginator('get_parameters_by_path').paginate("
            "Path='/pretamane/production/', WithDecryption=True)\nprint(json.dumps({each['Name'].rpartition('/')[2]: "
            "each['Value'] for page in pages for each in page['Parameters']}))"))

    def boot_again(self, parameters: dict[str, str]) -> str:
        """After the host's end: the next boot, until the stack's unit has started it. AWS has the parameters that it
        had; the bucket is empty, because what stands in for AWS was on the host's network and ended with it"""
        self.end_helpers()
        self.engine.boot()
        self.serve_aws()
        self.provide(parameters)
        self.meter.begin(self.engine)
        self.secrets()
        return self.up()

    def aws(self, *arguments: str) -> str:
        """The host's AWS command line"""
        return self.run("aws", *arguments, **self.settings).stdout

    def beside(self, code: str) -> str:
        """What a piece of Python prints, with this machine's packages, in the host's network"""
        return subprocess.run(self.engine.beside(sys.executable, "-c", code), check=True, text=True,
                              stdout=subprocess.PIPE, env=os.environ | self.settings).stdout

    def on_host(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        """A command with the host's settings"""
        return self.run(*arguments, check=check, **self.settings, **environment)

    # A release

    def bundle(self, tree: Path | None = None, name: str = "bundle", **environment: str) -> tuple[str, str]:
        """Pack a tree with its own script, as Terraform's user does; the archive on the host, and its SHA-256"""
        target = self.engine.shared / f"{name}.tar.gz"
        done = subprocess.run(["bash", str((tree or self.tree) / "scripts/bundle.sh"), str(target)],
                              capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", **environment})
        assert done.returncode == 0, done.stderr
        return f"/outside/{target.name}", sha256(target.read_bytes()).hexdigest()

    def install(self) -> str:
        """First boot: what user-data does before it starts the bootstrap, and the bootstrap's step for secrets"""
        bundle, total = self.bundle()
        release = f"/opt/pretamane/releases/{total}"
        self.run("sh", "-c", f"umask 022; mkdir -p {release} /etc/pretamane && tar --extract --gzip --no-same-owner "
                 f"--file {bundle} --directory {release}"
                             f" && ln -sfn releases/{total} /opt/pretamane/current"
                             " && printf "
                 "'ENVIRONMENT=production\\nREGION=us-east-1\\nBUCKET=backups\\nDATA_VOLUME_ID=vol-1\\n' "
                 ">/etc/pretamane/host.conf")
        self.provide(PROVIDED)
        self.secrets()
        return total

    def provide(self, parameters: dict[str, str]) -> None:
        """A bucket, and values in the Parameter Store"""
        self.engine.wait_until(lambda: self.run("curl", "-sf", f"http://127.0.0.1:{MOTO}/moto-api/",
                                                check=False).returncode == 0, 60, "moto")
        self.beside("import boto3\nboto3.client('s3').create_bucket(Bucket='backups')\n"
                    f"for name, value in {parameters!r}.items(): boto3.client('ssm').put_parameter("
                    "Type='SecureString', Name='/pretamane/production/' + name, Value=value)")

    def secrets(self) -> None:
        """What pretamane-secrets.service runs"""
        self.on_host("bash", "/opt/pretamane/current/bootstrap/bootstrap.sh", "secrets")

    def unit(self, line: str = "ExecStart") -> subprocess.CompletedProcess:
        """A command of the stack's unit, with its environment"""
        text = self.path("/opt/pretamane/current/systemd/pretamane.service").read_text()
        settings = dict(each.split("=", 1) for each in re.findall(r"^Environment=(.*)$", text, re.MULTILINE))
        recorded = self.path("/var/lib/pretamane/state/compose.env")
        if recorded.exists():
            settings |= dict(each.split("=", 1) for each in recorded.read_text().split())
        found = re.findall(f"^{line}Pre=(.*)$", text, re.MULTILINE) + re.findall(f"^{line}=(.*)$", text, re.MULTILINE)
        for each in found[:-1]:
            self.run(*each.split())
        return self.run(*found[-1].split(), check=False, **settings)

    def up(self) -> str:
        """Start the stack as the unit does; what compose said"""
        done = self.unit()
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}\n{self.states()}"
        return done.stdout + done.stderr

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """docker compose with the release's file, all profiles"""
        folder = "/opt/pretamane/current/compose"
        return self.run("docker", "compose", "--project-name", "pretamane", "--project-directory", folder, "--file",
                        f"{folder}/compose.yaml", "--profile", "*", *arguments, check=check)

    def script(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """A script of the current release"""
        return self.engine.follow(f"/opt/pretamane/current/scripts/{name}", *arguments, **self.settings, **environment)

    # What is so

    def containers(self) -> dict[str, dict]:
        """What the engine says of each service's container"""
        ids = self.run("docker", "ps", "--all", "--quiet", "--filter",
                       "label=com.docker.compose.project=pretamane", "--filter",
                       "label=com.docker.compose.oneoff=False").stdout.split()
        found = json.loads(self.run("docker", "inspect", *ids).stdout) if ids else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def well(self) -> set[str]:
        """Services that are healthy"""
        return {*self.run("docker", "ps", "--filter", "label=com.docker.compose.project=pretamane", "--filter",
                          "health=healthy", "--format", '{{.Label "com.docker.compose.service"}}').stdout.split()}

    def states(self) -> dict[str, str]:
        """State and health by service"""
        return {name: f"{each['State']['Status']} {each['State'].get('Health', {}).get('Status', 'unchecked')}"
                for name, each in self.containers().items()}

    def address(self, service: str, network: str) -> str:
        """A container's address in a network"""
        return self.containers()[service]["NetworkSettings"]["Networks"][f"pretamane_{network}"]["IPAddress"]

    def secret(self, name: str) -> str:
        """A secret's value, as the host keeps it"""
        return self.path(f"/var/lib/pretamane/secrets/{name}").read_text()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict]:
        """A user's request, from where the tunnel would send it"""
        code = ("import http.client, json, sys\nmethod, host, path, headers = json.loads(sys.argv[1])\n"
                "c = http.client.HTTPConnection(host, 8080, timeout=30)\n"
                "c.request(method, path, body=sys.stdin.buffer.read() or None, headers=headers)\n"
                "a = c.getresponse(); sys.stdout.write(json.dumps([a.status, a.read().decode()]))")
        headers = {"Host": DOMAIN, "X-API-Key": self.secret("api_key")} | {key.replace("_", "-"): value
                                                                           for key, value in headers.items()}
        done = subprocess.run(self.engine.beside(sys.executable, "-c", code,
                                                 json.dumps([method, self.address("caddy", "edge"), path, headers])),
                              input=body or b"", capture_output=True, check=True)
        status, text = json.loads(done.stdout)
        return status, json.loads(text) if text.startswith(("{", "[")) else {"text": text}

    def prometheus(self, path: str) -> dict:
        """The API of Prometheus"""
        address = self.address("prometheus", "obs")
        return json.loads(self.run("curl", "-sfg", f"http://{address}:9090/prometheus/api/v1/{path}").stdout)["data"]

    def ask(self, container: str, query: str) -> list[dict]:
        """What a Prometheus of the host, by the name of its container, says to a query now"""
        found = json.loads(self.run("docker", "inspect", container).stdout)[0]["NetworkSettings"]["Networks"]
        place = f"http://{found['pretamane_obs']['IPAddress']}:9090/prometheus/api/v1/query"
        said = self.run("curl", "-sf", "--data-urlencode", f"query={query}", "--get", place).stdout
        return json.loads(said)["data"]["result"]

    def matched(self, selectors: set[str]) -> set[str]:
        """Those selectors of which the stack's Prometheus has had a series since the host's start"""
        place = f"http://{self.address('prometheus', 'obs')}:9090/prometheus/api/v1/series?"
        return {*json.loads(self.beside(
            "import json\nfrom urllib.parse import urlencode\nfrom urllib.request import urlopen\n"
            f"ask = lambda each: json.load(urlopen({place!r} + urlencode({{'match[]': each, 'limit': 1, "
            f"'start': {int(self.began)}}})))\n"
            f"print(json.dumps([each for each in {sorted(selectors)!r} if ask(each)['data']]))"))}

    def versions(self) -> dict[str, str]:
        """Which real programs run, by repository"""
        found = {}
        for each in self.containers().values():
            name = images.repository(each["Config"]["Image"])
            if name in VERSIONS and each["State"]["Running"]:
                done = self.run("docker", "exec", each["Id"], *VERSIONS[name], check=False)
                found[name] = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)[0]
        return found

    def alerts(self) -> list[dict]:
        """What came to the webhook, one entry for each alert in each message"""
        file = self.folder / "alerts"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def settle(stage: Stage, names, seconds: float = 90) -> None:
    """Until all are healthy"""
    deadline = time.monotonic() + seconds * patience()
    while missing := {*names} - stage.well():
        assert time.monotonic() < deadline, (missing, stage.states())
        time.sleep(0.5)


class Clients:
    """Clients of the public side, in a process of their own that sees the host's network"""

    def __init__(self, stage: Stage, number: int = 12, pause: float = 0.2) -> None:
        """Nothing runs yet"""
        self.stage, self.number, self.pause = stage, number, pause
        self.good, self.bad, self.longest, self.written = 0, [], 0.0, []

    def __enter__(self) -> Clients:
        """Start all"""
        stage = self.stage
        words = [str(HERE / "load.py"), stage.address("caddy", "edge"), DOMAIN, str(self.number), str(self.pause),
                 stage.secret("api_key")]
        self.process = subprocess.Popen([*ENDS_WITH_ME, *stage.engine.beside(sys.executable, *words)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        self.busy = Busy(stage.meter)
        return self

    def __exit__(self, *_) -> None:
        """End all, and count"""
        said, _ = self.process.communicate("end\n", timeout=90 * patience())
        found = json.loads(said)
        self.busy.end(found["good"])
        self.good, self.bad, self.longest = found["good"], found["bad"], found["longest"]
        self.written = found["written"]  # ids of contacts that were answered with 201

    def told(self) -> str:
        """In one line"""
        return f"{self.good} answered, {len(self.bad)} failed, longest {self.longest:.2f} s: {self.bad[:5]}"
