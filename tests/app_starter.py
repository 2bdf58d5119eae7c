"""The reference application without the start of its libraries: one process has them loaded, and each process of the
application is a fork of it, a tenth of a second of a processor instead of a whole one.

`python tests/app_starter.py SOCKET SOURCE` serves; `Started` asks it for a process and looks like a `Popen`. What runs
is `python -m MODULE` in a folder of the caller's: modules of the application are read there, in its own session, with
the caller's environment and streams.
"""
from __future__ import annotations

import ast
import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

# What its libraries import when they are first used
LATER = ("botocore.client", "botocore.httpsession", "encodings.idna", "uvicorn.lifespan.on", "uvicorn.loops.auto",
         "uvicorn.protocols.http.auto")


def load(source: Path) -> None:
    """Import what the application imports, but none of its own modules"""
    for file in source.rglob("*.py"):
        for each in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(each, ast.Import):
                for name in each.names:
                    importlib.import_module(name.name)
            elif isinstance(each, ast.ImportFrom) and not each.level:
                importlib.import_module(each.module)
    for name in LATER:
        importlib.import_module(name)


def become(words: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> None:
    """Be `python -m MODULE` from here on"""
    os.setsid()
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(stream, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdin = open(0)
    sys.stdout, sys.stderr = (io.TextIOWrapper(open(number, "wb", 0), write_through=True) for number in (1, 2))
    sys.pycache_prefix = environment.get("PYTHONPYCACHEPREFIX")
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[0], sys.argv = folder, words
    importlib.invalidate_caches()


def run(module: str) -> int:
    """Run a module as a program; return the exit code that Python would have"""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        if not isinstance(exit.code, int) and exit.code is not None:
            print(exit.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    return code


def accepted(server: socket.socket, running: dict[int, socket.socket]) -> None:
    """Start what a caller asks for"""
    connection, _ = server.accept()
    size, streams, _, _ = socket.recv_fds(connection, 4, 2)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(65536)
    words, environment, folder = json.loads(request)
    if pid := os.fork():
        running[pid] = connection
        for each in streams:
            os.close(each)
        connection.sendall(f"{pid}\n".encode())
        return
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in (server, connection, *running.values()):
        each.detach()  # closed with all others, not later with what then has their number
    become(words[1:], environment, folder, streams)
    os._exit(run(words[1]))


def reaped(running: dict[int, socket.socket]) -> None:
    """Tell callers how their processes ended"""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with running.pop(ended[0]) as connection, contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())


def serve(path: str) -> None:
    """Start processes until this one is ended"""
    running: dict[int, socket.socket] = {}
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(16)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([server, told, sys.stdin], [], [])
        if sys.stdin in ready:  # whoever started this one is gone
            return
        if told in ready:
            os.read(told, 4096)
            reaped(running)
        if server in ready:
            accepted(server, running)


class Started:
    """A process that was asked for: what the tests use of `subprocess.Popen`"""

    def __init__(self, path: str, words: list[str], environment: dict[str, str], folder: str, *streams: int) -> None:
        """Ask for it; standard output and error are the caller's `streams`"""
        self.returncode: int | None = None
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(path)
        request = json.dumps([words, environment, folder]).encode()
        socket.send_fds(self.connection, [len(request).to_bytes(4, "big")], list(streams))
        self.connection.sendall(request)
        self.lines = self.connection.makefile("r")
        self.pid = int(self.lines.readline())

    def poll(self) -> int | None:
        """How it ended; None while it runs"""
        if self.returncode is None and select.select([self.connection], [], [], 0)[0]:
            self.returncode = int(self.lines.readline())
            self.connection.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end"""
        if self.returncode is None and not select.select([self.connection], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("the application", timeout or 0)
        return self.poll() or 0

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs"""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end"""
        self.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    load(Path(sys.argv[2]))
    serve(sys.argv[1])
