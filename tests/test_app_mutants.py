"""Each defect of the reference application, put into a copy of it, fails the test that is there to notice it."""
from __future__ import annotations

import inspect
from importlib import import_module

import app_server
import pytest
from app_server import App
from mutants.app import MUTANTS

from pretamane_analysis.emit.host.app import files
from pretamane_analysis.stack.stack import example

NOTICED = (AssertionError, OSError, KeyError, ValueError)


@pytest.fixture
def mutated(tmp_path, platform):
    """A function that writes a mutant to disk and gives what tests ask for: its sources, one running, as many as
    wanted"""
    made: list[App] = []

    def write(mutant) -> dict:
        folder = tmp_path / "mutant"
        for path, text in mutant.mutate(files(example())).items():
            place = folder / path.removeprefix("app/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")

        def make(start: bool = True, **environment) -> App:
            made.append(platform.app(source=folder, **environment))
            try:
                return made[-1].start() if start else made[-1]
            except AssertionError as error:
                pytest.fail(f"the mutant does not even start: {error}")

        return {"source": folder, "make_app": make}

    yield write
    for each in made:
        each.remove()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.id for mutant in MUTANTS])
def test_its_test_notices(mutant, mutated, request, monkeypatch):
    """The test that passes on the application fails on the mutant"""
    monkeypatch.setattr(app_server, "PATIENCE", 4)
    file, _, name = mutant.killer.removeprefix("behaviour:tests/").partition("::")
    function = getattr(import_module(file.removesuffix(".py")), name)
    given = mutated(mutant)
    cases = next((mark.args[1] for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"), [None])
    arguments = {}
    for each in inspect.signature(function).parameters:
        if each == "app":
            arguments[each] = given["make_app"]()
        elif each in given:
            arguments[each] = given[each]
        elif cases == [None] or each not in function.pytestmark[0].args[0]:
            arguments[each] = request.getfixturevalue(each)
    with pytest.raises(NOTICED):
        for case in cases:
            function(**arguments, **({} if case is None else {function.pytestmark[0].args[0]: case}))
