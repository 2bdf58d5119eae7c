"""Pages of the reference: a notebook that nbdev processed, as Markdown with every definition as it stands in the
module.

A page of the reference is a notebook with its outputs; every public name shows the definition as it stands in the
module, comments
included, because they give the units.
"""

import ast
import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from publish import notebook_markdown


@dataclass(frozen=True)
class Definition:
    "A public name of a module."
    line: int  # where it stands, from 1
    code: str  # signature or fields, as written
    text: str  # its docstring


def _until_body(lines: list[str], node: ast.FunctionDef | ast.ClassDef, indent: str = "") -> str:
    "The lines of a definition up to its body."
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return "\n".join(line.removeprefix(indent) for line in lines[first - 1:node.body[0].lineno - 1])


def _method(lines: list[str], node: ast.FunctionDef) -> str:
    said = (ast.get_docstring(node) or "").splitlines()
    return _until_body(lines, node) + (f'\n        "{said[0]}"' if said else "\n        ...")


def _members(lines: list[str], node: ast.ClassDef) -> list[str]:
    "The fields and public methods of a class, as written."
    found = []
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and not each.target.id.startswith("_"):
            found.append("\n".join(lines[each.lineno - 1:each.end_lineno]))
        elif isinstance(each, ast.FunctionDef) and (not each.name.startswith("_") or each.name == "__init__"):
            found.append("\n" + _method(lines, each))
    return found


@cache
def _body(source: str) -> list[ast.stmt]:
    "The statements of a module, which is read once for all of its names."
    return ast.parse(source).body


def definition(
    source: str,  # text of a module
    name: str,  # a function or class of it
) -> Definition:
    "A function or class as it stands in a module. Raises KeyError when it is not there."
    lines = source.splitlines()
    for node in _body(source):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            code = "\n".join([_until_body(lines, node),
                              *(_members(lines, node) if isinstance(node, ast.ClassDef) else ())])
            return Definition(node.lineno, code, ast.get_docstring(node) or "")
    raise KeyError(name)


def processed(
    path: Path,  # a notebook
) -> dict[str, Any]:
    """The notebook as nbdev prepares it for its documentation, with a `show_doc` cell for every public name. None is
    run: `with_references` writes what stands in the module in its place."""
    from execnb.nbio import nb2dict, read_nb
    from nbdev.process import NBProcessor
    from nbdev.processors import FilterDefaults, exec_show_docs

    notebook = read_nb(path)
    NBProcessor(nb=notebook, procs=[each for each in FilterDefaults().procs() if each is not exec_show_docs]).process()
    found: dict[str, Any] = nb2dict(notebook)
    return found


_SHOWN = re.compile(r"^show_doc\(([\w.]+)", re.MULTILINE)


def _reference(
    source: str,  # text of the module
    name: str,  # the public name
    link: str,  # address of the module's source, without a line
) -> str:
    found = definition(source, name)
    parts = [f"### `{name}` {{ #{name} }}", f"[source]({link}#L{found.line}){{ .source }}", found.text,
             f"```python\n{found.code}\n```"]
    return "\n\n".join(part for part in parts if part)


def with_references(
    notebook: dict[str, Any],  # a notebook that nbdev processed
    source: str,  # text of its module
    link: str,  # address of the module's source
) -> dict[str, Any]:
    "The notebook with its `show_doc` cells turned into Markdown."
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and (found := _SHOWN.search("".join(cell["source"]))):
            text = _reference(source, found.group(1), link) if "." not in found.group(1) else ""
            cell.clear()
            cell.update({"cell_type": "markdown", "metadata": {}, "source": text})
    return notebook


_PICTURES = {"image/png": ".png", "image/svg+xml": ".svg"}


def with_pictures(
    notebook: dict[str, Any],  # a notebook
    folder: Path,  # where its page will stand
    name: str,  # what its pictures are called
) -> dict[str, Any]:
    "The notebook with its pictures written to files and shown as links to them."
    count = 0
    for output in (each for cell in notebook["cells"] for each in cell.get("outputs", [])):
        kind = next((each for each in _PICTURES if each in output.get("data", {})), None)
        if kind:
            count += 1
            content = "".join(output["data"][kind])
            file = folder / f"{name}-{count}{_PICTURES[kind]}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(base64.b64decode(content) if kind == "image/png" else content.encode())
            output["data"] = {"text/markdown": f"![Picture {count} of {name}]({file.name}){{ .picture }}"}
            output["output_type"], output["metadata"] = "display_data", {}
    return notebook


def _opening(notebook: dict[str, Any]) -> str:
    "The first cell of a notebook: title, subtitle, whom it is for."
    return "".join(notebook["cells"][0]["source"]).strip()


def relative_links(
    text: str,  # Markdown with links to the published reference
    site: str,  # the address of the published site
) -> str:
    """The text with links to pages of the reference as links to their files. nbdev writes anchors in small letters,
    headings are as the names are."""
    text = re.sub(rf"(\[`(?:\w+\.)?(\w+)`\]\({re.escape(site)}/[\w./]+\.html#)(\w+)\)",
                  lambda found: f"{found[1]}{found[2] if found[2].lower() == found[3] else found[3]})", text)
    return re.sub(rf"{re.escape(site)}/([\w./]+)\.html", lambda found: f"{found[1].replace('/', '.')}.md", text)


def reference_page(
    original: Path,  # a notebook
    module: Path,  # its module
    folder: Path,  # where the page will stand
    site: str,  # address of the published site
    link: str,  # address of the module's source
) -> str:
    "One notebook as a page of the reference; its pictures are written to `folder`."
    import nbformat

    notebook = processed(original)
    opening = _opening(json.loads(original.read_text(encoding="utf-8")))
    notebook["cells"] = [each for each in notebook["cells"] if each["cell_type"] != "raw"
                         and "AUTOGENERATED" not in "".join(each["source"])]
    with_references(notebook, module.read_text(encoding="utf-8"), link)
    with_pictures(notebook, folder, original.stem)
    for number, cell in enumerate(notebook["cells"]):
        cell.setdefault("metadata", {})
        cell["id"] = f"cell{number}"
    text = notebook_markdown(nbformat.reads(json.dumps(notebook), as_version=4))
    return relative_links(f"{opening}\n\n{text}", site)


def tutorial_page(
    path: Path,  # a notebook with its outputs
    folder: Path,  # where the page will stand
    name: str,  # what its pictures are called
) -> str:
    "A tutorial as a page; its pictures are written to `folder`."
    import nbformat

    notebook = json.loads(path.read_text(encoding="utf-8"))
    with_pictures(notebook, folder, name)
    return notebook_markdown(nbformat.reads(json.dumps(notebook), as_version=4))
