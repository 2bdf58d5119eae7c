"""Which tests run a line of the package: every example of a notebook and every test file in FILES, seen by coverage.

    python tools/mutation_tests.py FILE   # writes what was seen, takes from it what has not changed since

A test that fails, is skipped or takes longer than SLOW is not used. Whatever the package caches is forgotten before
each test, so that the lines that fill a cache are seen for every test that needs them.
"""
from __future__ import annotations

import ast
import gc
import hashlib
import importlib
import os
import pickle
import sys
import time
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pretamane_analysis"
ROOMS = ("stack", "prices", "resources", "bill")
READERS = (*ROOMS, "cli")  # whose notebooks are run
FILES = tuple(f"tests/test_{name}.py" for name in (
    "analysis any_stack as_is bill_acceptance boundaries causes check_stacks claims command coverage emit facts_once "
    "answers first_hour focus formats import_anything import_compose import_eks import_kubernetes import_shapes "
    "import_terraform damage kubernetes_bill offer_download offer_files outages own_stacks paid_bill price_api "
    "properties providers purchase_options slo_rules slo_verb snapshot_data snapshot_writer "
    "sources stack_damage terraform_bill verify ways what_if worked_examples").split())
SLOW = 12.0  # Seconds of the processor, with coverage
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-p", "no:randomly", "--capture=sys",
           "-W", "ignore"]


@dataclass
class Seen:
    """What one run of all tests has shown"""

    key: str = ""  # Of the package's sources
    keys: dict[str, str] = field(default_factory=dict)  # Of each test file and notebook
    seconds: dict[str, float] = field(default_factory=dict)  # Of the processor, of each test that passed
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)  # Module -> line -> tests; "" is the import
    shown: dict[str, set[str]] = field(default_factory=dict)  # Notebook -> cells whose outputs are those it keeps


def key_of(*paths: Path) -> str:
    """Return a hash of files"""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def examples() -> dict[str, Any]:
    """Return the notebooks of the rooms by the name of their test"""
    from notebooks import notebooks

    return {f"examples of {each.module}": each for each in notebooks()
            if each.module and each.module.split(".")[0] in READERS}


def source_of(name: str) -> str:
    """Return the test file of a test, or the name of a notebook's examples"""
    return name.removeprefix("::").partition("::")[0]


def importers(module: str) -> set[str]:
    """Return the test files, and the names of notebooks' examples, that import a module"""
    from notebooks import imported

    files = {name for name in FILES if module in imported(ast.parse((ROOT / name).read_text(encoding="utf-8")))}
    return files | {name for name, each in examples().items()
                    if any(module in imported(cell.tree) for cell in each.code)}


class Example(pytest.Item):
    """The cells of a notebook that are not exported, run in the names of its module"""

    def __init__(self, *, notebook: Any, seen: Seen, **known: Any) -> None:
        """Keep the notebook, and where to write or read which outputs are as they are kept"""
        super().__init__(**known)
        self.notebook, self.seen = notebook, seen

    def runtest(self) -> None:
        """Run the cells; as CI does, look at their outputs where the run without a mutant had those that are kept"""
        from publish import texts

        module, said = importlib.import_module(f"{PACKAGE}.{self.notebook.module}"), {}
        shell = shell_of(self.notebook)
        shell.user_ns.update({name: value for name, value in vars(module).items() if not name.startswith("__")})
        if "annotations" in vars(module):
            shell.run("from __future__ import annotations")
        for cell in self.notebook.code:
            words = cell.directives
            if cell.exported or words.get("eval") == "false" or "net" in words or "nbdev_export()" in cell.source:
                continue
            outputs = shell.run(cell.source, stdout=True, stderr=True)
            if shell.exc:
                raise shell.exc
            if cell.outputs and texts([dict(each) for each in outputs]) == texts(list(cell.outputs)):
                said[cell.id] = True
        expected = self.seen.shown.setdefault(self.notebook.module, set(said))
        assert expected <= set(said), "what is shown is not what the notebook keeps"


SHELLS: list[Any] = []  # The one shell of a process


def shell_of(notebook: Any) -> Any:
    """Return an empty shell in the folder of a notebook"""
    from execnb.shell import CaptureShell

    if not SHELLS:
        SHELLS.append(CaptureShell(mpl_format="png"))
    shell = SHELLS[0]
    shell.reset(new_session=True)
    os.chdir(notebook.path.parent)
    return shell


class Tests:
    """A plugin of pytest that adds the notebooks' examples, keeps what was asked for and hands it to `work`"""

    def __init__(self, seen: Seen, work: Any, wanted: list[str] | None = None) -> None:
        """`work` takes the session; `wanted` are names in their order, None for all"""
        self.seen, self.work, self.wanted = seen, work, wanted

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list) -> None:
        """Add the notebooks; leave out what is not wanted"""
        items[:0] = [Example.from_parent(session, name=name, notebook=each, seen=self.seen)
                     for name, each in examples().items()]
        if self.wanted is not None:
            known = {each.nodeid: each for each in items}
            items[:] = [known[name] for name in self.wanted if name in known]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do the work instead of running everything"""
        self.work(session)
        return True


def passes(session: pytest.Session, items: list, place: int) -> bool:
    """Run a test as pytest does; return whether it passed (a skipped one did not), and keep its name when it did not"""
    from _pytest.runner import runtestprotocol

    following = items[place + 1] if place + 1 < len(items) else None
    try:
        reports = runtestprotocol(items[place], log=False, nextitem=following)
    finally:
        os.chdir(ROOT)
    if not all(each.passed for each in reports):
        (ROOT / "failed.txt").write_text(items[place].nodeid, encoding="utf-8")
        return False
    return True


def run(names: list[str], seen: Seen) -> bool:
    """Collect tests anew and run them; return whether all passed"""
    verdict: list[bool] = []

    def work(session: pytest.Session) -> None:
        verdict.append(all(passes(session, session.items, place) for place in range(len(session.items))))

    files = sorted({source_of(name) for name in names} & set(FILES))
    code = pytest.main([*OPTIONS, *(files or ["tests/test_mutation.py"])], plugins=[Tests(seen, work, names)])
    return bool(verdict and verdict[0]) and code in (0, 5)


def caches() -> list[_lru_cache_wrapper]:
    """Return every cache of the package's functions"""
    return [each for each in gc.get_objects()
            if isinstance(each, _lru_cache_wrapper) and str(each.__module__).startswith(PACKAGE)]


def observe(seen: Seen, files: list[str], notebooks: set[str]) -> None:
    """Run test files and notebooks under coverage, and write into `seen` which test runs which lines"""
    import coverage

    found = coverage.Coverage(data_file=None, config_file=False, concurrency="thread",
                              include=[str(ROOT / PACKAGE / room / "*.py") for room in ROOMS])

    def work(session: pytest.Session) -> None:
        items = [each for each in session.items if not isinstance(each, Example) or each.name in notebooks]
        known = caches()
        for place, item in enumerate(items):
            for each in known:
                each.cache_clear()
            found.switch_context(item.nodeid)
            begin, clock = time.process_time(), time.monotonic()
            passed = passes(session, items, place)
            spent, waited = time.process_time() - begin, time.monotonic() - clock
            found.switch_context("")
            if passed and max(spent, waited / 3) < SLOW:
                seen.seconds[item.nodeid] = max(spent, waited / 3)
            else:
                print(f"{'passed' if passed else 'FAILED'} {spent:6.1f} {waited:6.1f} s {item.nodeid}", flush=True)

    found.start()
    for room in ROOMS:
        for path in sorted((ROOT / PACKAGE / room).glob("*.py")):
            importlib.import_module(f"{PACKAGE}.{room}.{path.stem}".removesuffix(".__init__"))
    code = pytest.main([*OPTIONS, *(files or ["tests/test_mutation.py"])], plugins=[Tests(seen, work)])
    found.stop()
    assert code in (0, 5), "tests cannot be collected"
    data = found.get_data()
    for path in map(Path, data.measured_files()):
        lines = seen.lines.setdefault(f"{path.parent.name}.{path.stem}", {})
        for line, names in data.contexts_by_lineno(str(path)).items():
            lines.setdefault(line, set()).update(names)


def refresh(file: Path) -> Seen:
    """Return what is seen, from a file where that is still true of the tests and the package as they are"""
    seen = pickle.loads(file.read_bytes()) if file.exists() else Seen()
    sources = key_of(*(path for room in ROOMS for path in sorted((ROOT / PACKAGE / room).glob("*.py"))))
    if seen.key != sources:
        seen = Seen(sources)
    now = {name: key_of(ROOT / name) for name in FILES} | {
        name: key_of(each.path) for name, each in examples().items()}
    new = {name for name, key in now.items() if seen.keys.get(name) != key}
    for name in list(seen.seconds):
        if source_of(name) in new:
            del seen.seconds[name]
    for name in new:
        seen.shown.pop(name.removeprefix("examples of "), None)
    if new:
        observe(seen, sorted(new & set(FILES)), new)
    seen.keys = now
    file.write_bytes(pickle.dumps(seen))
    return seen


if __name__ == "__main__":
    sys.modules["mutation_tests"] = sys.modules["__main__"]
    Seen.__module__ = "mutation_tests"
    refresh(Path(sys.argv[1]))
