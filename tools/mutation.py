"""Which small changes of the package's own Python no test notices: mutmut's mutants of four rooms, a sample of each.

    python tools/mutation.py [--sample N] [--seed N] [--rooms stack prices …] [--examples-only] [--out docs/mutation.md]

mutmut makes the mutants; running all of them takes days here, so N of each room are drawn, the same ones for the same
seed. A mutant is killed by the first that fails of: the examples of its notebook, the examples of the notebooks that
import its module, the test files of its room (TESTS). What takes five times as long as without a mutant is killed, too.
Each mutant runs in a process of its own, in a copy of the repository. A survivor may be equivalent; all are listed.
"""
from __future__ import annotations

import argparse
import importlib
import inspect
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import types
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pretamane_analysis"
COPIED = (PACKAGE, "nbs", "tests", "tools", "infra", "docs", "settings.ini", "README.md", "Makefile", "setup.py")
ROOMS = ("stack", "prices", "resources", "bill")
READERS = (*ROOMS, "cli")  # whose notebooks are run when they import what was changed
TESTS = {"stack": ("test_boundaries", "test_slo_verb", "test_slo_rules"),
         "prices": ("test_boundaries", "test_price_api", "test_purchase_options", "test_snapshot_writer"),
         "resources": ("test_boundaries", "test_worked_examples", "test_sources"),
         "bill": ("test_boundaries", "test_verify", "test_what_if", "test_own_stacks")}
BEFORE = ("pydantic", "yaml", "jinja2", "tabulate", "tqdm", "pytest", "hypothesis", "fastcore.test", "IPython.display",
          "pandas", "jsonschema", "ijson")  # loaded once, each mutant is forked from there


@dataclass(frozen=True)
class Mutant:
    """One change of one module"""

    module: str  # Such as `stack.slo`
    line: int
    before: str  # The line as it stands
    after: str  # As it became; the first line that differs
    code: str  # The whole module with the change

    @property
    def room(self) -> str:
        """The folder of the module"""
        return self.module.partition(".")[0]


def path_of(module: str, folder: Path = ROOT) -> Path:
    """Return the file of a module below a folder"""
    return folder.joinpath(PACKAGE, *module.split(".")).with_suffix(".py")


def mutants_of(module: str) -> list[tuple[object, object, object]]:
    """Return what mutmut changes inside the functions of a module: the tree, the node, what it becomes"""
    import libcst
    import libcst.matchers
    from mutmut.mutation.file_mutation import MutationVisitor
    from mutmut.mutation.mutators import mutation_operators
    from mutmut.mutation.pragma_handling import IgnoredCode

    visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
    whole = libcst.MetadataWrapper(libcst.parse_module(path_of(module).read_text(encoding="utf-8")))
    tree = whole.visit(visitor)
    prose = {each.value for each in libcst.matchers.findall(whole.module, libcst.matchers.Expr())}  # docstrings
    return [(tree, each.original_node, each.mutated_node) for each in visitor.mutations
            if each.contained_by_top_level_function and each.original_node not in prose]


def made(module: str, change: tuple) -> Mutant:
    """Return a mutant with its text"""
    from mutmut.mutation.file_mutation import deep_replace

    old, new = path_of(module).read_text(encoding="utf-8"), deep_replace(*change).code
    pairs = list(zip(old.splitlines(), new.splitlines()))
    place = next((i for i, (one, other) in enumerate(pairs) if one != other), len(pairs) - 1)
    return Mutant(module, place + 1, pairs[place][0].strip(), pairs[place][1].strip(), new)


def sampled(room: str, count: int, seed: int) -> tuple[list[Mutant], int]:
    """Return mutants of a room, drawn evenly from all of its modules' together, and how many there are"""
    names = sorted(each.stem for each in (ROOT / PACKAGE / room).glob("*.py") if each.stem != "__init__")
    every = [(f"{room}.{name}", each) for name in names for each in mutants_of(f"{room}.{name}")]
    drawn = random.Random(f"{seed} {room}").sample(every, min(count, len(every)))
    return [made(*each) for each in drawn], len(every)


def functions_of(code: types.CodeType, below: str = "") -> dict[str, types.CodeType]:
    """Return the code of functions and methods by their name in the module, of nested ones only the outer"""
    found = {}
    for each in code.co_consts:
        if isinstance(each, types.CodeType) and not each.co_name.startswith("<"):
            inside = each.co_flags & inspect.CO_NEWLOCALS == 0  # the body of a class
            found |= functions_of(each, f"{below}{each.co_name}.") if inside else {f"{below}{each.co_name}": each}
    return found


def put(mutant: Mutant, old: str) -> None:
    """Put a mutant into the loaded package, so that nothing is imported anew; where that cannot be done, it is"""
    first, second = (functions_of(compile(text, "x", "exec", dont_inherit=True)) for text in (old, mutant.code))
    changed = {name for name, code in first.items() if strip(second.get(name)) != strip(code)}
    module = sys.modules[f"{PACKAGE}.{mutant.module}"]
    if len(changed) == 1 and first.keys() == second.keys():
        owner, (*path, last) = module, (name := changed.pop()).split(".")
        for part in path:
            owner = getattr(owner, part)
        live = vars(owner).get(last)
        live = getattr(live, "__func__", live)
        if isinstance(live, types.FunctionType) and live.__code__.co_freevars == second[name].co_freevars:
            live.__code__ = second[name]
            return
    for name in [each for each in sys.modules if each.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def strip(code: types.CodeType | None) -> tuple | None:
    """Return what a code does, without the lines where it stands"""
    if code is None:
        return None
    inner = tuple(strip(each) if isinstance(each, types.CodeType) else (type(each), each) for each in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, inner


def run_examples(notebook) -> None:
    """Run the cells of a notebook that are not exported, in the names of its module"""
    names = {"__name__": "__main__", **{
        name: value for name, value in vars(importlib.import_module(f"{PACKAGE}.{notebook.module}")).items()
        if not name.startswith("__")}}
    os.chdir(notebook.path.parent)
    for cell in notebook.code:
        said = cell.directives
        if cell.exported or said.get("eval") == "false" or "net" in said or "nbdev_export()" in cell.source:
            continue
        exec(compile(cell.tree, notebook.name, "exec"), names)


def checks(module: str, folder: Path, files: tuple[str, ...]) -> None:
    """Run all that may notice a change of a module, test files last; raise, or exit, at the first that does"""
    import pytest
    from notebooks import imported, notebooks

    known = {each.module: each for each in notebooks() if each.module}
    readers = [known[module]] + [
        each for name, each in known.items() if name.split(".")[0] in READERS and name != module
        and any(module in imported(cell.tree) for cell in each.code)]
    for each in readers:
        run_examples(each)
    os.chdir(folder)
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
    if files and (code := pytest.main([*quiet, *(f"tests/{name}.py" for name in files)])):
        raise SystemExit(int(code))


def judged(module: str, folder: Path, files: tuple[str, ...], limit: float,
           mutant: Mutant | None = None) -> tuple[str, float]:
    """Return `survived`, `killed` or `too slow`, and seconds, of the copy as it stands; `limit` is in seconds"""
    begin = time.monotonic()
    if not (child := os.fork()):
        os.setsid()
        quiet = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        code = 1
        try:
            if mutant:
                put(mutant, path_of(module).read_text(encoding="utf-8"))
            checks(module, folder, files)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    while time.monotonic() - begin < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "survived" if status == 0 else "killed", time.monotonic() - begin
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "too slow", limit


def copy_of(folder: Path) -> Path:
    """Return a copy of the repository below a folder"""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def load(folder: Path) -> None:
    """Load what every mutant needs, the copy of the package too: each is forked from here"""
    sys.path[:] = [str(folder / each) for each in ("", "tests", "tools")] + [
        each for each in sys.path if each not in {str(ROOT / other) for other in ("", "tests", "tools")}]
    for name in BEFORE:
        importlib.import_module(name)
    for room in READERS:
        for path in sorted((folder / PACKAGE / room).glob("*.py")):
            importlib.import_module(f"{PACKAGE}.{room}" + (f".{path.stem}" if path.stem != "__init__" else ""))
    assert Path(sys.modules[PACKAGE].__file__).is_relative_to(folder.resolve())


def tested(mutants: list[Mutant], folder: Path, files: tuple[str, ...]) -> dict[Mutant, str]:
    """Return what became of each mutant of a room, after one run without any"""
    found = {}
    first = mutants[0].module
    verdict, usual = judged(first, folder, files, 1800)
    print(f"{verdict:9} {usual:5.0f} s  {first} without a mutant", flush=True)
    if verdict != "survived":
        raise SystemExit(f"{first} is not green without a mutant: {(folder / 'said.txt').read_text()}")
    for mutant in mutants:
        path = path_of(mutant.module, folder)
        path.write_text(mutant.code, encoding="utf-8")
        found[mutant], seconds = judged(mutant.module, folder, files, 60 + 5 * usual, mutant)
        path.write_text(path_of(mutant.module).read_text(encoding="utf-8"), encoding="utf-8")
        print(f"{found[mutant]:9} {seconds:5.0f} s  {mutant.module}:{mutant.line}  {mutant.after}", flush=True)
    return found


def likely(dead: int, count: int) -> str:
    """Return where the share of all mutants lies with 95 %, in percent (Wilson's interval)"""
    share, z = dead / count, 1.96
    middle, half = share + z * z / (2 * count), z * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    low, high = ((middle + sign * half) / (1 + z * z / count) for sign in (-1, 1))
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def page(rooms: dict[str, tuple[dict[Mutant, str], int]], asked: argparse.Namespace) -> str:
    """Return the results as Markdown"""
    lines = ["# Mutants of the package", "",
             "`make mutation` changes the package's own Python in small ways (mutmut's operators, inside functions)",
             "and runs the examples and tests that may notice; `tools/mutation.py` says which. The figures are",
             "of a sample: the range is where the score of all lies with 95 % (Wilson).", "",
             f"{date.today()}, {asked.sample} mutants of each room, seed {asked.seed}"
             f"{', the notebooks alone: test files kill more' if asked.examples_only else ''}.", "",
             "| room | mutants | sample | killed | of these too slow | survived | score | range |",
             "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for room, (found, known) in rooms.items():
        dead, slow = (sum(test(each) for each in found.values())
                      for test in (lambda each: each != "survived", lambda each: each == "too slow"))
        lines.append(f"| {room} | {known:,} | {len(found)} | {dead} | {slow} | {len(found) - dead} | "
                     f"{100 * dead / len(found):.0f} % | {likely(dead, len(found))} |")
    every = [each for found, _ in rooms.values() for each in found.values()]
    dead = sum(each != "survived" for each in every)
    lines += [f"| all | {sum(known for _, known in rooms.values()):,} | {len(every)} | {dead} | "
              f"{every.count('too slow')} | {len(every) - dead} | {100 * dead / len(every):.0f} % | "
              f"{likely(dead, len(every))} |", "",
              "## Survivors", "", "| module | line as it stands | as it became |", "|---|---|---|"]
    cell = {"|": "\\|", "`": "'"}
    for mutant in (each for found, _ in rooms.values() for each, verdict in found.items() if verdict == "survived"):
        texts = ["".join(cell.get(letter, letter) for letter in text) for text in (mutant.before, mutant.after)]
        lines.append(f"| {mutant.module}:{mutant.line} | `{texts[0]}` | `{texts[1]}` |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, test the samples, write the page"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=25, metavar="N", help="mutants of each room (default: 25)")
    parser.add_argument("--seed", type=int, default=13, help="other seeds draw others (default: 13)")
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS), help="default: all four")
    parser.add_argument("--examples-only", action="store_true", help="no test files: a score from below, sooner")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "mutation.md", help="page to write")
    options = parser.parse_args()
    rooms: dict[str, tuple[dict[Mutant, str], int]] = {}
    with tempfile.TemporaryDirectory() as work:
        folder = copy_of(Path(work))
        os.environ.update(PYTHONPATH=os.pathsep.join(str(folder / each) for each in ("", "tests", "tools")),
                          PYTHONDONTWRITEBYTECODE="1", PRETAMANE_CACHE=str(folder / "cache"))
        sys.dont_write_bytecode = True
        load(folder)
        for room in options.rooms:
            drawn, known = sampled(room, options.sample, options.seed)
            rooms[room] = tested(drawn, folder, () if options.examples_only else TESTS[room]), known
            options.out.write_text(page(rooms, options), encoding="utf-8")


if __name__ == "__main__":
    main()
