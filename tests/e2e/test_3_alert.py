"""The application is broken, and somebody is told; it works again, and that is told too."""
from __future__ import annotations

import time

from engine import patience
from stage import LONG, Clients, settle
from test_1_up import LONG_RUNNING


def told(stage, status, since, seconds):
    """The first page with a status at the webhook since a moment"""
    deadline = time.monotonic() + seconds * patience()
    while True:
        found = [each for each in stage.alerts() if each["severity"] == "page" and each["status"] == status
                 and each["at"] > since and each["alertname"] != "PublicNameDown"]
        if found:
            return found[0]
        assert time.monotonic() < deadline, (stage.prometheus("alerts"), stage.alerts()[-5:])
        time.sleep(1)


@LONG
def test_a_broken_application_pages_and_resolves(stage, timings):
    """From the stop of the only color to the webhook, and back: what burns the budget is seen over five minutes"""
    color = next(each for each in ("fastapi-app-blue", "fastapi-app-green") if each in stage.states())
    with Clients(stage) as clients:
        began = time.time()
        stage.compose("stop", color)
        page = told(stage, "firing", began, 150)
        timings[f"application stopped, page {page['alertname']} at the webhook"] = page["at"] - began
        again = time.time()
        stage.compose("start", color)
        settle(stage, (*LONG_RUNNING, color))
        solved = told(stage, "resolved", again, 1200)
        timings[f"application back, {solved['alertname']} resolved at the webhook"] = solved["at"] - again
    print(clients.told())
