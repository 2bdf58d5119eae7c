"""How fast the command starts when it is installed as users install it, as ratios to `python -c pass` in the same run.

    python benchmarks/start.py [RUNS]

The wheel is built and installed into an environment of its own, for an editable install adds a start of its own;
BENCH_ENVIRONMENT may name
one that has the wheel. Every run works its
answer out: nothing is kept between two. Processor time counts, the least of all runs: what is measured is the work,
not what else the
machine was doing. Exit code 1 when a limit is exceeded.

The goal for `cost` was 12 times `python -c pass`. A program that only reads one line of YAML into one pydantic model
takes
more than that (FLOOR, in the same run), so with pydantic the goal cannot be reached; the limit is a multiple of FLOOR.
"""
from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from pretamane_analysis.base.tables import to_table

HERE = Path(__file__).resolve().parent.parent
FOLDER = "Scripts" if os.name == "nt" else "bin"
PLAIN = {key: value for key, value in os.environ.items() if key not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
FLOOR = "one pydantic model from YAML"
READ = """import yaml
from pydantic import BaseModel
class Model(BaseModel):
    name: str
Model.model_validate(yaml.load("name: x", Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))"""
LIMITS = {"pretamane --help": ("python -c pass", 2.5), "pretamane cost": (FLOOR, 3)}  # of what, how many times


def installed(folder: Path) -> Path:
    """Build the wheel, install it into a new environment below `folder`, and return where its commands are"""
    if given := os.environ.get("BENCH_ENVIRONMENT"):
        return Path(given) / FOLDER
    commands = folder / "environment" / FOLDER
    venv.create(folder / "environment", with_pip=True)
    for words in (["wheel", "--no-deps", "--wheel-dir", folder / "dist", HERE],
                  ["install", "--find-links", folder / "dist", "pretamane_analysis"]):
        subprocess.run([commands / "python", "-m", "pip", "-qq", *words], check=True,
                       stdout=subprocess.DEVNULL, env=PLAIN)
    return commands


def processor_time() -> float:
    """Return the seconds that ended children have kept a processor busy, their own and the system's for them"""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shortest(commands: dict[str, list[str | Path]], runs: int) -> dict[str, float]:
    """Return the least processor time of each command, seconds; the first round is not counted, rounds take turns"""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            begin = processor_time()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=PLAIN)
            times[name].append(processor_time() - begin)
    return {name: min(each[1:]) for name, each in times.items()}


def main() -> int:
    """Measure, print, and return 1 when a limit is exceeded"""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as folder:
        commands = installed(Path(folder))
        words = {"pretamane --help": ["--help"], "pretamane cost": ["cost"], "pretamane compare": ["compare"],
                 "pretamane size": ["size"]}
        measured = shortest({"python -c pass": [commands / "python", "-c", "pass"],
                             FLOOR: [commands / "python", "-c", READ],
                             **{name: [commands / "pretamane", *each] for name, each in words.items()}}, runs)
    exceeded = {name for name, (peer, times) in LIMITS.items() if measured[name] > times * measured[peer]}
    print(to_table([{"command": name, "ms": f"{seconds * 1000:.0f}",
                     "ratio": f"{seconds / measured['python -c pass']:.1f}",
                     "of the floor": f"{seconds / measured[FLOOR]:.1f}",
                     "limit": " x ".join(map(str, LIMITS[name][::-1])) if name in LIMITS else ""}
                    for name, seconds in measured.items()]))
    return int(bool(exceeded))


if __name__ == "__main__":
    sys.exit(main())
