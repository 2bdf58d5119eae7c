"""A host for the emitted scripts: a release tree, a container engine without containers, places of its own."""
from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

from pretamane_analysis.emit.tree import LOCK, emitted
from pretamane_analysis.stack.stack import example

HERE = Path(__file__).resolve().parent


@cache
def tree() -> dict[str, str]:
    """Return what the example stack emits, or the tree that PRETAMANE_TREE names: a mutant"""
    if folder := os.environ.get("PRETAMANE_TREE"):
        return {str(path.relative_to(folder)): path.read_text()
                for path in sorted(Path(folder).rglob("*")) if path.is_file()}
    return emitted(example())


class Host:
    """Everything that the scripts see, below one folder"""

    def __init__(self, folder: Path) -> None:
        """Make the places; no release is installed yet"""
        self.folder, self.stack = folder, example()
        self.root, self.data = folder / "opt", folder / "data"
        self.state, self.metrics_folder = folder / "lib" / "state", folder / "lib" / "metrics"
        self.engine_folder, self.secrets = folder / "engine", folder / "secrets"
        for each in (self.root / "releases", self.data, self.state, self.metrics_folder, self.secrets / "host"):
            each.mkdir(parents=True)
        for each in ("containers", "volumes", "images"):
            (self.engine_folder / each).mkdir(parents=True)
        self.engine = {"programs": {}, "health": {}, "states": {}, "replace": {}, "addresses": {}, "tools": {},
                       "recreated": [], "jobs": {}, "environment": {}, "fail": {}, "path": [str(HERE), *sys.path]}
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder),
            "ROOT_DIR": str(self.root), "DATA_DIR": str(self.data), "STATE_DIR": str(self.state),
            "METRICS_DIR": str(self.metrics_folder),
            "SECRETS_DIR": str(self.secrets), "HOST_FILE": str(folder / "host.conf"), "DATA_ON_ROOT_DISK": "yes",
            "PROCESS_ENGINE": str(self.engine_folder), "RESTIC_REPOSITORY": str(folder / "repository"),
            "REPOSITORY_SECONDS": "60"}
        self.program("docker",
                      f'exec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(HERE / "process_engine.py"))} "$@"')
        if os.geteuid():
            self.program("chown", "exit 0")  # whoever is not root gives nothing away
        self.save()

    def program(self, name: str, line: str) -> None:
        """Put a program before all others in the path of the scripts"""
        file = self.folder / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)

    def save(self, **changes) -> None:
        """Write what the engine knows, with some of it changed"""
        self.engine |= changes
        (self.engine_folder / "engine.json").write_text(json.dumps(self.engine))

    def install(self, name: str, extra: dict[str, str] | None = None, current: bool = True) -> Path:
        """Install a release with more files than the emitted ones; `current` leads to it"""
        release = self.root / "releases" / name
        # The bootstrap has tests of its own; a bundle leaves Terraform's files out.
        files = {path: text for path, text in tree().items()
                 if path.partition("/")[0] not in ("bootstrap", "terraform", LOCK)} | (extra or {})
        for path, text in files.items():
            (release / path).parent.mkdir(parents=True, exist_ok=True)
            (release / path).write_text(text)
            (release / path).chmod(0o755 if text.startswith("#!") else 0o644)
        hashes = {path: sha256(text.encode()).hexdigest() for path, text in files.items()}
        (release / LOCK).write_text(json.dumps({"model": "", "files": hashes}))
        if current:
            self.point(release)
        return release

    def point(self, release: Path) -> None:
        """Make a release the current one"""
        (self.root / "current").unlink(missing_ok=True)
        (self.root / "current").symlink_to(release)

    def command(self, script: str, *arguments: str, release: Path | None = None) -> list[str]:
        """The command line of a script of a release"""
        return [str((release or self.root / "current") / "scripts" / script), *arguments]

    def run(self, script: str, *arguments: str, release: Path | None = None,
            **environment: str) -> subprocess.CompletedProcess:
        """Run a script to its end"""
        return subprocess.run(self.command(script, *arguments, release=release), capture_output=True, text=True,
                              timeout=400, check=False,
                              env=os.environ | self.environment | environment, stdin=subprocess.DEVNULL)

    def begin(self, script: str, *arguments: str, release: Path | None = None, **environment: str) -> subprocess.Popen:
        """Start a script in a process group of its own"""
        return subprocess.Popen(self.command(script, *arguments, release=release), stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True,
                                env=os.environ | self.environment | environment, stdin=subprocess.DEVNULL,
                                start_new_session=True)

    def metrics(self, name: str) -> dict[str, float]:
        """The metrics of one file, by name with labels"""
        lines = (self.metrics_folder / f"{name}.prom").read_text().splitlines()
        return {key: float(value)
                for key, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    def volume(self, name: str) -> Path:
        """The folder of a volume, made if missing"""
        folder = self.engine_folder / "volumes" / f"{self.stack.name}_{name}" / "_data"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def start(self, *services: str) -> None:
        """Containers that exist in name only, or as a process where the engine knows a program"""
        for name in services:
            subprocess.run([self.folder / "bin" / "docker", "compose", "--project-name", self.stack.name,
                            "--project-directory",
                            self.root / "current" / "compose", "--file",
                            self.root / "current" / "compose" / "compose.yaml",
                            "up", "--detach", "--no-deps", name], check=True, env=os.environ | self.environment)

    def close(self) -> None:
        """End every process that was started as a container"""
        for file in (self.engine_folder / "containers").glob("*.json"):
            if pid := json.loads(file.read_text())["pid"]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for file in self.engine_folder.glob("scratch-*.json"):
            subprocess.run([self.folder / "bin" / "docker", "rm", "--force", "--volumes",
                            file.stem.removeprefix("scratch-")],
                           check=False, env=os.environ | self.environment)
