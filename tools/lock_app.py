"""Pin what the reference application and the host's AWS command line need: `python tools/lock_app.py`.

Reads the direct requirements with exact versions from an .in file, asks pip what they need on the Python and the two
processors of image and host (both have the same Python), and writes a .txt beside it with the SHA-256 of every wheel,
so that what installs them takes these files or none.
"""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "pretamane_analysis" / "templates"
FILES = (FOLDER / "app" / "requirements.in", FOLDER / "bootstrap" / "aws-cli.in")
PYTHON = "3.12"
PLATFORMS = {"x86_64": ["manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64"],
             "aarch64": ["manylinux2014_aarch64", "manylinux_2_28_aarch64", "manylinux_2_34_aarch64"]}


def resolved(requirements: Path, platforms: list[str]) -> dict[str, tuple[str, str]]:
    """Return version and SHA-256 of the wheel of every package, by name"""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report",
               "-", "--target", "unused",
               "--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp",
               *(f"--platform={each}" for each in platforms), "--requirement", str(requirements)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {each["metadata"]["name"].lower().replace("_", "-"):
            (each["metadata"]["version"], each["download_info"]["archive_info"]["hashes"]["sha256"])
            for each in report["install"]}


def lock(requirements: Path) -> None:
    """Write the .txt of an .in file"""
    found = {name: resolved(requirements, platforms) for name, platforms in PLATFORMS.items()}
    names = sorted({name for each in found.values() for name in each})
    lines = [f"# Python {PYTHON} on {' and '.join(PLATFORMS)}; made from {requirements.name}."]
    for name in names:
        versions = {each[name][0] for each in found.values()}
        if len(versions) != 1:
            raise SystemExit(f"{name}: {versions} for the two processors; pin one in {requirements.name}")
        hashes = sorted({each[name][1] for each in found.values()})
        lines.append(f"{name}=={versions.pop()} \\\n" + " \\\n".join(f"    --hash=sha256:{each}" for each in hashes))
    requirements.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Write the files that are named, such as `aws-cli.in`, or all"""
    for each in FILES:
        if not sys.argv[1:] or each.name in sys.argv[1:]:
            lock(each)


if __name__ == "__main__":
    main()
