"""Price lists as AWS writes them, from data: the JSON layout byte for byte, and the CSV form of the same content."""
from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

LEADING = ["SKU", "OfferTermCode", "RateCode", "TermType", "PriceDescription", "EffectiveDate", "StartingRange",
           "EndingRange", "Unit",
           "PricePerUnit", "Currency", "RelatedTo", "LeaseContractLength", "PurchaseOption", "OfferingClass",
           "Product Family"]
COLUMNS = {
    "servicecode": "serviceCode", "usagetype": "usageType", "servicename": "serviceName", "vcpu": "vCPU",
    "ecu": "ECU", "gpu": "GPU",
    "gpuMemory": "GPU Memory", "capacitystatus": "CapacityStatus", "marketoption": "MarketOption",
    "availabilityzone": "AvailabilityZone",
    "classicnetworkingsupport": "ClassicNetworkingSupport", "vpcnetworkingsupport": "VPCNetworkingSupport",
    "instancesku": "instanceSKU",
    "preInstalledSw": "Pre Installed S/W", "volumeApiName": "Volume API Name", "maxIopsvolume": "Max IOPS/volume",
    "maxThroughputvolume": "Max throughput/volume", "dedicatedEbsThroughput": "Dedicated EBS Throughput",
    "intelAvxAvailable": "Intel AVX Available", "intelAvx2Available": "Intel AVX2 Available", "operation": "operation",
    "maxIopsBurstPerformance": "Max IOPS Burst Performance",
    "lambdaManagedInstances-RequestType": "lambdaManagedInstances-RequestType",
}


def text(value: Any, indent: int = 0) -> str:
    """JSON as the price list prints it: two spaces, ` : `, `{ }` and `[ ]` when empty, lists on one line"""
    if isinstance(value, Mapping):
        inner = " " * (indent + 2)
        body = ",\n".join(f"{inner}{json.dumps(key, ensure_ascii=False)} : {text(each, indent + 2)}"
                          for key, each in value.items())
        return f"{{\n{body}\n{' ' * indent}}}" if value else "{ }"
    if isinstance(value, list):
        return f"[ {', '.join(text(each, indent) for each in value)} ]" if value else "[ ]"
    return json.dumps(value, ensure_ascii=False)


def column(name: str) -> str:
    """The CSV column of a JSON attribute: `transferType` is `Transfer Type`"""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)
    return COLUMNS.get(name) or (" ".join(word[0].upper() + word[1:] for word in words) if len(words) > 1 else name)


def line(fields: Iterable[str]) -> str:
    """One CSV line: every field quoted, empty fields bare"""
    return ",".join('"' + field.replace('"', '""') + '"' if field else "" for field in fields) + "\n"


def records(document: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    """Each price dimension joined with its product, by column, in the order of SKU and term"""
    for sku, product in sorted(document["products"].items()):
        attributes = {column(name): value for name, value in product["attributes"].items()}
        terms = [(code, kind, term) for kind, skus in document["terms"].items()
                 for code, term in skus.get(sku, {}).items()]
        for _, kind, term in sorted(terms, key=lambda each: each[:2]):
            lease = term["termAttributes"]
            for rate_code, dimension in term["priceDimensions"].items():
                for currency, amount in dimension["pricePerUnit"].items():
                    values = [sku, term["offerTermCode"], rate_code, kind, dimension.get("description", ""),
                              term["effectiveDate"][:10],
                              dimension.get("beginRange", ""), dimension.get("endRange", ""), dimension.get("unit", ""),
                              amount, currency, "",
                              lease.get("LeaseContractLength", ""), lease.get("PurchaseOption", ""),
                              lease.get("OfferingClass", ""), product.get("productFamily", "")]
                    yield {**dict(zip(LEADING, values, strict=True)), **attributes}


def head(document: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The five metadata lines with the header line, and the columns"""
    names = dict.fromkeys(column(name) for product in document["products"].values() for name in product["attributes"])
    columns = [*LEADING, *names]
    lines = [("FormatVersion", document.get("formatVersion", "v1.0")), ("Disclaimer", document.get("disclaimer", "")),
             ("Publication Date", document.get("publicationDate", "")), ("Version", document.get("version", "")),
             ("OfferCode", document.get("offerCode", ""))]
    return "".join(map(line, [*lines, columns])), columns


def to_csv(document: Mapping[str, Any], quoted: bool = True) -> str:
    """The whole price list as CSV; unquoted as the Savings Plan files are"""
    opening, columns = head(document)
    found = [[record.get(name, "") for name in columns] for record in records(document)]
    if quoted:
        return opening + "".join(map(line, found))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*csv.reader(io.StringIO(opening)), *found])
    return out.getvalue()
