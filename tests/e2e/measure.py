"""What the programs of the stage take: memory and processor by the kernel's own accounts, starts and health by the
engine's events. Nothing is asked of the containers, so measuring costs next to nothing."""
from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import subprocess
import threading
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import median

import images

GROUPS = Path("/sys/fs/cgroup")
COLUMNS = ("image", "software", "version", "date", "machine", "memory_mib", "cpu_seconds_per_minute",
           "requests_per_minute", "healthy_seconds", "back_seconds")
VERSIONS = {  # by repository: what says which program really runs
    "caddy": ("caddy", "version"), "postgres": ("postgres", "--version"),
    "prom/prometheus": ("prometheus", "--version"),
    "prom/alertmanager": ("alertmanager", "--version"), "prom/node-exporter": ("node_exporter", "--version"),
    "prom/blackbox-exporter": ("blackbox_exporter", "--version"),
    "prometheuscommunity/postgres-exporter": ("postgres_exporter", "--version")}


def machine() -> str:
    """This machine, in a few words"""
    kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    return f"{os.cpu_count()} cores, {round(kib / 2 ** 20)} GiB"


class Meter:
    """Looks at the host's containers from its start to its end"""

    def __init__(self, parent: str) -> None:
        """`parent` is the control group of the host's engine"""
        self.parent, self.ended = parent, threading.Event()
        self.memory: dict[str, int] = defaultdict(int)  # most bytes, by container
        self.image: dict[str, str] = {}
        self.service: dict[str, str] = {}
        self.moments: dict[str, list[tuple[float, str]]] = defaultdict(list)  # `start`, `die`, `healthy` by container
        self.busy: list[tuple[float, int, dict[str, float]]] = []  # seconds, requests, seconds of processor
        self.thread = threading.Thread(target=self.sample, daemon=True)

    def place(self, controller: str, container: str) -> Path:
        """The folder of a container's control group, of either version"""
        old = GROUPS / controller / self.parent / container
        return old if old.parent.exists() else GROUPS / self.parent / container

    def containers(self) -> list[str]:
        """Ids of what runs now; on a host that boots its own systemd has groups there, and nothing is measured"""
        folder = self.place("memory", "x").parent
        return [each.name for each in folder.iterdir() if len(each.name) == 64] if folder.exists() else []

    def bytes_of(self, container: str) -> int:
        """Memory that the kernel could not take back: anonymous and shared, without the cache of files"""
        text = (self.place("memory", container) / "memory.stat").read_text()
        facts = dict(line.split() for line in text.splitlines())
        names = ("total_rss", "total_shmem") if "total_rss" in facts else ("anon", "shmem")
        return sum(int(facts.get(name, 0)) for name in names)

    def spent(self, container: str) -> float:
        """Seconds of processor so far"""
        for controller in ("cpuacct", "cpu,cpuacct"):
            old = self.place(controller, container) / "cpuacct.usage"
            if old.exists():
                return int(old.read_text()) / 10 ** 9
        return int(re.search(r"usage_usec (\d+)", (self.place("cpu", container) / "cpu.stat").read_text())[1]) / 10 ** 6

    def processor(self) -> dict[str, float]:
        """Seconds of processor so far, by container"""
        found = {}
        for each in self.containers():
            with contextlib.suppress(OSError):  # it has just ended
                found[each] = self.spent(each)
        return found

    def sample(self) -> None:
        """Until the end"""
        while not self.ended.wait(1):
            for each in self.containers():
                with contextlib.suppress(OSError):
                    self.memory[each] = max(self.memory[each], self.bytes_of(each))

    def listen(self, events: subprocess.Popen) -> None:
        """Take in what the engine says happens"""
        for line in events.stdout:
            if not line.startswith("{"):
                continue  # the engine says that it ends
            found = json.loads(line)
            facts = found.get("Actor", {})
            if "com.docker.compose.service" not in facts.get("Attributes", {}):
                continue
            what = found["Action"].removeprefix("health_status: ")
            self.image[facts["ID"]] = facts["Attributes"]["image"]
            self.service[facts["ID"]] = facts["Attributes"]["com.docker.compose.service"]
            self.moments[facts["ID"]].append((found["timeNano"] / 10 ** 9, what))

    def begin(self, engine) -> None:
        """Start looking; on a host that was booted again, go on"""
        kinds = [word for kind in ("start", "die", "health_status") for word in ("--filter", f"event={kind}")]
        events = engine.begin("docker", "events", "--format", "json", "--filter", "type=container", *kinds)
        threading.Thread(target=self.listen, args=[events], daemon=True).start()
        if not self.thread.is_alive():
            self.thread.start()

    def first(self, since: float) -> str:
        """Seconds from a moment (since 1970) to each container's first start and first health, in words"""
        found = []
        for container, moments in self.moments.items():
            firsts = [next((f"{at - since:.0f}" for at, what in sorted(moments) if what == kind), "-")
                      for kind in ("start", "healthy")]
            found.append(f"{self.service[container]} {' '.join(firsts)}")
        return "; ".join(found)

    def spans(self, container: str, first: str) -> list[float]:
        """Seconds from each event of a kind to the next time that the container is well"""
        found, since = [], None
        for at, what in sorted(self.moments[container]):
            since = at if what == first and since is None else since
            if what == "healthy" and since is not None:
                found.append(at - since)
                since = None
        return found

    def rows(self, versions: dict[str, str]) -> list[dict[str, object]]:
        """What was measured, by image, for the programs that are the real ones"""
        found = []
        for image in sorted({*self.image.values()}):
            contract = images.contracts().get(images.repository(image), {})
            mine = [each for each, name in self.image.items() if name == image]
            if contract.get("software") != "real" or images.repository(image) not in versions:
                continue
            spent = [(seconds, requests, sum(each.get(one, 0) for one in mine))
                     for seconds, requests, each in self.busy]
            minutes = sum(seconds for seconds, _, _ in spent) / 60
            healthy = [each for one in mine for each in self.spans(one, "start")]
            back = [each for one in mine for each in self.spans(one, "die")]
            found.append(dict(zip(COLUMNS, (
                images.repository(image), "Debian's build", versions[images.repository(image)],
                date.today().isoformat(), machine(), round(max(self.memory[one] for one in mine) / 2 ** 20),
                round(sum(each for _, _, each in spent) / minutes, 2) if minutes else "",
                round(sum(each for _, each, _ in spent) / minutes) if minutes else "",
                round(median(healthy), 1) if healthy else "", round(median(back), 1) if back else ""))))
        return found


class Busy:
    """What the containers spend while users are there"""

    def __init__(self, meter: Meter) -> None:
        """From now on"""
        self.meter, self.began, self.before = meter, time.monotonic(), meter.processor()

    def end(self, requests: int) -> None:
        """Until now, and what was answered meanwhile"""
        now = self.meter.processor()
        self.meter.busy.append((time.monotonic() - self.began, requests,
                                {each: now[each] - (before if (before := self.before.get(each, 0)) <= now[each] else 0)
                                 for each in now}))  # the account of what was started again begins anew


def read(place: Path) -> list[dict[str, object]]:
    """The rows of a file"""
    with open(place, newline="") as file:
        return list(csv.DictReader(file))


def merged(halves: list[list[dict[str, object]]]) -> list[dict[str, object]]:
    """One row for each image: the most memory, the processor where more users were, a kill where there was one"""
    found = []
    for image in sorted({row["image"] for rows in halves for row in rows}):
        rows = [row for each in halves for row in each if row["image"] == image]
        most = max(rows, key=lambda row: float(row["requests_per_minute"] or 0))
        back = [row["back_seconds"] for row in rows if row["back_seconds"]]
        found.append(most | {"memory_mib": max(int(row["memory_mib"]) for row in rows),
                             "back_seconds": back[0] if back else ""})
    return found


def write(place: Path, rows: list[dict[str, object]]) -> None:
    """The rows as CSV, whole or not at all"""
    part = place.with_suffix(".part")
    with open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(place)
