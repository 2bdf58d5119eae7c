"""The licenses of everything that installing the package installs, into docs/licenses.md.

    python tools/licenses.py            write the page
    python tools/licenses.py --check    write nothing; exit code 1 for a license that is not allowed or a page that
    lacks a requirement

Versions are left out: they are not pinned, so they differ from day to day. What extras install (tests, notebooks) is
not shipped.
"""
from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tabulate import tabulate

PACKAGE = "pretamane_analysis"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "licenses.md"
ALLOWED = {"0BSD", "Apache 2.0", "Apache License 2.0", "Apache Software License", "Apache-2.0", "BSD", "BSD License",
           "BSD-2-Clause", "BSD-3-Clause",
           "CC0-1.0", "ISC", "ISC License (ISCL)", "MIT", "MIT License", "MIT-CMU", "MPL-2.0", "PSF-2.0",
           "Python Software Foundation License", "Zlib"}
# their metadata say nothing; the license files in their wheels do
READ_BY_HAND = {"promql-parser": "MIT", "resvg-py": "MIT"}
INTRO = """# Licenses

What `pip install pretamane_analysis` installs, directly and through others, and under which license. `make licenses`
writes this page, and a test refuses a license that is not permissive or weakly reciprocal.

"""


def shipped() -> set[str]:
    """Return the names of all packages that the package needs to run, on this machine"""
    found: set[str] = set()
    waiting = [PACKAGE]
    while waiting:
        for text in requires(waiting.pop()) or []:
            needed = Requirement(text)
            if (needed.marker is None
                or needed.marker.evaluate({"extra": ""})) and canonicalize_name(needed.name) not in found:
                found.add(canonicalize_name(needed.name))
                waiting.append(needed.name)
    return found


def licenses() -> dict[str, str]:
    """Return the license of each, as its metadata name it"""
    command = [sys.executable, "-m", "piplicenses", "--format", "json", "--packages", *sorted(shipped())]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = {canonicalize_name(each["Name"]): each["License"] for each in listed}
    return {name: READ_BY_HAND.get(name, text) if text == "UNKNOWN" else text for name, text in sorted(found.items())}


def refused(found: dict[str, str]) -> list[str]:
    """Return what is not allowed: of several licenses joined by OR one must be, of others all"""
    def fine(text: str) -> bool:
        return any(all(part.strip("() ") in ALLOWED for part in re.split(r" AND |; ", choice))
                   for choice in text.split(" OR "))

    return [f"{name}: {text}" for name, text in found.items() if not fine(text)]


def main(check: bool) -> int:
    """Write the page, or say what is wrong with it"""
    found = licenses()
    problems = [f"not an allowed license: {each}"
                for each in refused(found)] + [f"no metadata of {each}" for each in shipped() - found.keys()]
    if check:
        page = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
        direct = {canonicalize_name(Requirement(each).name)
                  for each in requires(PACKAGE) or [] if "extra ==" not in each}
        problems += [f"docs/licenses.md lacks {each}; run make licenses"
                     for each in sorted(direct) if f"| {each} " not in page]
    else:
        PAGE.write_text(INTRO + tabulate(found.items(), ("package", "license"), tablefmt="github") + "\n",
                        encoding="utf-8")
    print("\n".join(problems) or f"{len(found)} packages, all licenses allowed")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
