"""Which small changes of the package's own Python no test notices: mutmut's mutants of four rooms, a sample of each.

    python tools/mutation.py [--sample N] [--seed N] [--rooms stack prices …] [--tests FILE] [--out docs/mutation.md]

mutmut makes the mutants; running all of them takes days here, so N of each room are drawn, the same ones for the same
seed. First every test is run once under coverage (tools/mutation_tests.py): a mutant then meets the tests that run the
changed line, the notebook of its module first, the others by the time that they take, for at most BUDGET seconds of
processor time as measured there, and MOST for what survived that; last the texts that are kept as a whole (`make
golden`), so that what only they notice is counted apart. The first that fails kills it, and so does five times the time
without a mutant. Each mutant runs in a process of its own, in a copy of the repository. A survivor may be equivalent;
all are listed.
"""
from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation_page import page
from mutation_tests import OPTIONS, PACKAGE, READERS, ROOMS, Seen, Tests, importers, passes, run, source_of

ROOT = Path(__file__).resolve().parent.parent
BUDGET = 8.0  # Seconds of the processor with coverage, for tests of one mutant, and as many for kept texts
MOST = 60.0  # The same for what survived that
GOLDEN = tuple(f"tests/test_{name}.py::" for name in ("formats", "answers", "damage", "stack_damage"))  # kept texts
FORMATS = GOLDEN[0]  # What notices a change of a field, though it runs no line of it
BEFORE = ("pydantic", "yaml", "jinja2", "tabulate", "tqdm", "pytest", "hypothesis", "fastcore.test", "IPython.display",
          "pandas", "jsonschema", "ijson", "execnb.shell", "publish")  # loaded once, each mutant is forked from there


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


def path_of(module: str) -> Path:
    """Return the file of a module"""
    return ROOT.joinpath(PACKAGE, *module.split(".")).with_suffix(".py")


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


def put(mutant: Mutant, old: str, anew: bool = False) -> bool:
    """Put a mutant into the loaded package; return whether it has to be imported anew, with all that has it"""
    first, second = (functions_of(compile(text, "x", "exec", dont_inherit=True)) for text in (old, mutant.code))
    changed = {name for name, code in first.items() if strip(second.get(name)) != strip(code)}
    module = sys.modules[f"{PACKAGE}.{mutant.module}"]
    if not anew and len(changed) == 1 and first.keys() == second.keys():
        owner, (*path, last) = module, (name := changed.pop()).split(".")
        for part in path:
            owner = getattr(owner, part)
        live = vars(owner).get(last)
        live = getattr(live, "__func__", live)
        if isinstance(live, types.FunctionType) and live.__code__.co_freevars == second[name].co_freevars:
            live.__code__ = second[name]
            return False
    below = str(Path(module.__file__ or "").parents[2])
    for name, each in list(sys.modules.items()):
        if (getattr(each, "__file__", None) or "").startswith(below) and not name.startswith(("mutation", "__main__")):
            del sys.modules[name]
    return True


def strip(code: types.CodeType | None) -> tuple | None:
    """Return what a code does, without the lines where it stands"""
    if code is None:
        return None
    inner = tuple(strip(each) if isinstance(each, types.CodeType) else (type(each), each) for each in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, inner


def span(tree: ast.Module, line: int) -> tuple[range, range, bool]:
    """Return the lines of the statement at a line, those of its function or class, and whether that is a class"""
    statement, owner, within = range(line, line + 1), range(line, line + 1), False
    for node in ast.walk(tree):  # outer ones first
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or 0):
            continue
        inner = [each.lineno for each in getattr(node, "body", ()) if isinstance(each, ast.stmt)]
        statement = range(node.lineno, max(inner[0] if inner else (node.end_lineno or 0) + 1, node.lineno + 1))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            owner, within = range(node.lineno, (node.end_lineno or 0) + 1), isinstance(node, ast.ClassDef)
    return statement, owner, within


def chosen(mutant: Mutant, seen: Seen, budget: float = BUDGET) -> tuple[list[str], bool]:
    """Return the tests of a mutant in their order, and whether its line runs when the package is imported"""
    lines = seen.lines.get(mutant.module, {})
    statement, owner, within = span(ast.parse(path_of(mutant.module).read_text(encoding="utf-8")), mutant.line)
    at = {name for line in statement for name in lines.get(line, ())}
    wanted = at - {""}
    if "" in at or not wanted:
        wanted |= {name for line in owner for name in lines.get(line, ())} | {
            name for name in seen.seconds if within and name.startswith(FORMATS)}
    if not wanted - {""}:  # as in a class without methods
        users = importers(mutant.module)
        wanted |= {name for found in lines.values() for name in found} | {
            name for name in seen.seconds if source_of(name) in users}
    own = f"::examples of {mutant.module}"
    kept_text = {name: next((number for number, each in enumerate(GOLDEN, 1) if name.startswith(each)), 0)
                 for name in wanted | {own} if name in seen.seconds}
    order = sorted(kept_text, key=lambda name: (0 if within and name.startswith(FORMATS) else kept_text[name],
                                                name != own, seen.seconds[name], name))
    spent, kept = {True: 0.0, False: 0.0}, []
    for name in order:
        spent[golden := name.startswith(GOLDEN)] += seen.seconds[name]
        if spent[golden] < budget or name == own:
            kept.append(name)
    return kept, "" in at


def judged(session: Any, seen: Seen, mutant: Mutant, budget: float = BUDGET) -> tuple[str, float, int]:
    """Return `survived`, `too slow` or what killed a mutant, seconds of the processor and the number of tests"""
    names, anew = chosen(mutant, seen, budget)
    (ROOT / "failed.txt").write_text("", encoding="utf-8")
    old = path_of(mutant.module).read_text(encoding="utf-8")
    path_of(mutant.module).write_text(mutant.code, encoding="utf-8")  # for the processes that tests start
    try:
        return *watched(session, seen, mutant, names, old, anew), len(names)
    finally:
        path_of(mutant.module).write_text(old, encoding="utf-8")


def killer() -> str:
    """Return what kind of test failed last"""
    name = (ROOT / "failed.txt").read_text(encoding="utf-8")
    return "examples" if name.startswith("::") else "golden" if name.startswith(GOLDEN) else "tests"


def watched(session: Any, seen: Seen, mutant: Mutant, names: list[str], old: str, anew: bool) -> tuple[str, float]:
    """Return what became of a mutant and seconds; `anew` imports the package again"""
    begin, usual = time.monotonic(), sum(seen.seconds[name] for name in names)
    if not (child := os.fork()):
        os.setsid()
        quiet = os.open(ROOT / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        most = int(30 + 5 * usual)
        resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
        code = 1
        try:
            anew = put(mutant, old, anew)
            known = {each.nodeid: each for each in session.items}
            items = [known[name] for name in names if name in known]
            fine = run(names, seen) if anew else all(passes(session, items, place) for place in range(len(items)))
            code = 0 if fine else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    while time.monotonic() - begin < 120 + 20 * usual:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            slow = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
            return "survived" if status == 0 else "too slow" if slow else killer(), used.ru_utime + used.ru_stime
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "too slow", time.monotonic() - begin


def copy_of(folder: Path) -> Path:
    """Return a copy of the repository below a folder: what git tracks, and what is new"""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True)
    for name in listed.stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def load() -> None:
    """Load what every mutant needs, the copy of the package too: each is forked from here"""
    for name in BEFORE:
        importlib.import_module(name)
    for room in READERS:
        for path in sorted((ROOT / PACKAGE / room).glob("*.py")):
            importlib.import_module(f"{PACKAGE}.{room}" + (f".{path.stem}" if path.stem != "__init__" else ""))
    assert Path(sys.modules[PACKAGE].__file__).is_relative_to(ROOT)


def tested(session: Any, seen: Seen, mutant: Mutant) -> str:
    """Return what became of a mutant, and say it"""
    verdict, seconds, count = judged(session, seen, mutant)
    if verdict == "survived" and len(chosen(mutant, seen, MOST)[0]) > count:
        verdict, seconds, count = judged(session, seen, mutant, MOST)
    print(f"{verdict:9} {seconds:5.1f} s of {count:3}  {mutant.module}:{mutant.line}  {mutant.before}  =>  "
          f"{mutant.after}", flush=True)
    return verdict


def work_here(options: argparse.Namespace) -> None:
    """See which test runs what, then test the samples and write the page; this is a copy of the repository"""
    file = (options.tests or ROOT / "seen.pickle").resolve()
    subprocess.run([sys.executable, str(ROOT / "tools" / "mutation_tests.py"), str(file)], check=True, cwd=ROOT)
    seen: Seen = pickle.loads(file.read_bytes())
    old = options.out.read_text(encoding="utf-8") if options.out.exists() else ""

    def work(session: Any) -> None:
        drawn = {room: sampled(room, options.sample, options.seed) for room in options.rooms}
        found: dict[str, dict[Mutant, str]] = {room: {} for room in options.rooms}
        for number in range(options.sample):  # one of each room, so that a run that is stopped has some of each
            for room, (mutants, _) in drawn.items():
                for each in mutants[number:number + 1]:
                    found[room][each] = tested(session, seen, each)
            rooms = {room: (found[room], known) for room, (_, known) in drawn.items()}
            options.out.write_text(page(rooms, options, old), encoding="utf-8")

    load()
    import pytest

    os.chdir(ROOT)
    pytest.main([*OPTIONS, *sorted({name.partition("::")[0] for name in seen.seconds} - {""})],
                plugins=[Tests(seen, work)])


def main() -> None:
    """Read the command line, make a copy of the repository and start there"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=25, metavar="N", help="mutants of each room (default: 25)")
    parser.add_argument("--seed", type=int, default=13, help="other seeds draw others (default: 13)")
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS), help="default: all four")
    parser.add_argument("--tests", type=Path, metavar="FILE", help="keep there which tests run what, for the next time")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "mutation.md", help="page to write")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # this is the copy
    options = parser.parse_args()
    options.out = options.out.resolve()
    if options.here:
        return work_here(options)
    with tempfile.TemporaryDirectory() as work:
        folder = copy_of(Path(work).resolve())
        known = {"PYTHONPATH": os.pathsep.join(str(folder / each) for each in ("", "tests", "tools")), "IN_TEST": "1",
                 "PYTHONDONTWRITEBYTECODE": "1", "PRETAMANE_CACHE": str(folder / "cache")}
        subprocess.run([sys.executable, str(folder / "tools" / "mutation.py"), *sys.argv[1:], "--out", str(options.out),
                        "--here"], env={**os.environ, **known}, check=True)


if __name__ == "__main__":
    main()
