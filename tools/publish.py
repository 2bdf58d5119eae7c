"""Run the notebooks, keep what they print, and write README.md from the index.

    python tools/publish.py run                           # every notebook
    python tools/publish.py run nbs/stack/12_stack.ipynb  # one
    python tools/publish.py readme                        # write README.md
    python tools/publish.py readme --check                # fail with a diff when README.md is stale

`nbdev_test` runs a notebook and forgets what it printed; `exec_nb` keeps the outputs but runs the cells that
`nbdev_test` leaves
out. Here both meet: nbdev's own reading of the directives, execnb's shell, nbdev's own cleaning. Only outputs are
replaced, and only
when every cell passed. It imports nothing of the package, because it must work while a module is broken.
"""

import argparse
import difflib
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import chdir
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any


class NotebookError(Exception):
    "A notebook that failed: the message names it, the cell and the error"


def left_out(
    cell: Any,  # read by nbdev's `NBProcessor`
    flags: set[str],  # test flags of settings.ini, such as `net`
) -> bool:
    "Whether `nbdev_test` would not run `cell`"
    if cell.cell_type != "code" or "nbdev_export" + "(" in cell.source:
        return True
    directives = getattr(cell, "directives_", None) or {}
    never = directives.get("eval:", [""])[0].lower() == "false"
    return never or bool(flags & directives.keys())


def _place(
    path: Path,  # the notebook
    cells: list[Any],  # its cells as executed
    cell: Any,  # the one that failed
) -> str:
    "Say which `cell` of the notebook at `path` failed"
    number = sum(1 for other in cells if other.cell_type == "code" and other.idx_ <= cell.idx_)
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return f"{path.name}, code cell {number} (id {cell.id}): {lines[0] if lines else ''}"


def execute(
    path: Path,  # the notebook
) -> list[Any] | None:
    """Run the notebook at `path` as `nbdev_test` does; return its code cells with fresh outputs, None if it is not
    to run"""
    from execnb.shell import CaptureShell
    from nbdev.config import get_config
    from nbdev.frontmatter import FrontmatterProc
    from nbdev.process import NBProcessor

    notebook = NBProcessor(path, procs=FrontmatterProc, process=True).nb
    if str(getattr(notebook, "frontmatter_", {}).get("skip_exec", "")).lower() == "true":
        return None
    flags, shell = set(get_config().tst_flags.split()), CaptureShell(path)
    with chdir(path.parent):
        for cell in notebook.cells:
            if left_out(cell, flags):
                continue
            cell.outputs = []
            shell.cell(cell)
            if shell.exc:
                error = f"{type(shell.exc).__name__}: {shell.exc}"
                raise NotebookError(f"{_place(path, notebook.cells, cell)}\n  {error}") from shell.exc
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _fresh(path: Path) -> dict[str, Any] | None:
    "The notebook at `path` with the outputs of a run, cleaned; None if it is not to run"
    from nbdev.clean import clean_nb

    os.environ["IN_TEST"] = "1"  # as nbdev_test has it
    done = execute(path)
    if done is None:
        return None
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell, executed in zip(code, done, strict=True):
        cell["outputs"] = executed.outputs
    clean_nb(notebook)
    return notebook


_READ = ("text/html", "text/markdown", "text/plain")


def texts(
    outputs: list[dict[str, Any]],  # outputs of a cell
) -> list[str]:
    "Return what can be read in `outputs`"
    parts = [part for each in outputs for part in (
        each.get("text", ""), *(text for kind, text in sorted(each.get("data", {}).items()) if kind in _READ))]
    return ["".join(part) for part in parts if part]


def refresh(
    path: Path,  # the notebook
    check: bool = False,  # write nothing
) -> None:
    "Run the notebook at `path` and save its outputs in it; to check, raise NotebookError where it keeps others"
    from execnb.nbio import write_nb

    path = Path(path).resolve()
    notebook = _fresh(path)
    if notebook is None:
        return
    if not check:
        write_nb(notebook, path)
        return
    kept = json.loads(path.read_text(encoding="utf-8"))["cells"]
    pairs = zip(notebook["cells"], kept, strict=True)
    if stale := [old["id"] for new, old in pairs if texts(new.get("outputs", [])) != texts(old.get("outputs", []))]:
        raise NotebookError(f"{path.name}: outputs are stale in {', '.join(stale)}; run: make export")


# what most notebooks import
_LOADED = ("IPython", "execnb.shell", "matplotlib.pyplot", "nbdev.clean", "nbdev.process", "pandas", "pydantic", "yaml")


def _separately(
    task: tuple[Path, bool],  # a notebook, and whether to write nothing
) -> str:
    "Refresh a notebook in a process that no other has used; return what went wrong, empty if nothing"
    path, check = task
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a child process of a cell prints
    try:
        refresh(path, check)
    except NotebookError as error:
        return str(error)
    except Exception as error:  # a notebook that cannot even be read
        return f"{path.name}: {type(error).__name__}: {error}"
    return ""


def run(
    paths: Sequence[str | Path] = (),  # notebooks; all that nbdev would test when empty
    check: bool = False,  # write nothing; what is stale has failed
) -> None:
    "Run the notebooks at `paths` and save their outputs; raise NotebookError naming each one that failed"
    from nbdev.doclinks import nbglob

    notebooks = [Path(path) for path in paths] or sorted(nbglob(as_path=True))
    if len(notebooks) == 1:
        refresh(notebooks[0], check)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_LOADED))
    with context.Pool(os.cpu_count(), maxtasksperchild=1) as pool:  # a fresh process each, with the libraries in it
        failures = [message.strip() for message in pool.imap(_separately, [(path, check) for path in notebooks],
                                                             chunksize=1) if message]
    if failures:
        raise NotebookError("\n".join(failures))


_NUMBER = re.compile(r"[-+]?[$€]?[\d,]*\.?\d+( ?%)?|")

def pipe_table(
    html: str,  # a page with one `<table>`, as pandas writes it
) -> str:
    "Return the table in `html` as a Markdown pipe table"
    from bs4 import BeautifulSoup
    from tabulate import tabulate

    lines = BeautifulSoup(html, "html.parser").select("table tr")
    rows = [[cell.get_text().strip().replace("|", "\\|") for cell in line.find_all(["th", "td"])] for line in lines]
    head, body = rows[0], rows[1:]
    columns = list(zip(*body, strict=True)) or [()] * len(head)
    align = ["right" if column and all(map(_NUMBER.fullmatch, column)) else "left" for column in columns]
    return tabulate(body, headers=head, tablefmt="pipe", disable_numparse=True, colalign=align if body else None)


def _fenced(
    text: str,  # anything printed
) -> str:
    "Return `text` in a fence that is longer than any in it"
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`{3,}", text))])
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def output_markdown(
    output: dict[str, Any],  # one output of a cell, as nbformat reads it
    asis: bool = False,  # whether printed text is Markdown already
) -> str:
    "Return `output` as Markdown; raise ValueError for an error or a picture without a file"
    if output["output_type"] == "stream":
        return str(output["text"]) if asis else _fenced(output["text"])
    data = output.get("data", {})
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "<table" in data.get("text/html", ""):
        return pipe_table(data["text/html"])
    if output["output_type"] == "error" or any(kind.startswith("image/") for kind in data):
        raise ValueError(f"README.md cannot show this output: {sorted(data) or output.get('evalue')}")
    return str(data["text/plain"]) if asis else _fenced(data.get("text/plain", ""))


def plain_cell(
    cell: Any,  # a code cell, as nbformat reads it
) -> Any:
    "Return `cell` with its directives obeyed and its outputs as Markdown, None if nothing of it shows"
    from nbdev.process import extract_directives
    from nbformat.v4 import new_output

    said = {name.rstrip(":"): value for name, value in extract_directives(cell, remove=False).items()}
    words = {name: (value or [""])[0].lower() for name, value in said.items()}
    if "hide" in words or words.get("include") == "false":
        return None
    asis = words.get("output") == "asis"
    shown = [] if words.get("output") == "false" else cell.outputs
    texts = [output_markdown(output, asis) for output in shown]
    cell.outputs = [new_output("display_data", {"text/markdown": text}) for text in texts if text.strip()]
    lines = [line for line in cell.source.splitlines() if not line.lstrip().startswith("#|")]
    cell.source = "" if words.get("echo") == "false" else "\n".join(lines).strip()
    return cell if cell.source or cell.outputs else None


@cache
def _exporter() -> Any:
    "Made once: it compiles its templates for the first notebook, which takes longer than to write any."
    from nbconvert import MarkdownExporter

    return MarkdownExporter()


def notebook_markdown(
    notebook: Any,  # as nbformat reads it; its cells are changed
) -> str:
    "Return a notebook with its outputs as GitHub's Markdown"
    cells = [plain_cell(cell) if cell.cell_type == "code" else cell
             for cell in notebook.cells if cell.cell_type != "raw"]
    notebook.cells = [cell for cell in cells if cell is not None]
    for cell in notebook.cells:  # an input of nothing but outputs shows no empty fence
        cell.metadata["transient"] = {"remove_source": cell.cell_type == "code" and not cell.source}
    notebook.metadata["language_info"] = {"name": "python"}
    text, _ = _exporter().from_notebook_node(notebook)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def markdown(
    path: Path,  # a notebook with its outputs
) -> str:
    "Return the notebook at `path` as GitHub's Markdown"
    import nbformat

    return notebook_markdown(nbformat.read(path, as_version=4))


def readme(
    check: bool = False,  # compare only
) -> str:
    "Write README.md from the index notebook; return the difference from the README.md found, empty if none"
    from nbdev.config import get_config

    config = get_config()
    page = config.config_path / "README.md"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    new = markdown(config.nbs_path / "index.ipynb")
    if new != old and not check:
        page.write_text(new, encoding="utf-8")
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), "README.md", "nbs/index.ipynb"
    )
    return "".join(lines)


def main(
    arguments: list[str] | None = None,  # as on the command line
) -> int:
    "Run the command; return its exit code: 1 for a notebook that failed or a stale README.md"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("run", help="run notebooks and save their outputs")
    verb.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    verb.add_argument("--check", action="store_true", help="write nothing; exit 1 where kept outputs are stale")
    verb = verbs.add_parser("readme", help="write README.md from nbs/index.ipynb")
    verb.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff when README.md is stale")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "run":
            run(options.notebooks, options.check)
            return 0
        difference = readme(options.check)
    except (NotebookError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    stale = options.check and difference
    print(f"README.md is stale; run: make export\n{difference}" if stale else "", end="")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
