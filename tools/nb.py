"""Edit notebooks as plain text: to-py writes percent scripts, to-nb writes them back.

    python tools/nb.py to-py nbs/stack/12_stack.ipynb --dir /a/folder/outside
    python tools/nb.py to-nb /a/folder/outside/00b_stack.py

Outputs and ids of cells that stay are kept; a new cell gets an id made from its text, so writing twice changes nothing.
A script stands below its folder as its notebook stands below nbs/; a script without a notebook makes a new one.
"""
from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs

NOTEBOOKS = Path(__file__).resolve().parent.parent / "nbs"
KERNEL = {"display_name": "python3", "language": "python", "name": "python3"}
FORMAT = "py:percent"


def to_script(notebook: Path, folder: Path) -> Path:
    """Write `notebook` as a percent script below `folder`; return its path"""
    content = nbformat.read(notebook, as_version=4)
    content.metadata = {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "-all"}}
    script = folder / notebook.resolve().relative_to(NOTEBOOKS).with_suffix(".py")
    script.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(content, script, fmt=FORMAT)
    return script


def target(script: Path, folder: Path | None) -> Path:
    """Return the notebook that `script` belongs to: by its place below `folder`, else by its name"""
    name = script.name.removesuffix(".py") + ".ipynb"
    if folder:
        return NOTEBOOKS / script.resolve().relative_to(folder.resolve()).with_name(name)
    found = sorted(NOTEBOOKS.rglob(name))
    if len(found) > 1:
        raise SystemExit(f"{script}: several notebooks have this name; say which with --dir")
    return found[0] if found else NOTEBOOKS / name


def name_cells(cells: list, known: set[str]) -> None:
    """Give each cell whose id is not `known` one made from its text"""
    taken = {cell["id"] for cell in cells if cell.get("id") in known}
    for cell in cells:
        if cell.get("id") in known:
            continue
        count = 0
        while True:
            seed = f"{cell.cell_type}\n{cell.source}\n{count}"
            cell["id"] = hashlib.sha256(seed.encode()).hexdigest()[:8]
            if cell["id"] not in taken:
                break
            count += 1
        taken.add(cell["id"])


def to_notebook(script: Path, folder: Path | None = None) -> Path:
    """Write `script` back to its notebook, or to a new one; return the notebook's path"""
    notebook = target(script, folder)
    content = jupytext.read(script, fmt=FORMAT)
    known: set[str] = set()
    if notebook.exists():
        old = nbformat.read(notebook, as_version=4)
        known = {cell["id"] for cell in old.cells if "id" in cell}
        content = combine_inputs_with_outputs(content, old, fmt=FORMAT)
    name_cells(content.cells, known)
    for cell in content.cells:
        cell.metadata = {}
    content.metadata = {"kernelspec": dict(KERNEL)}
    content.nbformat, content.nbformat_minor = 4, 5
    notebook.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, notebook)
    return notebook


def main() -> None:
    """Read the command line and convert each file named there"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["to-py", "to-nb"])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--dir", type=Path, dest="folder", help="folder of the scripts (needed by to-py)")
    options = parser.parse_args()
    if options.verb == "to-py" and not options.folder:
        parser.error("to-py needs --dir: percent scripts are not committed")
    for file in options.files:
        print((to_script if options.verb == "to-py" else to_notebook)(file, options.folder))


if __name__ == "__main__":
    main()
