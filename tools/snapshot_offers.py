"""Read SKUs, rate codes and free allowances out of captured AWS price documents."""
import json
from dataclasses import dataclass, field
from decimal import Decimal

from snapshot_common import SnapshotError, decimal_of


@dataclass
class Offer:
    """One product of a captured price document."""

    usage_type: str
    operation: str
    family: str
    terms: dict = field(default_factory=dict)


def _term_name(attributes):
    """Name a Reserved term as the facts do: Reserved-1yr-NoUpfront."""
    option = attributes["PurchaseOption"].replace(" ", "")
    suffix = "-Convertible" if attributes["OfferingClass"] == "convertible" else ""
    return f"Reserved-{attributes['LeaseContractLength']}-{option}{suffix}"


def _add(offers, product, terms, where):
    """Add one product and its terms, which must agree with earlier ones."""
    attributes = product["attributes"]
    offer = Offer(attributes.get("usagetype", ""), attributes.get("operation", ""),
                  product.get("productFamily", ""))
    for kind, leaves in terms.items():
        for leaf in leaves.values():
            name = kind if kind == "OnDemand" else _term_name(leaf["termAttributes"])
            offer.terms.setdefault(name, []).extend(leaf["priceDimensions"].values())
    earlier = offers.setdefault(product["sku"], offer)
    if earlier.usage_type != offer.usage_type:
        raise SnapshotError(f"{where}: two products have the SKU {product['sku']}")


def read_offers(folder):
    """Index the offer files and the recorded GetProducts answers by SKU."""
    offers = {}
    for path in sorted((folder / "offers").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for sku, product in document["products"].items():
            terms = {kind: by_sku[sku] for kind, by_sku in document["terms"].items()
                     if sku in by_sku}
            _add(offers, product, terms, path.name)
    for path in sorted((folder / "getproducts").glob("recorded-*.json")):
        for entry in json.loads(path.read_text(encoding="utf-8")):
            _add(offers, entry["product"], entry["terms"], path.name)
    return offers


def _price(dimension, where):
    """Return the USD price of a price dimension."""
    return decimal_of(dimension["pricePerUnit"]["USD"], where)


def find_dimension(offer, term, begin, where):
    """Return the price dimension of a term whose tier starts at `begin`."""
    found = [dimension for dimension in offer.terms.get(term, [])
             if dimension["unit"] != "Quantity"
             and decimal_of(dimension.get("beginRange", "0"), where) == begin]
    if len(found) != 1:
        raise SnapshotError(f"{where}: {len(found)} price dimensions for {term} from {begin}")
    return found[0]


def find_upfront(offer, term, where):
    """Return the upfront fee of a Reserved term."""
    fees = [_price(dimension, where) for dimension in offer.terms.get(term, [])
            if dimension["unit"] == "Quantity"]
    return sum(fees, Decimal(0))


def dimension_price(dimension, where):
    """Return the price of a dimension found with find_dimension."""
    return _price(dimension, where)


def read_allowance(folder, service_code, usage_type):
    """Return (sku, quantity, sku list, publication date) of a free global product."""
    path = folder / "offers" / f"{service_code}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    skus = [sku for sku, product in document["products"].items()
            if product["attributes"].get("usagetype") == usage_type]
    if len(skus) != 1:
        raise SnapshotError(f"{path.name}: {len(skus)} products with usage type {usage_type}")
    (term,) = document["terms"]["OnDemand"][skus[0]].values()
    (dimension,) = term["priceDimensions"].values()
    if _price(dimension, path.name) != 0:
        raise SnapshotError(f"{path.name}: {usage_type} is not free")
    targets = {sku: document["products"][sku]["attributes"]["usagetype"]
               for sku in dimension["appliesTo"] if sku in document["products"]}
    return skus[0], dimension, targets, document["publicationDate"][:10]
