"""A host for the bootstrap: a folder that stands for its root, stand-ins for what needs a real machine, the real AWS
CLI.

Stand-ins: apt-get, dpkg-query, pip, curl, gpg, blkid, mkfs.ext4, mount, mountpoint, findmnt, resize2fs, systemctl,
docker
(and chown, unless root). Each keeps a little state, so that a second run sees what the first did. Real: bash,
awscli, jq,
htpasswd, flock and all else. `mv` and `aws` are the real ones behind a shim that counts, so that a test can kill the
host
before or after any call.
"""
from __future__ import annotations

import atexit
import functools
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aws_cli import CLIENT
from needed import program, programs

from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example

TESTS = Path(__file__).parent
BIN = Path(sys.executable).parent
VOLUME = "vol-0123456789abcdef0"
SHIM = r"""#!/bin/bash
name="${0##*/}"
printf '%s\n' "$name $*" >>"$STUBS/calls"
printf . >>"$STUBS/count"
n="$(stat -c %s "$STUBS/count")"
disk="$STUBS/disk" installed="$STUBS/installed" code=0
case "$name" in
    aws | mv | chown) "$STUBS/real/$name" "$@" || code=$? ;;
    htpasswd) "$STUBS/real/$name" "${@/#12/4}" || code=$? ;; # a cost of 4 for speed
    apt-get)
        if [[ " $* " == *" install "* ]]; then
            for each in "$@"; do
                case "$each" in -* | *::* | install) ;; *) printf '%s %s\n' "${each%%=*}" "$([[ "$each" == *=* ]] && printf '%s' "${each#*=}" | tr -d '*' || printf 1)1" >>"$installed" ;; esac
            done
        fi ;;
    dpkg-query) for each in "${@:4}"; do sed -n "s/^$each /$each installed /p" "$installed" 2>/dev/null; done ;;
    curl) while (($#)); do [[ "$1" == --output ]] && echo key >"$2"; shift; done ;;
    gpg) echo "fpr:::::::::${GPG_KEY:-9DC858229FC7DD38854AE2D88D81803C0EBFCD88}:" ;;
    blkid) if [[ -n "${BLKID_CODE:-}" ]]; then code="$BLKID_CODE"; elif [[ -s "$disk" ]]; then cat "$disk"; else code=2; fi ;;
    mkfs.ext4) if [[ -s "$disk" ]]; then code=1; else printf 'UUID=%s\nTYPE=ext4\n' "$(cat /proc/sys/kernel/random/uuid)" >"$disk"; fi ;;
    mount) grep -q "^UUID=$(sed -n 's/^UUID=//p' "$disk") /data ext4 " "$PRETAMANE_ROOT/etc/fstab" && : >"$STUBS/mounted" || code=32 ;;
    mountpoint) [[ -e "$STUBS/mounted" ]] || code=1 ;;
    findmnt) sed -n 's/^UUID=//p' "${OTHER_DISK:-$disk}" ;;
    systemctl)
        # As systemd does: the stack's unit wants the secrets, which are this script again, and waits for them.
        if [[ "$*" == "start pretamane.service" && -e "$STUBS/systemd" ]]; then
            "$PRETAMANE_ROOT"/opt/pretamane/releases/*/bootstrap/bootstrap.sh secrets || code=1
        fi ;;
    docker) if [[ -x "$STUBS/docker" ]]; then "$STUBS/docker" "$@" || code=$?; fi ;;
esac
[[ "${KILL_AFTER:-}" == "$n" || -n "${KILL_AFTER_CALL:-}" && "$name $*" == *"${KILL_AFTER_CALL:-}"* ]] && kill -9 0
exit "$code"
"""  # noqa: E501
# A new environment of Python gets a pip that notes what it is told, and fails where the test says so.
PYTHON = """#!/bin/bash
if [[ "$1 $2" != "-m venv" ]]; then exec "$STUBS/real/python3" "$@"; fi
mkdir -p "${@: -1}/bin"
cat >"${@: -1}/bin/pip" <<'END'
#!/bin/bash
printf '%s\\n' "$*" >>"$STUBS/pip"
exit "${PIP_CODE:-0}"
END
chmod 755 "${@: -1}/bin/pip"
"""
STANDINS = ("apt-get", "dpkg-query", "curl", "gpg", "blkid", "mkfs.ext4", "mount", "mountpoint",
            "findmnt", "resize2fs", "systemctl", "docker", "aws", "mv", "htpasswd")
REAL = ("mv", "htpasswd")  # Stand-ins that pass on to the real program


def free_port() -> int:
    """Return a TCP port that nobody uses"""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@functools.cache
def scratch() -> Path:
    """Return a folder for this run's servers"""
    folder = Path(tempfile.mkdtemp(prefix="bootstrap-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def started(command: list[str], **options) -> subprocess.Popen:
    """Start a server that ends with this process"""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
    atexit.register(process.kill)
    return process


@functools.cache
def cli_socket() -> str:
    """Return the socket of the loaded AWS CLI"""
    programs("aws", "jq")
    path = str(scratch() / "aws")
    environment = {"PATH": os.environ["PATH"], "HOME": str(scratch())}
    server = started([sys.executable, str(TESTS / "aws_cli.py"), path], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, env=environment)
    assert server.stdout.readline() == b"ready\n"
    return path


@functools.cache
def moto() -> int:
    """Return the port of a fake AWS"""
    port = free_port()
    started([program("moto_server"), "-p", str(port)], stdout=subprocess.DEVNULL)
    for _ in range(300):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.1)
    raise TimeoutError("moto_server did not start")


class Cloud:
    """moto behind a door that can refuse, wait and remember"""

    def __init__(self) -> None:
        """Open the door on a port of its own"""
        self.faults: dict[str, tuple[int, str]] = {}  # operation -> status, error
        self.requests: list[tuple[str, str]] = []  # operation, parameter
        self.hook = lambda operation, name: None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(cloud) -> type:
        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", self.command).rpartition(".")[2]
                name = json.loads(body).get("Name", "") if "X-Amz-Target" in self.headers and body else self.path
                cloud.requests.append((operation, name.rpartition("/")[2]))
                cloud.hook(operation, name.rpartition("/")[2])
                if operation in cloud.faults:
                    status, error = cloud.faults[operation]
                    return self._send(status, {}, json.dumps({"__type": error, "message": f"{error} it is"}).encode())
                connection = http.client.HTTPConnection("127.0.0.1", moto(), timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                self._send(answer.status, dict(answer.getheaders()), content)

            def _send(self, status: int, headers: dict, content: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "server", "date"):
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else len(content)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET = do_PUT = do_HEAD = _pass

            def log_message(self, *_) -> None:
                pass

        return Door

    def count(self, operation: str) -> int:
        """Return how often an operation was asked for"""
        return sum(each == operation for each, _ in self.requests)


@functools.cache
def client(service: str):
    """Return a boto3 client that goes straight to moto"""
    import boto3

    return boto3.client(service, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{moto()}",
                        aws_access_key_id="x", aws_secret_access_key="x")


def small_stack() -> Stack:
    """Return the parts of the example that have a secret of each kind"""
    data = example().model_dump(exclude_unset=True)
    names = ("caddy", "fastapi-app", "postgresql", "cloudflared")
    data["services"] = {name: data["services"][name] for name in names}
    data["services"]["fastapi-app"] |= {"secrets": ["postgres_password", "api_key"],
                                        "depends_on": {"postgresql": "healthy"}}
    data["services"]["postgresql"]["secrets"] = ["postgres_superuser_password", "postgres_password"]
    data["services"]["caddy"]["secrets"], data["services"]["cloudflared"]["secrets"] = ["edge_admin_password_hash"], [
        "tunnel_token"]
    kept = {mount["volume"] for each in data["services"].values() for mount in each.get("mounts", [])}
    data["volumes"] = {name: each for name, each in data["volumes"].items() if name in kept}
    used = ("postgres_superuser_password", "postgres_password", "api_key", "edge_admin_password",
            "edge_admin_password_hash", "tunnel_token")
    data["secrets"] = {name: data["secrets"][name] for name in used}
    return Stack.model_validate({key: data[key] for key in ("name", "environment", "services", "volumes", "secrets")})


@functools.cache
def tree() -> dict[str, str]:
    """Return the bootstrap's part of a tree; of the one in MUTANT_TREE where that is set"""
    found = emitted(small_stack(), ["bootstrap"])
    if folder := os.environ.get("MUTANT_TREE"):
        manifest = "bootstrap/secrets.manifest.json"
        found = {path: text if path == manifest else (Path(folder) / path).read_text()
                 for path, text in found.items() if (Path(folder) / path).is_file()}
    return found


UNITS = {
    "pretamane.service": "[Unit]\nDescription=the stack\n[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\n"
    "WantedBy=multi-user.target\n", "pretamane-backup.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "pretamane-backup.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
}


@dataclass
class Host:
    """One host: its root, what it can run, and the cloud it asks"""
    folder: Path
    cloud: Cloud
    environment: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:8]}")
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the folders"""
        self.root, self.stubs, self.bin = (self.folder / each for each in ("root", "stubs", "bin"))
        if self.root.exists():
            return
        real = dict(zip(REAL, programs(*REAL), strict=True))
        for each in (self.root, self.stubs / "real", self.bin):
            each.mkdir(parents=True)
        names = STANDINS if os.geteuid() == 0 else (*STANDINS, "chown")
        (self.bin / ".shim").write_text(SHIM)
        (self.bin / ".shim").chmod(0o755)
        for name in names:
            (self.bin / name).symlink_to(".shim")
        for name, path in real.items():
            (self.stubs / "real" / name).symlink_to(path)
        (self.stubs / "real" / "chown").symlink_to("/bin/true")
        (self.stubs / "real" / "python3").symlink_to(sys.executable)
        (self.bin / "python3").write_text(PYTHON)
        (self.bin / "python3").chmod(0o755)
        (self.stubs / "real" / "aws").write_text(CLIENT)
        (self.stubs / "real" / "aws").chmod(0o755)
        self.install()

    def install(self) -> None:
        """Put a fresh root disk in: the release, its settings, an operating system"""
        self.release = self.root / "opt/pretamane/releases/0123"
        for path, text in tree().items():
            place = self.release / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            place.chmod(0o755 if text.startswith("#!") else 0o644)
        for name, text in UNITS.items():
            (self.release / "systemd").mkdir(exist_ok=True)
            (self.release / "systemd" / name).write_text(text)
        for path, text in {
            "etc/os-release": "VERSION_CODENAME=noble\n",
            "etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
            "etc/pretamane/host.conf": f"ENVIRONMENT={self.environment}\nREGION=us-east-1\nDATA_VOLUME_ID={VOLUME}\n",
        }.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        self.attach()

    def attach(self) -> None:
        """Attach the data volume"""
        place = self.root / "dev/disk/by-id" / f"nvme-Amazon_Elastic_Block_Store_{VOLUME.replace('-', '')}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        os.truncate(place, 2**20)  # zeros, as a new volume reads

    def reboot(self) -> None:
        """What is in memory goes, the data disk is mounted again as fstab says"""
        shutil.rmtree(self.root / "run", ignore_errors=True)

    def copy(self, folder: Path, cloud: Cloud) -> Host:
        """The same host once more, with parameters of its own"""
        subprocess.run(["cp", "-a", self.folder, folder], check=True)
        other = Host(folder, cloud)
        other.release = other.root / self.release.relative_to(self.root)
        for each in ("root/etc/pretamane/host.conf", "stubs/calls"):
            place = folder / each
            place.write_text(place.read_text().replace(self.environment, other.environment))
        for each in (other.root / "usr/local/bin").glob("*"):
            if each.is_symlink() and (old := os.readlink(each)).startswith(str(self.root)):
                each.unlink()
                each.symlink_to(old.replace(str(self.root), str(other.root), 1))
        for name, value in self.stored().items():
            other.give(name, value)
        return other

    def replace(self, new_data_disk: bool = False) -> None:
        """A new instance: another root disk, the same data disk unless told otherwise"""
        (self.stubs / "mounted").unlink(missing_ok=True)
        (self.stubs / "installed").unlink(missing_ok=True)
        keep = self.root / "data"
        for each in self.root.iterdir():
            if each != keep or new_data_disk:
                shutil.rmtree(each)
        if new_data_disk:
            (self.stubs / "disk").unlink(missing_ok=True)
        self.install()

    def variables(self, **extra: str) -> dict[str, str]:
        """The environment of a program on the host: no HOME, as under cloud-init"""
        return {
            "PATH": f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin", "PRETAMANE_ROOT": str(self.root),
            "STUBS": str(self.stubs),
            "AWS_CLI_SOCKET": cli_socket(), "AWS_ENDPOINT_URL": self.cloud.url, "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
            "RETRY_BASE": "0.001",
            "RETRY_ATTEMPTS": "3", "DISK_ATTEMPTS": "3", "LOCK_SECONDS": os.environ.get("LOCK_SECONDS", "30"),
            **self.extra, **extra,
        }

    def start(self, script: str, *arguments: str, shell: tuple[str, ...] = ("bash",), **extra: str) -> subprocess.Popen:
        """Start a script of the release in a process group of its own"""
        (self.stubs / "count").unlink(missing_ok=True)
        path = script if script.startswith("/") else str(self.release / script)
        return subprocess.Popen([*shell, path, *arguments], cwd="/", env=self.variables(**extra), text=True,
                                start_new_session=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, script: str = "bootstrap/bootstrap.sh", *arguments: str, given: str = "",
            **extra: str) -> subprocess.CompletedProcess:
        """Run a script of the release and return its exit code and all that it said"""
        process = self.start(script, *arguments, **extra)
        try:
            said, _ = process.communicate(given, timeout=180)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            raise AssertionError(f"{script} hangs:\n{said}") from None
        return subprocess.CompletedProcess(process.args, process.returncode, said, "")

    def boot(self, **extra: str) -> subprocess.CompletedProcess:
        """Run the whole bootstrap, which must succeed"""
        done = self.run(**extra)
        assert done.returncode == 0, done.stdout
        return done

    def give(self, name: str, value: str, overwrite: bool = False) -> None:
        """Store a parameter, as a person does"""
        client("ssm").put_parameter(Name=f"/pretamane/{self.environment}/{name}", Value=value, Type="SecureString",
                                    Overwrite=overwrite)

    def stored(self) -> dict[str, str]:
        """The secrets in the Parameter Store"""
        pages = client("ssm").get_paginator("get_parameters_by_path").paginate(
            Path=f"/pretamane/{self.environment}", WithDecryption=True)
        return {each["Name"].rpartition("/")[2]: each["Value"] for page in pages for each in page["Parameters"]}

    def forget(self) -> None:
        """Wipe the Parameter Store"""
        if names := [f"/pretamane/{self.environment}/{name}" for name in self.stored()]:
            client("ssm").delete_parameters(Names=names)

    def delivered(self) -> dict[str, str]:
        """The files that containers read, by place"""
        folder = self.root / "run/pretamane/secrets"
        return {str(each.relative_to(folder)): each.read_text() for each in sorted(folder.rglob("*")) if each.is_file()}

    def calls(self, name: str) -> list[str]:
        """The calls of a stand-in since the host was made"""
        file = self.stubs / "calls"
        return [line for line in (file.read_text().splitlines() if file.exists() else []) if line.split(" ")[0] == name]

    def state(self) -> dict[str, tuple]:
        """Content, mode and time of every file under the root"""
        return {str(each.relative_to(self.root)): (each.stat().st_mtime_ns, each.stat().st_mode,
                                                   hashlib.sha256(each.read_bytes()).hexdigest())
                for each in self.root.rglob("*") if each.is_file()}


@pytest.fixture
def cloud():
    """A fake AWS"""
    found = Cloud()
    yield found
    found.server.shutdown()


TOKEN = "eyJ-of-a-test/with+signs="


@pytest.fixture
def host(tmp_path, cloud):
    """A host that has never been booted, and the tunnel's token in the Parameter Store"""
    found = Host(tmp_path / "one", cloud)
    found.give("tunnel_token", TOKEN)
    return found


@functools.cache
def first_boot() -> Host:
    """A host that has been booted once, to be copied"""
    found = Host(scratch() / "booted", Cloud())
    found.give("tunnel_token", TOKEN)
    (found.stubs / "systemd").touch()
    found.boot()
    (found.stubs / "systemd").unlink()
    return found


@pytest.fixture
def booted(tmp_path, cloud):
    """A host after its first boot"""
    return first_boot().copy(tmp_path / "booted", cloud)
