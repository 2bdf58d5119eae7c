"""`docker` for a host of a pair, without containers: its database is a real PostgreSQL, all else exists in name only.

What the emitted scripts would run inside the database's container is run here as the user that PostgreSQL wants, with
the places of the container replaced by those of the test. A command line that is not known is an error. PAIR_ENGINE
names a folder with `engine.json`; every call is noted in `calls`. `python tests/pair_engine.py SOCKET` serves the calls
of `forked.client`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from forked import serve

HOME = Path(os.environ["PAIR_ENGINE"])
ENGINE = json.loads((HOME / "engine.json").read_text())
DATA, SOCKETS, OTHERS = HOME / "data", HOME / "sockets", HOME / "others"
DATABASE = ENGINE["database"]
IDENTITY = {"user": ENGINE["user"], "group": ENGINE["user"], "extra_groups": []} if ENGINE["user"] is not None else {}
INSIDE = {
    "PGDATA": str(DATA),
    "PGHOST": str(SOCKETS),
    "PGPORT": str(ENGINE["port"]),
    "LC_ALL": "C",
    "PATH": f"{ENGINE['binaries']}:/usr/bin:/bin",
    "PGAPPNAME": "inside",
}


def replaced(text: str) -> str:
    """A text with places inside the container turned into those of the test"""
    found = text.replace("/run/secrets/", ENGINE["secrets"]).replace("/etc/replication/", ENGINE["replication"])
    return re.sub(r"(?<![\w/])/archive\b", ENGINE["archive"], found)


def tool(words: list[str], **options) -> subprocess.CompletedProcess:
    """Run a program where the server is"""
    return subprocess.run(words, env=INSIDE, cwd=HOME, check=False, **IDENTITY, **options)


def process() -> int | None:
    """The server's process, None where none runs"""
    try:
        pid = int((DATA / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
        return pid if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" else None
    except (OSError, ValueError, IndexError):
        return None


def start() -> None:
    """Start the server as its image does: an empty folder becomes a database first"""
    if process():
        return
    if not (DATA / "PG_VERSION").exists():
        tool(
            ["initdb", "--username=postgres", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"],
            stdout=subprocess.DEVNULL,
        ).check_returncode()
    command = [
        *map(replaced, ENGINE["command"]),
        *(word for name, value in ENGINE["settings"].items() for word in ("-c", f"{name}={value}")),
    ]
    with (HOME / "log").open("ab") as log:
        child = subprocess.Popen(
            command,
            env=INSIDE,
            cwd=HOME,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **IDENTITY,
        )
    end = time.monotonic() + 60
    while tool(["pg_isready", "-q"]).returncode:
        if child.poll() is not None or time.monotonic() > end:
            sys.exit(f"the database ended: {(HOME / 'log').read_text()[-2000:]}")
        time.sleep(0.02)


def stop() -> None:
    """Stop the server as its image asks to be stopped: SIGINT, which ends its sessions"""
    if pid := process():
        os.kill(pid, signal.SIGINT)
        while process():
            time.sleep(0.02)


def others(add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> list[str]:
    """The containers in name only that run"""
    found = set(OTHERS.read_text().split()) if OTHERS.exists() else set()
    found = found | {*add} - {*remove}
    found -= {*remove}
    OTHERS.write_text(" ".join(sorted(found)))
    return sorted(found)


def converse(words: list[str]) -> int:
    """psql, with standard input replaced line by line so that a conversation goes on"""
    child = subprocess.Popen(words, env=INSIDE, cwd=HOME, stdin=subprocess.PIPE, **IDENTITY)

    def forward() -> None:
        for line in sys.stdin.buffer:
            child.stdin.write(replaced(line.decode()).encode())
            child.stdin.flush()
        child.stdin.close()

    threading.Thread(target=forward, daemon=True).start()
    return child.wait()  # the other thread may wait for a word that nobody says


def compose(words: list[str]) -> int:
    """The verbs of `docker compose` that the scripts use"""
    while words[0].startswith("--"):
        words = words[2:]
    verb, words = words[0], words[1:]
    if verb == "exec" and words[:2] == ["-T", DATABASE]:
        if not process():
            sys.exit(f'service "{DATABASE}" is not running')
        if words[2] == "psql":
            return converse(words[2:])
        return tool([*map(replaced, words[2:])]).returncode
    if verb == "run" and "--entrypoint" in words:
        return tool(
            [words[words.index("--entrypoint") + 1], *map(replaced, words[words.index(DATABASE) + 1 :])]
        ).returncode
    if verb == "run":
        return 0  # a job, or what is derived: noted in `calls`
    if verb == "up":
        if words[-1] == DATABASE:
            start()
        else:
            start()
            others(add=tuple(ENGINE["others"]))
        return 0
    if verb == "pull":
        return 0
    if verb == "stop":
        names = words[2:]
        if DATABASE in names:
            stop()
        others(remove=tuple(names))
        return 0
    sys.exit(f"pair engine: unknown: {verb} {words}")


def listed(words: list[str]) -> int:
    """`docker ps`: all that run, or the state of one"""
    named = next((word.rpartition("=")[2] for word in words if "compose.service=" in word), "")
    running = [*([DATABASE] if process() else []), *others()]
    print(
        "\n".join(running)
        if not named
        else "running Up 3 seconds (healthy)"
        if named in running
        else "exited Exited (0)"
    )
    return 0


def main(words: list[str]) -> int:
    """One call"""
    with (HOME / "calls").open("a") as calls:
        calls.write(" ".join(words) + "\n")
    if words[0] == "compose":
        return compose(words[1:])
    if words[0] == "ps":
        return listed(words)
    if words[0] == "tag" or words[:2] == ["image", "inspect"]:
        return 0
    if words[:2] == ["volume", "inspect"]:
        folder = HOME / "volumes" / words[-1]
        folder.mkdir(parents=True, exist_ok=True)
        print(folder)
        return 0
    sys.exit(f"pair engine: unknown: {words}")


if __name__ == "__main__":
    serve(sys.argv[1], main)
