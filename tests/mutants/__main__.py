"""Print every mutant and who killed it in this run; exit code 1 when one survives.

    python -m mutants             # rules, tools, and every test that a mutant names: minutes
    python -m mutants --no-tests  # rules and tools only: seconds
"""
from __future__ import annotations

import sys

from mutants import ROOT, Fate, bootstrap, by_module, fate, operations
from mutants._outcomes import MUTATING, RUNNERS, fates, outcomes_of, tally
from pretamane_analysis.base.tables import to_table
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import example

# their tests read the mutant's tree from a folder
ALONE = {"bootstrap": bootstrap.notices, "operations": operations.notices}


def by_tests(files: dict[str, str]) -> dict[str, Fate]:
    """Run the tests that mutants name, and return what became of those mutants by id"""
    own = {mutant.killer.removeprefix("behaviour:") for mutants in by_module().values() for mutant in mutants
           if any(f"::{name}" in mutant.killer for name in MUTATING)}
    runners = [test for test in (*RUNNERS.values(), *own) if (ROOT / test.partition("::")[0]).is_file()]
    found = {each.mutant.id: each for each in fates(outcomes_of(*runners)) if each.ran}
    for module, notices in ALONE.items():
        for mutant in by_module()[module]:
            if mutant.killer.startswith("behaviour:"):
                found[mutant.id] = Fate(mutant, (mutant.killer,) if notices(mutant, files) else (), 0.0)
    return found


def main() -> int:
    """Run all mutants and print the table"""
    files = emitted(example())
    ran = {} if "--no-tests" in sys.argv[1:] else by_tests(files)
    found = [ran.get(mutant.id) or fate(mutant, files) for mutants in by_module().values() for mutant in mutants]
    rows = [{"defect": each.mutant.defect, "mutant": each.mutant.title, "expected": each.mutant.killer,
             "killed by": ", ".join(each.killers) or each.killed_by,
             "ms": f"{each.seconds * 1000:.0f}" if each.seconds else ""} for each in found]
    print(to_table(rows, width=140))
    print(f"\n{tally(found)}; {len({each.mutant.defect for each in found})} defects of the audit.")
    return int(any(each.killed_by == "nothing" for each in found))


if __name__ == "__main__":
    sys.exit(main())
