"""Print what was found that nobody would sign, what was missed, and the precision of each group of rules."""
from __future__ import annotations

from pretamane_analysis.check.rules.registry import GROUPS, rules

from . import judged, names, precision, signed

for each in map(judged, names()):
    for word, places in (("wrong", each.wrong), ("missed", each.missed)):
        for rule, place in places:
            print(f"{each.name}: {word} {rule} {place}")
missed = sum(len(each.missed) for each in map(judged, names()))
print(f"{len(names())} trees; {missed} findings missed")
for group in GROUPS:
    right, total = precision(group)
    print(f"{group}: {right} of {total} findings are right" + (f" ({100 * right / total:.1f} %)" if total else ""))
shown = {rule for name in names() for rule, _ in signed(name)}
others = [each.id for each in rules().values() if each.group != "house style"]
without = [each for each in others if each not in shown]
print(f"{len(shown & {*rules()})} of {len(rules())} rules have an example here, {len(others) - len(without)} of the "
      f"{len(others)} that are no house style; not: {' '.join(without) or 'none'}")
