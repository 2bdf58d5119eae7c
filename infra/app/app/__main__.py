# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""`python -m app`: the server.

One process serves: its threads wait for the database and the stores, not for the processor, two colors give the host
its
second process, and every counter is one number. More workers would each count for themselves.
"""
from __future__ import annotations

import signal
import sys
import time
from typing import Any

import uvicorn

from . import audit, logs, settings
from .main import make_app
from .middleware import Drain


class Server(uvicorn.Server):
    """Drains before it stops: for a while /readyz says 503 and everything else still works, so no request is lost"""

    def __init__(self, config: uvicorn.Config, drain: Drain, seconds: float) -> None:
        """Remember how long to drain"""
        super().__init__(config)
        self.drain, self.seconds = drain, seconds
        self.stop_at: float | None = None

    def handle_exit(self, number: int, frame: Any) -> None:
        """The first SIGTERM drains and stops later; SIGINT and a second SIGTERM stop at once"""
        if self.stop_at is None and number == signal.SIGTERM:
            self.stop_at = time.monotonic() + self.seconds
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop"""
        if self.stop_at is not None and not self.drain.active:
            self.drain.set(True)
        if self.stop_at is not None and time.monotonic() >= self.stop_at:
            self.should_exit = True
        return await super().on_tick(counter)


def main() -> int:
    """The command"""
    given = settings.load()
    logs.configure(given.service_name, given.log_level)
    if given.audit_folder:
        audit.keep(given.audit_folder, given.audit_days, given.service_name)
    app = make_app(given)
    config = uvicorn.Config(
        app, host=given.host, port=given.port, workers=1, log_config=None, access_log=False, server_header=False,
        timeout_keep_alive=given.keep_alive_seconds, timeout_graceful_shutdown=int(given.shutdown_seconds),
        forwarded_allow_ips=given.trusted_proxies)
    Server(config, app.state.services.drain, given.drain_seconds).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
