"""The real AWS CLI without its start: one process has it loaded and forks for each call, which is five times as fast.

`python tests/aws_cli.py SOCKET` serves; the shim `CLIENT` is what a PATH holds as `aws`. Arguments, environment and the
three standard streams are those of the caller; what runs is `awscli` from PyPI, unchanged.
"""
from __future__ import annotations

import json
import os
import signal
import socket
import sys

CLIENT = f"""#!{sys.executable} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(os.environ["AWS_CLI_SOCKET"])
    request = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(request)
    sys.exit(server.recv(1)[0])
"""


def loaded():
    """Return the CLI's driver with the models of SSM and S3 in memory"""
    from awscli.clidriver import create_clidriver

    driver = create_clidriver()
    models = driver.session.get_component("data_loader")
    for service in ("ssm", "s3"):
        for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            models.load_service_model(service, kind)
    driver.session.get_component("endpoint_resolver")
    return driver


def answer(driver, connection: socket.socket) -> int:
    """Run one call with the caller's streams and return its exit code"""
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(65536)
    arguments, environment, folder = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    try:
        code = driver.main(arguments)
    except SystemExit as exit:
        code = exit.code
    sys.stdout.flush()
    sys.stderr.flush()
    return (code if isinstance(code, int) else 0 if code is None else 1) & 255


def serve(path: str) -> None:
    """Answer calls until the process is ended"""
    driver = loaded()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(16)
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                connection.sendall(bytes([answer(driver, connection)]))
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    serve(sys.argv[1])
