"""Stand-ins for the images that the compose file pins, each built to the contract of the public image in
`contracts.yaml`.

An image is one archive: programs with the libraries that they load, busybox under the names of the applets that the
public image has,
folders with the owner and mode that it gives them. Nothing else is in it, so that a command which the public image
lacks is absent here.
"""
from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CAPABILITIES = {"NET_BIND_SERVICE": 10}
SKIPPED_OF_PYTHON = re.compile(r"(^|/)(test|tests|idlelib|tkinter|turtledemo|lib2to3|__pycache__|site-packages|share"
                               r"|include|config-[^/]*)(/|$)|\.a$")


@cache
def contracts() -> dict[str, dict]:
    """Contract by repository"""
    return yaml.safe_load((HERE / "contracts.yaml").read_text())


def repository(image: str) -> str:
    """Repository of an image's name"""
    return image.partition("@")[0].rpartition(":")[0]


def python312() -> Path | None:
    """Prefix of a Python 3.12 of this machine, which can be copied to another place; None where there is none"""
    places = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.12.*/bin/python3.12"))
    return places[-1].parent.parent if places else None


class Archive:
    """The file system of one image"""

    def __init__(self, tree: Path, contract: dict) -> None:
        """Empty but for what every image has"""
        self.tree, self.contract, self.names = tree, contract, set()
        self.content = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.content, mode="w", format=tarfile.PAX_FORMAT)
        for name, mode in (("tmp", "1777"), ("etc", "755"), ("usr/bin", "755"), ("usr/lib/x86_64-linux-gnu", "755"),
                           ("var/run", "755"), ("dev", "755")):
            self.folder(f"/{name}", 0, 0, mode)
        for alias, target in (("lib", "usr/lib"), ("lib64", "usr/lib/x86_64-linux-gnu")):
            self.link(f"/{alias}", target)
        users = {"root": 0, "nobody": 65534} | contract.get("users", {})
        self.text("/etc/passwd", "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in users.items()))
        self.text("/etc/group", "".join(f"{name}:x:{number}:\n" for name, number in users.items()))
        self.text("/etc/nsswitch.conf", "hosts: files dns\n")

    def _new(self, name: str) -> tarfile.TarInfo | None:
        name = name.strip("/")
        if name in self.names:
            return None
        for parent in reversed(Path(name).parents):
            if str(parent) not in (".", *self.names):
                self.folder(f"/{parent}", 0, 0, "755")
        self.names.add(name)
        return tarfile.TarInfo(name)

    def folder(self, name: str, user: int, group: int, mode: str) -> None:
        """A folder with its owner and mode (octal)"""
        if found := self._new(name):
            found.type, found.uid, found.gid, found.mode = tarfile.DIRTYPE, user, group, int(mode, 8)
            self.tar.addfile(found)

    def link(self, name: str, target: str) -> None:
        """A symbolic link"""
        if found := self._new(name):
            found.type, found.linkname, found.mode = tarfile.SYMTYPE, target, 0o777
            self.tar.addfile(found)

    def text(self, name: str, content: str) -> None:
        """A small file"""
        if found := self._new(name):
            found.size, found.mode = len(content.encode()), 0o644
            self.tar.addfile(found, io.BytesIO(content.encode()))

    def file(self, name: str, source: Path, capability: str = "") -> None:
        """A file of this machine, followed where it is a link; a file capability as an extended attribute"""
        source = source.resolve()
        if found := self._new(name):
            found.size, found.mode = source.stat().st_size, 0o755 if os.access(source, os.X_OK) else 0o644
            if capability:
                value = struct.pack("<IIIII", 0x02000001, 1 << CAPABILITIES[capability], 0, 0, 0)
                found.pax_headers["SCHILY.xattr.security.capability"] = value.decode("utf-8", "surrogateescape")
            with open(source, "rb") as content:
                self.tar.addfile(found, content)

    def libraries(self, program: Path, *, inside: bool) -> None:
        """What a program loads: of the tree when it lies in there, else of this machine"""
        if inside:
            path = f"/{program.relative_to(self.tree)}"
            command = ["chroot", str(self.tree), "env",
                       "LD_LIBRARY_PATH=/pool/database/usr/lib/x86_64-linux-gnu", "ldd", path]
        else:
            command = ["ldd", str(program)]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for place in re.findall(r"(?:=> |^\s*)(/\S+)", found, re.MULTILINE):
            source = in_tree(self.tree, place) if inside else Path(place)
            self.file(f"/usr/lib/x86_64-linux-gnu/{Path(place).name}", source)

    def bytes(self) -> bytes:
        """The whole archive"""
        self.tar.close()
        return self.content.getvalue()


def in_tree(tree: Path, place: str) -> Path:
    """A path of the tree, with its links followed inside the tree"""
    found = subprocess.run(["chroot", str(tree), "readlink", "-f", place], capture_output=True, text=True,
                           check=True).stdout.strip()
    return tree / found.lstrip("/")


def add_python_of_tree(archive: Archive) -> None:
    """An interpreter for stubs, where no path of the public image is"""
    binary = in_tree(archive.tree, "/usr/bin/python3")
    library = f"usr/lib/{binary.name}"
    archive.file("/usr/lib/stand-in/bin/python", binary)
    archive.libraries(binary, inside=True)
    add_folder(archive, archive.tree / library, f"/usr/lib/stand-in/lib/{binary.name}",
               re.compile(r"(^|/)(test|idlelib|__pycache__|ensurepip|lib2to3|pydoc_data)(/|$)"))
    for each in (archive.tree / library / "lib-dynload").glob("*.so"):
        if each.name.split(".")[0] in {"_sqlite3", "_json", "_ssl", "_hashlib", "_socket"}:
            archive.libraries(each, inside=True)


def add_folder(archive: Archive, source: Path, name: str, skipped: re.Pattern) -> None:
    """A whole folder"""
    for each in sorted(source.rglob("*")):
        relative = each.relative_to(source)
        if skipped.search(str(relative)) or not each.is_file():
            continue
        archive.file(f"{name}/{relative}", each)


def add_program(archive: Archive, name: str, origin: str) -> None:
    """One program or folder of programs, from where the contract says that it comes"""
    kind, _, path = origin.partition(":")
    if kind == "python":
        return add_python(archive)
    source = {"here": HERE / path, "venv": Path(sys.executable).parent / path,
              "pool": archive.tree / "pool/programs" / path,
              "database": archive.tree / "pool/database" / path, "host": archive.tree / path}[kind]
    if source.is_dir():
        add_folder(archive, source, name, re.compile("|".join(archive.contract.get("leave_out", ["^$"]))))
        for each in (*source.glob("bin/*"), *source.glob("lib/*.so")):
            if f"{name}/{each.relative_to(source)}".strip("/") in archive.names:
                archive.libraries(each, inside=True)
        return None
    archive.file(name, source, archive.contract.get("capabilities", {}).get(name, ""))
    if kind in ("pool", "database") and os.access(source, os.X_OK):
        archive.libraries(source, inside=True)
    if source.name == "stub.sh":
        archive.file("/usr/lib/stand-in/busybox", in_tree(archive.tree, "/pool/programs/usr/bin/busybox"))
        archive.file("/usr/lib/stand-in/stubs.py", HERE / "stubs.py")
        archive.file("/usr/lib/stand-in/search_stub.py", HERE.parent / "search_stub.py")
        add_python_of_tree(archive)
    return None


def add_python(archive: Archive) -> None:
    """The machine's Python 3.12 in /usr/local"""
    prefix = python312()
    assert prefix, "no Python 3.12"
    add_folder(archive, prefix, "/usr/local", SKIPPED_OF_PYTHON)
    for place in (prefix / "bin/python3.12", *(prefix / "lib/python3.12/lib-dynload").glob("*.so")):
        archive.libraries(place, inside=False)
    for each in archive.contract["libraries"]:
        archive.file(f"/usr/lib/x86_64-linux-gnu/{each}", Path("/usr/lib/x86_64-linux-gnu") / each
                     if (Path("/usr/lib/x86_64-linux-gnu") / each).exists() else Path("/lib/x86_64-linux-gnu") / each)
    for alias in ("python", "python3"):
        archive.link(f"/usr/local/bin/{alias}", "python3.12")


def add_shell(archive: Archive) -> None:
    """Busybox under the names that the public image has; bash where it has that"""
    applets = archive.contract.get("shell", [])
    if applets:
        archive.file("/usr/lib/stand-in/busybox", in_tree(archive.tree, "/pool/programs/usr/bin/busybox"))
    for each in applets:
        if each == "bash":
            archive.file("/bin/bash", archive.tree / "usr/bin/bash")
            archive.libraries(archive.tree / "usr/bin/bash", inside=True)
        else:
            archive.link(f"/bin/{each}", "/usr/lib/stand-in/busybox")


def archive_of(image: str, tree: Path, wheels: Path) -> bytes:
    """The file system of a stand-in for an image"""
    contract = contracts()[repository(image)]
    archive = Archive(tree, contract)
    add_shell(archive)
    for path, (user, group, mode) in contract.get("folders", {}).items():
        archive.folder(path, user, group, mode)
    for name, origin in contract["programs"].items():
        add_program(archive, name, origin)
    if contract.get("wheels"):
        for each in sorted(wheels.glob("*.whl")):
            archive.file(f"/usr/lib/stand-in/wheels/{each.name}", each)
    return archive.bytes()


def configuration(image: str) -> list[str]:
    """What `docker import` says of an image, as options"""
    contract = contracts()[repository(image)]
    lines = [f"ENV {key}={value}" for key, value in contract.get("environment", {}).items()]
    lines += [f"{word} {contract[key]}" for key, word in (("user", "USER"), ("workdir", "WORKDIR"),
                                                          ("stop_signal", "STOPSIGNAL")) if key in contract]
    lines += [f"{word} {json.dumps(contract[key])}"
              for key, word in (("entrypoint", "ENTRYPOINT"), ("command", "CMD")) if key in contract]
    return [part for line in lines for part in ("--change", line)]


def inputs() -> list[Path]:
    """Files that decide what the stand-ins are; with their hash the images are cached"""
    return [*sorted(each for each in HERE.iterdir() if each.name in {"contracts.yaml", "images.py", "stubs.py",
                                                                     "stub.sh", "silo.sh", "postgres_entrypoint.sh"}),
            HERE.parent / "search_stub.py", ROOT / "infra/app/requirements.txt"]


def mirror() -> str:
    """The archive of Debian that this machine's packages come from; empty on another system"""
    if not re.search(r"^ID=debian$", Path("/etc/os-release").read_text(), re.MULTILINE):
        return ""
    texts = [file.read_text() for file in Path("/etc/apt").glob("sources.list*") if file.is_file()]
    texts += [file.read_text() for file in sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found = re.search(r"^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(\S+)", "\n".join(texts), re.MULTILINE)
    return found[1] if found else ""


def is_possible() -> str:
    """Why the stage cannot run here; empty where it can"""
    if os.geteuid() != 0:
        return "root is needed for an engine of its own"
    if missing := [each for each in ("unshare", "mmdebstrap", "nsenter", "mkfs.ext4") if not shutil.which(each)]:
        return f"not installed: {', '.join(missing)} (make tools)"
    if not mirror():
        return "the host is made of Debian's packages, whose archive is not known here"
    return "" if python312() else "no Python 3.12 for the application's base image"
