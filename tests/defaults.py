"""What stands as a default in four rooms: of fields of classes, and of parameters of functions and methods."""
from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pretamane_analysis

ROOMS = ("stack", "prices", "resources", "bill")


def plain(value: Any) -> str:
    """A value without addresses"""
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    if isinstance(value, Path):
        return f"{value.name}/"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:300]


def callables(owner: Any, module: str) -> Iterator[tuple[str, Any]]:
    """Yield the functions and classes that are written in a module, and the methods of its classes"""
    for name, each in list(vars(owner).items()):
        each = getattr(each, "__func__", getattr(each, "fget", each))
        if getattr(each, "__module__", None) != module or not callable(each):
            continue
        each = inspect.unwrap(each)
        if inspect.isclass(each):
            yield each.__qualname__, each
            yield from callables(each, module)
        elif inspect.isfunction(each) and not name.startswith("__") and "<" not in each.__qualname__:
            yield each.__qualname__, each


def defaults(each: Any) -> list[str]:
    """Return the defaults of a function, or of a class's fields in the class itself"""
    if not inspect.isclass(each):
        return [f"{name}={plain(known.default)}" for name, known in inspect.signature(each).parameters.items()
                if known.default is not inspect.Parameter.empty]
    fields = getattr(each, "__dataclass_fields__", {})
    named = getattr(each, "_field_defaults", {})
    own = vars(each).get("__annotations__", {})
    made = {name: kind.default_factory() for name, kind in fields.items() if callable(kind.default_factory)}
    known = {**({} if named else {name: value for name, value in vars(each).items() if name in own}), **made, **named}
    return [f"{name}={plain(known[name])}" for name in own if name in known]


def text() -> str:
    """Return a line for each class, function and method that has a default"""
    lines = []
    for room in ROOMS:
        package = importlib.import_module(f"{pretamane_analysis.__name__}.{room}")
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, each in callables(module, module.__name__):
                if found := defaults(each):
                    lines.append(f"{room}.{info.name}.{name}: {', '.join(found)}")
    return "\n".join(lines)
