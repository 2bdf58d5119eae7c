"""Guides whose commands are run: every `console` block of a page prints what the page says.

    python tools/guide.py docs/guide/*.md          # write what the commands print into the pages
    python tools/guide.py --check docs/guide/*.md  # fail with a diff when a page is stale

A line that starts with `$ ` is a command; what stands below it is its output, standard error included. All blocks of
a page run in one folder, in order. What a shortened output leaves out is written as a line of three dots; the age of
the prices changes every day and is written as `(N days old)`; who reads a compose project is the machine's matter, and
is written as `Docker Compose N`.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(
    block: str,  # the text of a `console` block
) -> list[tuple[str, str]]:  # each command with the output that the page shows
    "The commands of a block. A command goes on in lines that start with `> `, as a shell shows them."
    found: list[list[str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append([line.removeprefix("$ "), ""])
        elif found and not found[-1][1] and line.startswith("> "):
            found[-1][0] += line.removeprefix("> ")
        elif found:
            found[-1][1] += line
    return [(command.rstrip("\n"), output) for command, output in found]


def _settled(text: str) -> str:
    text = re.sub(r"\(\d+ days? old\)", "(N days old)", text)
    return re.sub(r"read by (the small reader of \w+; Docker Compose is not installed|Docker Compose [\d.]*\d)",
                  "read by Docker Compose N", text)


def run_command(
    command: str,  # for bash
    folder: Path,  # where it runs
    path: str = "",  # folder of programs to be found first
) -> str:  # what it prints, with the exit code below when it is not 0
    "Run one command as the reader of a page would."
    environment = os.environ | {"PATH": os.pathsep.join(filter(None, [path, os.environ["PATH"]])), "COLUMNS": "120"}
    ended = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=600)
    return _settled(ended.stdout)


def shortened(
    output: str,  # what a command printed
    shown: str,  # what the page shows, perhaps with lines of three dots
) -> str:
    "The output, shortened where the page shortens it and both agree on what stands around."
    if "...\n" not in shown:
        return output
    parts = shown.split("...\n")
    pattern = ".*?\n?".join(re.escape(part) for part in parts)
    return shown if re.fullmatch(pattern, output, re.DOTALL) else output


def refreshed(
    text: str,  # a page
    folder: Path,  # an empty folder to run in
    path: str = "",  # folder of programs to be found first
) -> str:
    "The page with the outputs that its commands print now."
    def block(found: re.Match[str]) -> str:
        parts = ["$ " + command.replace("\n", "\n> ") + "\n" + shortened(run_command(command, folder, path), shown)
                 for command, shown in commands(found.group(1))]
        return "```console\n" + "".join(each if each.endswith("\n") else f"{each}\n" for each in parts) + "```"

    return _BLOCK.sub(block, text)


def refresh(
    page: Path,  # a page in Markdown
    check: bool = False,  # write nothing
) -> str:
    "Run the commands of a page and write what they print; return what changes."
    old = page.read_text(encoding="utf-8")
    with TemporaryDirectory() as folder:
        new = refreshed(old, Path(folder), str(Path(sys.executable).parent))
    if new != old and not check:
        page.write_text(new, encoding="utf-8")
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(page), "what is printed"))


def main(
    arguments: list[str] | None = None,  # as on the command line
) -> int:
    "Refresh pages, or say which no longer tell the truth."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff when a page is stale")
    options = parser.parse_args(arguments)
    differences = [refresh(page, options.check) for page in options.pages]
    print("".join(differences) if options.check else "", end="")
    return int(options.check and any(differences))


if __name__ == "__main__":
    sys.exit(main())
