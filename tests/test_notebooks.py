"""The rules of the house for notebooks and modules, one test each."""
from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest
from notebooks import PACKAGE, ROOT, Cell, Notebook, imported, notebooks

ALL = notebooks()
NUMBERED = [notebook for notebook in ALL if notebook.place is not None]
MODULES = {notebook.module: notebook for notebook in ALL if notebook.module}
LONGEST_FUNCTION, LONGEST_CLASS = 25, 120
WIDEST_LINE = 120
# the last two show files of others, whose lines are long
STILL_WIDE = {"tutorials/02_your_own_stack.ipynb", "prices/07_offer_files.ipynb"}
LONGEST_MODULE = 300
WRITTEN_BY_HAND = {"__init__.py", "__main__.py", "_modidx.py"}
# Paths of a developer's machine. /usr, /var and the like are left out: servers that the notebooks configure have them
# too.
MACHINE_PATHS = ["/tmp", "/home", "/root", "/work", "/Users", "site-packages", str(ROOT)]
MACHINE_PATHS += [str(ROOT.parent)] * (len(ROOT.parent.parts) > 2)


def each(found: list[Notebook] = ALL):
    """Run a test once for each notebook"""
    return pytest.mark.parametrize("notebook", found, ids=[notebook.name for notebook in found])


def texts(output: dict) -> str:
    """Return all readable text of an output"""
    parts = [output.get("text", "")]
    parts += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/") or "svg" in kind]
    return "\n".join("".join(part) for part in parts)


def lines_in_strings(tree: ast.AST, source: str) -> list[str]:
    """Return the lines of `source` that begin inside a string that spans lines"""
    lines = source.splitlines()
    spans = [node for node in ast.walk(tree) if isinstance(node,
                                                           (ast.Constant, ast.JoinedStr)) and hasattr(node, "lineno")]
    return [line for node in spans for line in lines[node.lineno : node.end_lineno]]


@each()
def test_no_errors_in_outputs(notebook):
    """Kept outputs hold no traceback and nothing from stderr"""
    for cell in notebook.code:
        bad = [output for output in cell.outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
        assert not bad, f"{notebook.name}, cell {cell.id}: {bad}"


@each()
def test_no_machine_paths_in_outputs(notebook):
    """Kept outputs name no path of a machine"""
    for cell in notebook.code:
        shown = "\n".join(map(texts, cell.outputs))
        found = [path for path in MACHINE_PATHS if re.search(rf"(?<![\w.~-]){re.escape(path)}\b", shown)]
        assert not found, f"{notebook.name}, cell {cell.id}: {found}"


@each()
def test_metadata_names_no_machine(notebook):
    """The notebook's metadata is a plain kernel, its cells have ids and no metadata"""
    kernel = {"display_name": "python3", "language": "python", "name": "python3"}
    assert notebook.content["metadata"] == {"kernelspec": kernel}
    ids = [cell.id for cell in notebook.cells]
    assert all(ids) and len(set(ids)) == len(ids)
    assert not any(cell["metadata"] for cell in notebook.content["cells"])


@each()
def test_opening(notebook):
    """The first cell is a title, a subtitle and for whom the notebook is"""
    first, *rest = notebook.cells
    assert first.kind == "markdown"
    assert re.match(r"# \S.*\n\n> \S", first.source), f"{notebook.name} opens without '# title' and '> subtitle'"
    opening = first.source + "".join(cell.source for cell in rest[:1] if cell.kind == "markdown")
    assert re.search(r"\bfor\b", opening, flags=re.IGNORECASE), f"{notebook.name} does not say for whom it is"


@each()
def test_functions_and_classes_are_short(notebook):
    """A function that is exported fits on a screen, a class on three"""
    longest = {ast.FunctionDef: LONGEST_FUNCTION, ast.AsyncFunctionDef: LONGEST_FUNCTION, ast.ClassDef: LONGEST_CLASS}
    for cell in notebook.code:
        for node in ast.walk(cell.tree) if cell.exported else ():
            if type(node) in longest and (lines := node.end_lineno - node.lineno + 1) > longest[type(node)]:
                raise AssertionError(f"{notebook.name}, cell {cell.id}: {node.name} has {lines} lines")


@each()
def test_lines_are_short(notebook):
    """A line of code has 120 columns at most; what is listed as still wide may only become less"""
    wide = [line for cell in notebook.code for line in cell.source.splitlines() if len(line) > WIDEST_LINE]
    assert not wide or notebook.name in STILL_WIDE, f"{notebook.name}: {wide}"


def bases() -> dict[str, set[str]]:
    """Return the classes of the package that are bases of others of it, each with its children; by name"""
    classes = {}
    for notebook in MODULES.values():
        for node in (each for cell in notebook.code if cell.exported
                     for each in ast.walk(cell.tree) if isinstance(each, ast.ClassDef)):
            classes[node.name] = [each.value if isinstance(each, ast.Subscript) else each for each in node.bases]
    found: dict[str, set[str]] = {}
    for name, above in classes.items():
        for each in above:
            if isinstance(each, ast.Name) and each.id in classes:
                found.setdefault(each.id, set()).add(name)
    return found


def test_no_class_is_cut_up():
    """A base class has two children at least: one with a single child is that child"""
    single = {name for name, children in bases().items() if len(children) == 1}
    assert not single


@each()
def test_public_names_have_docstrings(notebook):
    """Every exported public function, class and public method says what it is for"""
    for cell in notebook.code:
        if not cell.exported:
            continue
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        public = [node for node in cell.tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
        bare = [node.name for node in public if not ast.get_docstring(node)]
        assert not bare, f"{notebook.name}, cell {cell.id}: no docstring in {bare}"


def documented(cells: list[Cell]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the parameters that have a comment on their line, and those without, by function or method"""
    found: tuple[dict[str, set[str]], dict[str, set[str]]] = ({}, {})
    for cell in cells:
        notes = {token.start[0] for token in tokenize.generate_tokens(io.StringIO(cell.source).readline)
                 if token.type == tokenize.COMMENT and len(token.string) > 4}
        for name, function in public_functions(cell.tree.body):
            below = name.rpartition(".")[0]
            every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            every += [each for each in (function.args.vararg, function.args.kwarg) if each]
            for each in every[1:] if below and every[:1] and every[0].arg in ("self", "cls") else every:
                alone = [other.arg for other in every if other.lineno == each.lineno] == [each.arg]
                found[0 if alone and each.lineno in notes else 1].setdefault(name, set()).add(each.arg)
    return found


def public_functions(body: list[ast.stmt], below: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the functions and methods that have no underscore, but for the rules of `check`, which all take a tree
    and nothing else"""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            if not any(ast.unparse(each).startswith("rule(") for each in node.decorator_list):
                yield f"{below}{node.name}", node


INTERFACES = {"charges": "Resource", "candidates": "PriceBook", "usage_types": "PriceBook", "regions": "PriceBook",
              "sold": "PriceBook"}
STILL_BARE: set[str] = set()  # rooms; may only become fewer


def test_public_parameters_have_comments():
    """Every parameter of a public function or method has a comment of its own, in a method of an interface at the
    interface"""
    exported = {each.name: [cell for cell in each.code if cell.exported] for each in MODULES.values()}
    with_comment = {name for cells in exported.values() for name in documented(cells)[0]}
    assert {f"{kind}.{method}" for method, kind in INTERFACES.items()} <= with_comment
    bare = {f"{notebook}: {name}({', '.join(sorted(missing))})" for notebook, cells in exported.items()
            if notebook.partition("/")[0] not in STILL_BARE for name, missing in documented(cells)[1].items()
            if "." not in name or name.rpartition(".")[2] not in INTERFACES}
    assert not bare, f"say the unit, range or shape after `name: type,  # `: {sorted(bare)}"


def test_a_bare_parameter_is_noticed():
    """The test above sees a parameter without a comment, and two that share one"""
    source = "def good(\n    a: int,  # USD a month\n):\n    pass\n\n\ndef bad(a, b):  # of both\n    pass\n"
    assert documented([Cell("code", source, (), "x")]) == ({"good": {"a"}}, {"bad": {"a", "b"}})


def shown(notebook: Notebook) -> set[str]:
    """Return the names that the examples and tests of a notebook use"""
    found: set[str] = set()
    for node in (node for cell in notebook.code if not cell.exported for node in ast.walk(cell.tree)):
        found |= {node.id} if isinstance(node, ast.Name) else {node.attr} if isinstance(node, ast.Attribute) else set()
    return found


def unshown(notebook: Notebook) -> Iterator[str]:
    """Yield the public functions and classes of a notebook that it does not use; rules run by their number"""
    names = shown(notebook)
    for node in (node for cell in notebook.code if cell.exported for node in cell.tree.body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name not in names:
            rule = any(ast.unparse(each).startswith("rule(") for each in node.decorator_list)
            if not rule and not node.name.startswith("_"):
                yield node.name


@each(list(MODULES.values()))
def test_public_names_have_examples(notebook):
    """Every public function and class is used in an example or a test of the notebook that defines it"""
    assert not (missing := list(unshown(notebook))), f"{notebook.name}: show it under where it is defined: {missing}"


@each()
def test_imports_stand_alone(notebook):
    """A cell with imports has nothing else: the docs run such cells whole"""
    for cell in notebook.code:
        if cell.exported or cell.directives.get("eval") == "false" or "nbdev_export()" in cell.source:
            continue
        imports = [isinstance(node, (ast.Import, ast.ImportFrom)) for node in cell.tree.body]
        assert not any(imports) or all(imports), f"{notebook.name}, cell {cell.id} mixes imports with other code"


@each()
def test_exported_imports_stand_alone(notebook):
    """Exported imports are in a cell of their own; a `TYPE_CHECKING` block may be with them"""
    for cell in notebook.code:
        kinds = {type(node) for node in cell.tree.body}
        if cell.exported and kinds & {ast.Import, ast.ImportFrom}:
            assert kinds <= {ast.Import, ast.ImportFrom,
                             ast.If}, f"{notebook.name}, cell {cell.id} mixes imports with code"


@each()
def test_no_lines_that_nbdev_misreads(notebook):
    """No string has a line starting with `# %% ` (breaks nbdev_export) or `%` (vanishes from the docs)"""
    for cell in notebook.code:
        bad = [line for line in lines_in_strings(cell.tree, cell.source) if line.startswith(("# %% ", "%"))]
        assert not bad, f"{notebook.name}, cell {cell.id}: {bad}"


@each(NUMBERED)
def test_imports_only_from_earlier_places(notebook):
    """A notebook imports from those before it only"""
    for cell in notebook.code:
        for name in imported(cell.tree):
            source = MODULES.get(name)
            if source is None or source is notebook:
                continue
            assert source.place is not None and source.place < notebook.place, f"{notebook.name} imports {source.name}"


@each(NUMBERED)
def test_module_has_the_notebooks_name(notebook):
    """The folders and the name after the number are the module"""
    folders = notebook.path.relative_to(ROOT / "nbs").parts[:-1]
    assert ".".join([*folders, notebook.path.stem.split("_", 1)[1]]) == notebook.module


def test_every_module_has_its_notebook():
    """No module is left over from a notebook that was renamed, and none is missing"""
    files = {path.relative_to(ROOT / PACKAGE) for path in (ROOT / PACKAGE).rglob("*.py")}
    files = {path for path in files if path.parts[0] not in {"templates", "data"} and path.name not in WRITTEN_BY_HAND}
    expected = {ROOT.joinpath(*name.split(".")).with_suffix(".py").relative_to(ROOT) for name in MODULES}
    assert files == expected


def test_modules_are_short():
    """A module is short enough to be read in one go; empty lines and the marks of nbdev's cells do not count"""
    for name in MODULES:
        text = ROOT.joinpath(PACKAGE, *name.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("# %% ")]
        assert len(lines) <= LONGEST_MODULE, f"{name}: {len(lines)} lines"
