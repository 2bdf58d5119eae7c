"""A host of its own for the stage: a Debian tree with a container engine in its own namespaces, the stand-ins loaded.

Nothing is shared with an engine that may run on this machine: file system, network, processes and names are others, and
all ends with the host's first process. Tree and images are made once and kept in the user's cache, under the hash of
what they are made from.
"""
from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import IO

import images

HERE, ROOT = images.HERE, images.ROOT
CACHE = Path(os.environ.get("PRETAMANE_E2E_CACHE", Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
                            / "pretamane-e2e"))
KEPT = 7 * 86400  # seconds since its last use for which something is kept that was made for another state of the files
PACKAGES = ("docker.io", "docker-cli", "containerd", "runc", "iptables", "iproute2", "jq", "restic", "apache2-utils",
            "awscli", "e2fsprogs", "gawk", "procps", "curl", "ca-certificates", "python3")
SUITES = ("forky", "trixie")  # the second one for PostgreSQL 17
BOOTING = ("systemd-sysv", "cloud-init", "python3-venv", "gnupg", "dbus")  # beside these, on a host that boots
ENDS_WITH_ME = ("setpriv", "--pdeathsig", "KILL")  # however this process ends, nothing that it began goes on
SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, 2  # of ext4
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def patience() -> float:
    """How many times as long as alone things may take here now: as many as tasks wait for each core"""
    return min(5.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One at a time makes what is kept"""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _kept(target: Path) -> bool:
    """Whether something is there; what has its kind and was not used for long is removed"""
    for other in CACHE.glob(f"{target.name.partition('-')[0]}-*"):
        if other != target and time.time() - other.stat().st_mtime > KEPT:
            shutil.rmtree(other, ignore_errors=True) if other.is_dir() else other.unlink()
    if target.exists():
        os.utime(target)
    return target.exists()


def _hash(parts: list[str]) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def tree() -> Path:
    """The host's file system, made where it is absent"""
    return made_tree("tree", PACKAGES, SUITES)


def boot_tree() -> Path:
    """That of a host that boots with systemd, of the suite whose systemd knows this machine's control groups"""
    return made_tree("boot_tree", (*PACKAGES, *BOOTING), SUITES[1:])


def made_tree(kind: str, packages: tuple[str, ...], suites: tuple[str, ...]) -> Path:
    """A file system of Debian's packages; the script of that name completes it"""
    script = HERE / f"{kind}.sh"
    target = CACHE / f"{kind}-{_hash([script.read_text(), *packages, *suites])}"
    if _kept(target):
        return target
    part = target.with_suffix(f".{os.getpid()}.part")
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("man", "doc", "locale", "info")]
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=Acquire::Check-Valid-Until "false"',
                    *excludes, "--dpkgopt=force-unsafe-io",
                    f"--include={','.join(packages)}", f"--customize-hook=sh {script} \"$1\"", suites[0], str(part),
                    *(f"deb [trusted=yes] {images.mirror()} {suite} main" for suite in suites)], check=True)
    plugins = part / "usr/lib/docker/cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    shutil.copy2(Path(sys.executable).parent / "docker-compose", plugins / "docker-compose")
    part.rename(target)
    return target


def wheels() -> Path:
    """The packages of the emitted application, for its base image"""
    requirements = ROOT / "infra/app/requirements.txt"
    target = CACHE / f"wheels-{_hash([requirements.read_text()])}"
    if not _kept(target):
        part = target.with_suffix(f".{os.getpid()}.part")
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                        "--require-hashes", "--only-binary=:all:", "--no-deps",
                        "--python-version", "3.12", "--requirement", str(requirements), "--dest", str(part)],
                       check=True, capture_output=True)
        part.rename(target)
    return target


def remove_groups(pattern: str) -> None:
    """Remove the control groups of containers that have ended; one in use cannot be removed"""
    for above in ("", "*/"):
        for place in Path("/sys/fs/cgroup").glob(f"{above}{pattern}"):
            for folder, _, _ in os.walk(place, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


class Engine:
    """The host, its engine, and ways to act on it"""

    def __init__(self, work: Path, disk: Path | None = None, booting: bool = False) -> None:
        """`work` takes what the host writes; `disk` is a data disk to begin with; whether systemd is to boot it"""
        self.work, self.shared, self.booting = work, work / "shared", booting
        self.steps: list[tuple[str, float]] = []  # what a script was at, seconds
        self.shared.mkdir(parents=True)
        if disk:
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(disk), str(work / "data.img")], check=True)
        self.group = f"e2e-{os.getpid()}-{work.name}"  # of its containers, apart from those of another engine
        (self.shared / "group").write_text(self.group)
        for pid in {each.name.split("-")[1] for each in Path("/sys/fs/cgroup").glob("*/e2e-*")}:
            if not Path(f"/proc/{pid}").exists():
                remove_groups(f"e2e-{pid}-*")  # of a stage that was killed
        if not booting:
            configuration = work / "upper/etc/docker"
            configuration.mkdir(parents=True)
            shutil.copy(ROOT / "infra/bootstrap/daemon.json", configuration)

    def boot(self) -> None:
        """Start the host's first process; on another call after `power_cut` this is the next boot"""
        (self.shared / "ready").unlink(missing_ok=True)
        of_its_own = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
                      "--propagation", "private"]
        start = ["bash", str(HERE / "groups.sh"), self.group, *of_its_own, "--cgroup", "bash", str(HERE / "boot.sh"),
                 str(boot_tree())] if self.booting else [*of_its_own, "bash", str(HERE / "host.sh"), str(tree())]
        self.parent = subprocess.Popen(
            [*ENDS_WITH_ME, *start, str(self.work)], stdout=open(self.work / "host.log", "ab"),
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            env={"PATH": PATH, "LANG": "C.UTF-8"})  # nothing of this session, such as a TMPDIR that is not there
        self.wait_until(lambda: (self.shared / "ready").exists(), 30, "the host")
        self.first = int(Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text().split()[0])
        if not self.booting:
            self.wait_for_engine()

    def wait_for_engine(self) -> None:
        """Until `docker info` answers"""
        self.wait_until(lambda: self.run("docker", "info", check=False).returncode == 0, 60, "the engine")

    def wait_until(self, condition, seconds: float, what: str) -> None:
        """Wait for a condition"""
        deadline = time.monotonic() + seconds * patience()
        while not condition():
            log = self.work / "host.log"
            assert time.monotonic() < deadline, (f"{what}: not within {seconds} s\n"
                                                 f"{log.read_text()[-3000:] if log.exists() else ''}")
            time.sleep(0.1)

    def forget(self) -> None:
        """What the power's end does to the data disk: from now on it takes nothing, and what had not been brought to it
        yet, of files and of the file system's own journal, is gone (EXT4_IOC_SHUTDOWN without a flush)"""
        folder = os.open(self.path("/data"), os.O_RDONLY)
        fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        os.close(folder)

    def power_cut(self) -> None:
        """Everything on the host ends at once, and its disk has been left"""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.first, signal.SIGKILL)
        self.parent.wait()
        remove_groups(self.group)
        self.wait_until(lambda: not self.devices(), 30, "the data disk left")

    def devices(self) -> list[str]:
        """Loop devices of the data disk; what no host uses any more is told to go"""
        said = subprocess.run(["losetup", "--noheadings", "--output", "NAME", "--associated",
                               str(self.work / "data.img")], capture_output=True, text=True, check=False).stdout
        found = said.split()
        for each in found:
            subprocess.run(["losetup", "--detach", each], capture_output=True, check=False)
        return found

    def command(self, *arguments: str, **environment: str) -> list[str]:
        """A command line that runs in all of the host's namespaces, with no environment but this"""
        settings = [f"{key}={value}"
                    for key, value in ({"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"} | environment).items()]
        return ["nsenter", f"--target={self.first}", "--mount", "--net", "--pid", "--ipc", "--uts", "--root", "env",
                "-i", "--chdir=/", *settings, *arguments]

    def run(self, *arguments: str, check: bool = True, timeout: float = 600, stdin: bytes | None = None,
            **environment: str) -> subprocess.CompletedProcess:
        """Run a command on the host to its end"""
        done = subprocess.run(self.command(*arguments, **environment), capture_output=True,
                              timeout=timeout, check=False,
                              **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        done.stdout, done.stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert not check or done.returncode == 0, (f"{arguments}: exit code {done.returncode}\n{done.stdout[-3000:]}\n"
                                                   f"{done.stderr[-6000:]}")
        return done

    def follow(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run a script to its end, and keep how long each of its steps took, in `self.steps`"""
        with tempfile.TemporaryFile() as out:
            begun = subprocess.Popen(self.command(*arguments, **environment), stdout=out, stderr=subprocess.PIPE,
                                     text=True, errors="replace", stdin=subprocess.DEVNULL)
            said = "".join(self.lines(begun, begun.stderr))
            out.seek(0)
            return subprocess.CompletedProcess(arguments, begun.returncode, out.read().decode(errors="replace"), said)

    def lines(self, begun: subprocess.Popen, stream: IO[str]) -> Iterator[str]:
        """What a script says, line by line, until it has ended; what its steps took is kept"""
        at, what = time.monotonic(), "start"
        for line in chain(stream, [""]):
            found = re.match(r"([\w.-]+: )step ([\w ]+)$", line)
            if found or not line:
                self.steps.append((what, time.monotonic() - at))
            if found:
                at, what = time.monotonic(), found[1] + found[2]
            yield line
        begun.wait()

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Start a command on the host, in a process group of its own"""
        return subprocess.Popen(self.command(*arguments, **environment), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, start_new_session=True)

    def beside(self, *arguments: str) -> list[str]:
        """A command line of this machine's programs that sees the host's network"""
        return ["nsenter", f"--net=/proc/{self.first}/ns/net", *arguments]

    def path(self, place: str) -> Path:
        """A file of the host, as seen from outside"""
        return Path(f"/proc/{self.first}/root") / place.lstrip("/")


def pinned() -> list[str]:
    """The images that the committed tree starts, and the base of the application's"""
    compose = images.yaml.safe_load((ROOT / "infra/compose/compose.yaml").read_text())
    found = {each["image"] for each in compose["services"].values() if "build" not in each}
    found |= set(re.findall(r"^FROM (\S+)", (ROOT / "infra/app/Dockerfile").read_text(), re.MULTILINE))
    return sorted(each for each in found if images.repository(each) in images.contracts())


def build(engine: Engine) -> None:
    """Build the application's image from the emitted files, then take its name away: whoever needs the image builds it
    again, and finds the layers of its packages"""
    for each in ("app", "compose"):
        shutil.copytree(ROOT / "infra" / each, engine.shared / each)
    compose = ("docker", "compose", "--project-name", "pretamane", "--file", "/outside/compose/compose.yaml")
    engine.run(*compose, "--profile", "*", "build", "fastapi-app-blue")
    services = images.yaml.safe_load((ROOT / "infra/compose/compose.yaml").read_text())["services"]
    engine.run("docker", "image", "rm", "--no-prune", services["fastapi-app-blue"]["image"])


def disk() -> Path:
    """A data disk on which the engine has all stand-ins, and in its cache the layers that the emitted Dockerfile makes;
    like the host's tree and the wheels made where it is absent"""
    with ThreadPoolExecutor(1) as pool:
        fetched = pool.submit(wheels)
        files = (*images.inputs(), HERE / "host.sh", HERE / "places.sh", ROOT / "infra/app/Dockerfile")
        parts = [file.read_text() for file in files] + [tree().name, *pinned()]
        fetched.result()
    target = CACHE / f"disk-{_hash(parts)}.img"
    if _kept(target):
        return target
    work = CACHE / f"work-{os.getpid()}"
    engine = Engine(work)
    try:
        engine.boot()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda image: engine.run(
                "docker", "import", *images.configuration(image), "-", image,
                stdin=images.archive_of(image, tree(), wheels())), pinned()))
        build(engine)
        engine.run("sh", "-c", "kill $(cat /outside/dockerd.pid); sleep 1; sync")
    finally:
        engine.power_cut()
    (work / "data.img").rename(target)
    shutil.rmtree(work, ignore_errors=True)
    return target
