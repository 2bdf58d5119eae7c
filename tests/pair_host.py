"""Two hosts of a pair on this machine: the emitted scripts, real PostgreSQL, terms in moto's S3, a wire to cut."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from functools import cache
from hashlib import sha256
from pathlib import Path

import psycopg
import yaml
from aws_cli import CLIENT
from bootstrap_host import cli_socket, client, moto
from forked import client as client_of
from postgres_server import find_binaries

from pretamane_analysis.emit.tree import LOCK, OF_PAIR, emitted
from pretamane_analysis.stack.stack import example

HERE = Path(__file__).resolve().parent
BUCKET = "pretamane-production-backup-123456789012"
OF_TEST = {"fsync": "off", "shared_buffers": "16MB", "autovacuum": "off"}


@cache
def tree() -> dict[str, str]:
    """What the example emits for a pair"""
    return emitted(example(), None, OF_PAIR)


class Wire:
    """What leads from one host to the database of the other one, until it is cut"""

    def __init__(self, here: tuple[str, int], there: tuple[str, int]) -> None:
        """Listen here and pass on to there"""
        self.there, self.open, self.ends = there, True, []
        self.server = socket.create_server(here)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self.server.accept()
                if not self.open:
                    one.close()
                    continue
                other = socket.create_connection(self.there, 2)
                other.settimeout(None)
            except OSError:
                if self.server.fileno() < 0:
                    return
                one.close()
                continue
            self.ends += [one, other]
            for source, target in ((one, other), (other, one)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self) -> None:
        """From now on nothing passes"""
        self.open = False
        for each in self.ends:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.ends.clear()

    def mend(self) -> None:
        """New connections pass again"""
        self.open = True

    def close(self) -> None:
        """The end"""
        self.cut()
        self.server.close()


class PairHost:
    """One of the two: `a` or `b`"""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        """Make its places; nothing runs"""
        self.folder, self.name, self.port = folder, name, port
        number = {"a": 1, "b": 2}
        self.peer = {"a": "b", "b": "a"}[name]
        self.address, wire = f"127.0.21.{number[name]}", f"127.0.21.{10 + number[self.peer]}"
        self.wire = Wire((wire, port), (f"127.0.21.{number[self.peer]}", port))
        self.release, self.engine = folder / "opt" / "releases" / ("f" * 64), folder / "engine"
        self.secrets = folder / "secrets"
        self._install()
        self._engine()
        (folder / "host.conf").write_text(
            f"ENVIRONMENT=production\nREGION=us-east-1\nBUCKET={BUCKET}\nPAIR_HOST={name}\n"
            f"PAIR_PEER={self.peer}\nPAIR_ADDRESS={self.address}\nPAIR_PEER_ADDRESS={wire}\n"
        )
        self.state = folder / "state"
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "ROOT_DIR": str(folder / "opt"),
            "DATA_DIR": str(folder),
            "STATE_DIR": str(self.state),
            "METRICS_DIR": str(folder / "metrics"),
            "SECRETS_DIR": str(self.secrets),
            "HOST_FILE": str(folder / "host.conf"),
            "DATA_ON_ROOT_DISK": "yes",
            "PAIR_ENGINE_SOCKET": str(self.engine / "socket"),
            "PAIR_PORT": str(port),
            "SETTLE_SECONDS": "0.2",
            "POLL": "0.1",
            "PEER_SECONDS": "10",
            "FENCE_SECONDS": "1",
            "ALONE_SECONDS": "0",
            "AWS_CLI_SOCKET": cli_socket(),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{moto()}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "REPOSITORY_SECONDS": "60",
        }

    def _install(self) -> None:
        for path, text in tree().items():
            if path.partition("/")[0] in ("scripts", "compose", "replication", "stack.lock.json"):
                place = self.release / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
                place.chmod(0o755 if text.startswith("#!") else 0o644)
        hashes = {str(path.relative_to(self.release)): sha256(path.read_bytes()).hexdigest()
                  for path in self.release.rglob("*") if path.is_file() and path.name != LOCK}
        (self.release / LOCK).write_text(json.dumps({"model": "", "files": hashes}))
        (self.folder / "opt" / "current").symlink_to(self.release)
        values = {
            "postgresql/postgres_replication_password": "of: the\\standby",
            "host/restic_password": "of the test",
        }
        for name in ("postgres_superuser_password", "postgres_password", "postgres_monitoring_password"):
            values[f"postgresql/{name}"] = name
        for name, value in values.items():
            (self.secrets / name).parent.mkdir(parents=True, exist_ok=True)
            (self.secrets / name).write_text(value)

    def _engine(self) -> None:
        database = yaml.safe_load(tree()["compose/compose.yaml"])["services"]["postgresql"]
        user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
        archive = self.engine / "volumes" / "pretamane_postgresql-archive"
        for each in (self.engine, self.engine / "data", self.engine / "sockets", self.folder / "bin", archive):
            each.mkdir(parents=True)
        if user is not None:
            for each in (self.engine, self.engine / "data", self.engine / "sockets", archive):
                os.chown(each, user, user)
        (self.engine / "data").chmod(0o700)
        archive.chmod(0o777)  # the scripts give it to the user of the image, who is another one here
        (self.engine / "engine.json").write_text(
            json.dumps(
                {
                    "database": "postgresql",
                    "user": user,
                    "port": self.port,
                    "binaries": str(find_binaries()),
                    "command": database["command"],
                    "secrets": f"{self.secrets}/postgresql/",
                    "replication": f"{self.release}/replication/",
                    "archive": str(archive),
                    "others": ["caddy", "fastapi-app-blue", "meilisearch"],
                    "settings": {
                        **OF_TEST,
                        "port": self.port,
                        "listen_addresses": self.address,
                        "unix_socket_directories": str(self.engine / "sockets"),
                    },
                }
            )
        )
        self.server = subprocess.Popen([sys.executable, HERE / "pair_engine.py", self.engine / "socket"],
                                       env={"PAIR_ENGINE": str(self.engine)}, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        assert self.server.stdout.readline() == b"ready\n"
        for name, text in (("docker", client_of("PAIR_ENGINE_SOCKET")), ("aws", CLIENT)):
            (self.folder / "bin" / name).write_text(text)
            (self.folder / "bin" / name).chmod(0o755)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """Run an emitted script to its end"""
        return subprocess.run(
            [self.release / "scripts" / words[0], *words[1:]],
            capture_output=True,
            text=True,
            timeout=90,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def must(self, *words: str, **environment: str) -> str:
        """Run an emitted script, which must succeed; what it said"""
        done = self.run(*words, **environment)
        assert done.returncode == 0, f"{self.name}: {words}\n{done.stdout}\n{done.stderr}\n{self.log()[-1500:]}"
        return done.stdout + done.stderr

    def refused(self, *words: str, **environment: str) -> str:
        """Run an emitted script, which must refuse; what it said"""
        done = self.run(*words, **environment)
        assert done.returncode, f"{self.name}: {words}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def log(self) -> str:
        """What the server said"""
        return (self.engine / "log").read_text() if (self.engine / "log").exists() else ""

    def connect(self, **options) -> psycopg.Connection:
        """A session of the superuser, as a container of this host has it"""
        return psycopg.connect(
            host=str(self.engine / "sockets"), port=self.port, user="postgres", autocommit=True, **options
        )

    def sql(self, text: str) -> list[tuple]:
        """The rows of a query"""
        with self.connect() as session:
            found = session.execute(text)
            return found.fetchall() if found.description else []

    def streams(self) -> bool:
        """Whether this one's standby is fed"""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if self.sql("select 1 from pg_stat_wal_receiver where status = 'streaming'"):
                return True
            time.sleep(0.05)
        return False

    def pid(self) -> int:
        """The server's process; 0 where none runs"""
        try:
            pid = int((self.engine / "data" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, 0)
            return pid
        except (OSError, ValueError):
            return 0

    def crash(self) -> None:
        """The machine is gone: every process of the server at once, without a word"""
        if pid := self.pid():
            os.killpg(pid, signal.SIGKILL)
            end = time.monotonic() + 30  # one that nobody has waited for yet still counts as running for PostgreSQL
            while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                time.sleep(0.01)
        (self.engine / "others").write_text("")

    def close(self) -> None:
        """End it"""
        self.crash()
        self.wire.close()
        self.server.kill()
        self.server.wait()


SESSION_MANAGER = """import json, os, subprocess, sys
words, hosts = sys.argv[1:], json.load(open(os.environ["PAIR_HOSTS"]))
host = hosts[words[words.index("--instance-id" if "--instance-id" in words else "--instance-ids") + 1]]
if words[1] == "send-command":
    line = json.loads(words[words.index("--parameters") + 1])["commands"][0].split()
    script = line[0].replace("/opt/pretamane/", host["environment"]["ROOT_DIR"] + "/")
    done = subprocess.run([script, *line[1:]], env=host["environment"], capture_output=True, text=True)
    open(host["answer"], "w").write(json.dumps([done.returncode, done.stdout + done.stderr]))
    print("command")
else:
    code, said = json.load(open(host["answer"]))
    print(("Success" if code == 0 else "Failed") if "Status" in words else said)
"""  # A stand-in: it runs at once what Session Manager would run on the instance.


def roll(pair: tuple[PairHost, PairHost], *words: str) -> subprocess.CompletedProcess:
    """`roll.sh` on the machine of whoever deploys: a bundle of the same tree, by way of the bucket"""
    folder, first = pair[0].folder.parent / "operator", pair[0]
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "bundle.tar.gz", "w:gz") as bundle:
        bundle.add(first.release, ".")
    content = (folder / "bundle.tar.gz").read_bytes()
    total = sha256(content).hexdigest()
    client("s3").put_object(Bucket=BUCKET, Key=f"releases/{total}.tar.gz", Body=content)
    (folder / "hosts.json").write_text(json.dumps({f"i-{each.name}": {
        "environment": each.environment | {"MIN_FREE_MIB": "1"}, "answer": str(each.folder / "answer")}
        for each in pair}))
    (folder / "manager.py").write_text(SESSION_MANAGER)
    (folder / "bin" / "aws").write_text(f'#!/bin/sh\nexec {sys.executable} -I {folder}/manager.py "$@"\n')
    (folder / "bin" / "aws").chmod(0o755)
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "POLL": "0.1",
                   "HOSTS": "i-a i-b", "PAIR_HOSTS": str(folder / "hosts.json"), "HOST_FILE": "/dev/null"}
    command = [first.release / "scripts" / "roll.sh", *words, f"s3://{BUCKET}/releases/{total}.tar.gz", total]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False,
                          stdin=subprocess.DEVNULL)


def free_port() -> int:
    """A port that is free on all addresses that the test uses"""
    with socket.socket() as one:
        one.bind(("0.0.0.0", 0))
        return one.getsockname()[1]


def make_pair() -> tuple[PairHost, PairHost]:
    """Two hosts of which none has begun, and an empty bucket"""
    folder = Path(tempfile.mkdtemp(prefix="pair-"))  # pytest closes its own folders to the user of the servers
    folder.chmod(0o755)
    store = client("s3")
    store.create_bucket(Bucket=BUCKET)
    port = free_port()
    return PairHost(folder / "a", "a", port), PairHost(folder / "b", "b", port)


def remove_pair(pair: tuple[PairHost, PairHost]) -> None:
    """End both, and empty the bucket"""
    for each in pair:
        each.close()
    store = client("s3")
    for each in store.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        store.delete_object(Bucket=BUCKET, Key=each["Key"])
    store.delete_bucket(Bucket=BUCKET)
    shutil.rmtree(pair[0].folder.parent, ignore_errors=True)
