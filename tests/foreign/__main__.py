"""Print what was found that nobody would sign, what was missed, and the precision of each group of rules."""
from __future__ import annotations

from pretamane_analysis.check.rules.registry import GROUPS

from . import judged, names, precision

for each in map(judged, names()):
    for word, places in (("wrong", each.wrong), ("missed", each.missed)):
        for rule, place in places:
            print(f"{each.name}: {word} {rule} {place}")
missed = sum(len(each.missed) for each in map(judged, names()))
print(f"{len(names())} trees; {missed} findings missed")
for group in GROUPS:
    right, total = precision(group)
    print(f"{group}: {right} of {total} findings are right" + (f" ({100 * right / total:.1f} %)" if total else ""))
