"""A regional EC2 offer file of any size, in the real layout, grown from the real excerpt in tests/data/offers.

Each round copies every product of the excerpt under a new SKU and a new instance type. As in the real file one
product in five has
Reserved terms, and one in four of the compute products runs Linux.
"""
from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from offer_writer import head, line, records, text  # noqa: E402

EXCERPT = ROOT / "tests" / "data" / "offers" / "AmazonEC2" / "sa-east-1.json"
SYSTEMS = ("Linux", "Windows", "RHEL", "SUSE")
STORAGE_ROUNDS = 20
Parts = tuple[str, ...]


def grown(document: dict[str, Any], parts: dict[str, Parts]) -> Iterator[Parts]:
    """Copies of each product's texts without end: new SKU, new type or usage type, one of four systems, Reserved for
    one in five"""
    count = 0
    while True:
        for number, (sku, product) in enumerate(document["products"].items()):
            attributes = product["attributes"]
            old = attributes.get("instanceType") or attributes["usagetype"]
            if "instanceType" not in attributes and count >= STORAGE_ROUNDS:
                continue
            new = old.replace(".", f"{count}.") if "instanceType" in attributes else f"{old}-{count}"
            name, system = hashlib.sha256(
                f"{sku}{count}".encode()).hexdigest()[:16].upper(), SYSTEMS[(number + count) % 4]
            kept = [part if index < 2 or not (number + count) % 5 else "" for index, part in enumerate(parts[sku])]
            if count:
                kept = [part.replace(sku, name).replace(old, new).replace('"Linux"', f'"{system}"')
                        .replace("Demand Linux", f"Demand {system}") for part in kept]
            yield tuple(kept)
        count += 1


def write_json(path: Path, size: int) -> None:
    """Write about `size` bytes of JSON: products, then OnDemand terms, then Reserved terms"""
    document = json.loads(EXCERPT.read_text(encoding="utf-8"))
    parts = {sku: (f'    "{sku}" : {text(product, 4)}', *(f'      "{sku}" : {text(document["terms"][kind][sku], 6)}'
                   if sku in document["terms"][kind] else "" for kind in ("OnDemand", "Reserved")))
             for sku, product in document["products"].items()}
    opening = text({key: value for key, value in document.items() if isinstance(value, str)})[:-2]
    written, many = 0, []
    for found in grown(document, parts):
        many.append(found)
        written += sum(map(len, found)) + 6
        if written >= size:
            break
    with open(path, "w", encoding="utf-8") as out:
        out.write(opening + ',\n  "products" : {\n' + ",\n".join(product for product, _, _ in many))
        out.write('\n  },\n  "terms" : {\n    "OnDemand" : {\n' + ",\n".join(term for _, term, _ in many))
        out.write('\n    },\n    "Reserved" : {\n' + ",\n".join(term for _, _, term in many if term))
        out.write('\n    }\n  },\n  "attributesList" : { }\n}')


def write_csv(path: Path, size: int) -> None:
    """Write about `size` bytes of CSV"""
    document = json.loads(EXCERPT.read_text(encoding="utf-8"))
    opening, columns = head(document)
    parts: dict[str, Parts] = {}
    for sku, product in document["products"].items():
        for kind in ("OnDemand", "Reserved"):
            part = {"products": {sku: product},
                    "terms": {kind: {key: term for key, term in document["terms"][kind].items() if key == sku}}}
            lines = "".join(line([record.get(name, "") for name in columns]) for record in records(part))
            parts[sku] = (*parts.get(sku, ("",)), lines)
    written = 0
    with open(path, "w", encoding="utf-8") as out:
        out.write(opening)
        for found in grown(document, parts):
            written += out.write("".join(found))
            if written >= size:
                break


if __name__ == "__main__":
    FORM, PATH, SIZE = sys.argv[1:]
    {"json": write_json, "csv": write_csv}[FORM](Path(PATH), int(SIZE))
