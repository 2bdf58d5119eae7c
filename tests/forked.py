"""Programs in Python that tests call some hundred times: one process has each loaded, and forks for a call.

Arguments, environment and the three standard streams are those of the caller. `client` is what a PATH holds in the
program's place: of the standard library it imports what is part of the interpreter, so a call takes a hundredth of a
second of a processor.
"""
from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import socket
import sys
from collections.abc import Callable


def client(variable: str) -> str:
    """The text of a program that passes its call on to the socket that a variable of the environment names"""
    return f"""#!{sys.executable} -ISE
import _socket, marshal, posix, sys
server = _socket.socket(_socket.AF_UNIX)
server.connect(posix.environ[b"{variable}"])
request = marshal.dumps([sys.argv[1:], posix.environ, posix.getcwd()])
streams = b"".join(each.to_bytes(4, sys.byteorder) for each in (0, 1, 2))
server.sendmsg([len(request).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(request)
sys.exit((server.recv(1) or b"\\x89")[0])
"""


def answer(run: Callable[[list[str]], int | str | None], connection: socket.socket) -> int:
    """Run one call with the caller's streams and return its exit code"""
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(65536)
    arguments, environment, folder = marshal.loads(request)
    os.environb.clear()
    os.environb.update(environment)
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    try:
        code = run(arguments)
    except SystemExit as exit:
        code = exit.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    return (code if isinstance(code, int) else 0 if code is None else 1) & 255


def serve(path: str, run: Callable[[list[str]], int | str | None]) -> None:
    """Answer calls until this process is ended, or whoever started it and holds its standard input"""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:  # a pipe of whoever started this one
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                connection.sendall(bytes([answer(run, connection)]))
                os._exit(0)
            connection.close()
