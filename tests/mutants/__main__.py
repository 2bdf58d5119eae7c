"""Print every mutant and who killed it; exit code 1 when one survives."""
from __future__ import annotations

import sys

from mutants import all_mutants, fate
from pretamane_analysis.base.tables import to_table
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack_file import example


def main() -> int:
    """Run all mutants and print the table"""
    files = emitted(example())
    fates = [fate(mutant, files) for mutant in all_mutants()]
    rows = [{"defect": each.mutant.defect, "mutant": each.mutant.title, "expected": each.mutant.killer,
             "killed by": ", ".join(each.killers) or "NOTHING", "ms": f"{each.seconds * 1000:.0f}"} for each in fates]
    killed = sum(each.killed for each in fates)
    defects = {each.mutant.defect for each in fates}
    print(to_table(rows, width=140))
    print(f"\n{killed} of {len(fates)} mutants killed by what was expected ({killed / max(len(fates), 1):.0%}); {len(defects)} defects of the audit.")
    return 0 if killed == len(fates) else 1


if __name__ == "__main__":
    sys.exit(main())
