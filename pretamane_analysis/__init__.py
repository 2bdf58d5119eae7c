"""What EKS with managed AWS services costs against one EC2 host with open source, for your stack.

One description of a product, the stack, gives its bill, its drawing, its files and the findings about them:

    >>> from pretamane_analysis import bundled, compare, example
    >>> comparison = compare(example(), bundled())
    >>> print(comparison.baseline.bill.total.quantize(1), comparison.alternative.bill.total.quantize(1))
    356 120

In a notebook the name of a stack, a bill, a comparison, an audit or a report in a cell of its own shows it as a table.

The stack
    example()           the stack that comes with the package; `example_text()` is its YAML, to start your own from
    load(path)          a stack from a YAML file; `loads(text)` from text, `dump(stack)` back to text
    Stack               the model: services, volumes, secrets, usage, how either side hosts it

Prices
    bundled()           the dated list prices that come with the package
    open_book(source)   `snapshot`, `api` (the Pricing API) or `offers` (bulk files, no account)

Bills
    compare(stack, book)                    both sides, the difference for each feature, where the saving comes from
    architecture(name, stack, book)         one of `eks`, `eks-open-source`, `ec2-managed`, `ec2`; `bill_of` prices it
    audit(load_claim(path), stack, book)    what is left of a claimed saving
    findings(stack, book, claim, today)     all of it, as `pretamane report` writes it

Files
    emitted(stack)             every file of the host by path; `write_tree(folder, files)` writes them
    check_tree(Tree(files))    what is wrong with a tree, also one that somebody else wrote: `Tree.read(folder)`

`money` and `percent` show amounts as the package does. Whatever you can mend is a PretamaneError, which says where and
how. `pretamane --help` lists the same as commands. Each name is loaded when it is first used.
"""
from __future__ import annotations

__version__ = "0.1.0"
TYPE_CHECKING = False  # as typing has it, without loading typing

if TYPE_CHECKING:
    from .base.errors import PretamaneError as PretamaneError
    from .base.tables import money as money
    from .base.tables import percent as percent
    from .bill.architectures import architecture as architecture
    from .bill.architectures import bill_of as bill_of
    from .bill.audit import audit as audit
    from .bill.claim import load_claim as load_claim
    from .bill.compare import compare as compare
    from .bill.sources import open_book as open_book
    from .check.read.tree import Tree as Tree
    from .check.rules.registry import check as check_tree  # noqa: F401
    from .check.rules.registry import rules as rules
    from .emit.tree import emitted as emitted
    from .emit.tree import write_tree as write_tree
    from .prices.snapshot import bundled as bundled
    from .report.answer import findings as findings
    from .stack.stack import Stack as Stack
    from .stack.stack import dump as dump
    from .stack.stack import example as example
    from .stack.stack import example_text as example_text
    from .stack.stack import load as load
    from .stack.stack import loads as loads

_PLACES = {  # name: module, and the name there where it is another
    "PretamaneError": "base.errors", "money": "base.tables", "percent": "base.tables",
    "Stack": "stack.stack", "dump": "stack.stack", "example": "stack.stack",
    "example_text": "stack.stack", "load": "stack.stack", "loads": "stack.stack",
    "bundled": "prices.snapshot", "open_book": "bill.sources",
    "architecture": "bill.architectures", "bill_of": "bill.architectures", "compare": "bill.compare",
    "load_claim": "bill.claim", "audit": "bill.audit", "findings": "report.answer",
    "emitted": "emit.tree", "write_tree": "emit.tree",
    "Tree": "check.read.tree", "rules": "check.rules.registry", "check_tree": "check.rules.registry:check",
}


def __getattr__(name: str) -> object:
    "Load a name of the front door when it is first used."
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, other = _PLACES[name].partition(":")
    found: object = getattr(import_module(f"{__name__}.{module}"), other or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
