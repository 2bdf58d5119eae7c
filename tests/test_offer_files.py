"""Offer files: none of the rows is lost, both forms agree, and no damage changes a price."""
from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from offer_writer import text, to_csv

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.prices.book import Query
from pretamane_analysis.prices.offer_book import OfferBook, matching
from pretamane_analysis.prices.offer_files import rows
from pretamane_analysis.prices.offer_scan import Irregular
from pretamane_analysis.prices.offer_scan_csv import scan_csv

DATA = Path(__file__).parent / "data" / "offers"
EXCERPTS = sorted(DATA.glob("*/*.json"))
EVERYTHING = {"usagetype": "*"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep nothing in the user's cache folder"""
    monkeypatch.setenv("PRETAMANE_CACHE", str(tmp_path / "cache"))


def facts() -> Path:
    """Return the folder of the real offer files, or skip"""
    folder = Path(os.environ.get("PRETAMANE_PRICE_FACTS") or Path(__file__).parents[2] / "shared" / "prices") / "offers"
    if not folder.is_dir():
        pytest.skip("allowed: the real offer files are not beside the repository")
    return folder


def plain(found) -> list:
    """Rows in a fixed order, without what the CSV form does not say: the time of the date, and empty attributes"""
    def short(row):
        attributes = {key: value for key, value in json.loads(row.attributes_json).items() if value}
        return row._replace(effective_date=row.effective_date[:10],
                            attributes_json=json.dumps(attributes, sort_keys=True))
    return sorted(map(short, found))


def count(document: dict) -> int:
    """How many prices a document has"""
    return sum(len(each["pricePerUnit"]) for skus in document["terms"].values() for terms in skus.values()
               for term in terms.values() for each in term["priceDimensions"].values())


def test_real_files_whole(tmp_path):
    """Every real file: as many rows as prices, and the same in all four forms"""
    for source in sorted(facts().glob("*.json")):
        document = json.loads(source.read_text(encoding="utf-8"))
        found = list(rows(source))
        assert len(found) == count(document), source.name
        assert len({row[:3] + row[11:12] for row in found}) == len(found)
        table = tmp_path / "table"
        table.write_text(to_csv(document), encoding="utf-8")
        assert plain(rows(table)) == plain(found), source.name
        assert plain(matching(source, EVERYTHING, kinds=("OnDemand", "Reserved"))) == plain(found), source.name
        assert plain(matching(table, EVERYTHING, kinds=("OnDemand", "Reserved"))) == plain(found), source.name


PRICES = [
    (Query("AWSELB", "LoadBalancerUsage", "Hrs", "sa-east-1",
           attributes=(("operation", "LoadBalancing:Application"),)), ["0.034"]),
    (Query("AmazonEC2", "EBS:VolumeUsage.gp3", "GB-Mo", "sa-east-1"), ["0.152"]),
    (Query("AWSDataTransfer", "DataTransfer-Out-Bytes", "GB", "sa-east-1"), ["0.15", "0.138", "0.126", "0.114"]),
    (Query("AWSDataTransfer", "Global-DataTransfer-Out-Bytes", "GB", "global"), ["0"]),
]


@pytest.mark.parametrize("form", ["json", "csv", "json.gz", "csv.gz", "compact"])
def test_chosen_prices(form, tmp_path):
    """A book answers the same from every form, in a second book as well"""
    for source in EXCERPTS:
        document = json.loads(source.read_text(encoding="utf-8"))
        content = (json.dumps(document) if form == "compact" else to_csv(document) if "csv" in form
                   else source.read_text(encoding="utf-8"))
        target = tmp_path / source.parent.name / f"sa-east-1.{'json' if form == 'compact' else form}"
        target.parent.mkdir()
        target.write_bytes(gzip.compress(content.encode()) if form.endswith("gz") else content.encode())
    for _ in range(2):
        book = OfferBook(place=str(tmp_path))
        for query, expected in PRICES:
            assert [tier.usd for tier in book.find(query).tiers] == list(map(Decimal, expected)), query


def test_real_book():
    """Prices of files that are too large to be copied here"""
    rate = OfferBook(place=str(facts() / "AmazonEKS.json")).find
    cluster = rate(Query("AmazonEKS", "AmazonEKS-Hours:perCluster", "Hrs", "sa-east-1",
                         attributes=(("operation", "CreateOperation"),)))
    extended = rate(Query("AmazonEKS", "AmazonEKS-Hours:extendedSupport", "Hrs", "sa-east-1"))
    assert (cluster.tiers[0].usd, extended.tiers[0].usd) == (Decimal("0.1"), Decimal("0.5"))


NAMES = ["location", "instanceType", "preInstalledSw", "volumeApiName", "vcpu", "operatingSystem", "capacitystatus",
         "fromRegionCode"]
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
CODES = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=16, max_size=16)
MONEY = st.decimals(0, 9999, places=10).map(str)


@st.composite
def lists(draw):
    """Any price list of the schema"""
    products, terms = {}, {"OnDemand": {}, "Reserved": {}}
    for sku in draw(st.lists(CODES, min_size=1, max_size=6, unique=True)):
        attributes = draw(st.dictionaries(st.sampled_from(NAMES), WORDS)) | {"usagetype": draw(WORDS),
                                                                             "regionCode": draw(WORDS)}
        products[sku] = {"sku": sku,
                         "attributes": attributes} | ({"productFamily": draw(WORDS)} if draw(st.booleans()) else {})
        for kind in draw(st.sets(st.sampled_from(["OnDemand", "Reserved"]))):
            code = draw(CODES)[:10]
            lease = {"LeaseContractLength": "1yr", "PurchaseOption": "No Upfront",
                     "OfferingClass": "standard"} if kind == "Reserved" else {}
            dimensions = {f"{sku}.{code}.{number}": {"rateCode": f"{sku}.{code}.{number}", "beginRange": str(number),
                                                     "endRange": "Inf",
                          "unit": draw(WORDS), "pricePerUnit": {"USD": draw(MONEY)},
                                                     "appliesTo": []} for number in range(draw(st.integers(1, 3)))}
            terms[kind][sku] = {f"{sku}.{code}": {"offerTermCode": code, "sku": sku,
                                                  "effectiveDate": "2026-08-01T00:00:00Z",
                                                  "priceDimensions": dimensions, "termAttributes": lease}}
    return {"formatVersion": "v1.0", "offerCode": "Any", "products": products, "terms": terms}


def turned(value):
    """The same JSON with the keys of every object the other way round"""
    return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(document=lists())
def test_none_is_lost(document, tmp_path):
    """Whatever the layout, every price comes out, through `rows` and through the fast pass"""
    expected = None
    forms = [text(document), json.dumps(document), json.dumps(turned(document), indent=4, ensure_ascii=False),
             text(turned(document)), to_csv(document), to_csv(document, quoted=False)]
    for number, content in enumerate(forms):
        path = tmp_path / f"{number}"
        path.write_bytes(content.encode())
        found = plain(rows(path))
        expected = expected or found
        assert len(found) == count(document)
        assert found == expected, content
        assert plain(matching(path, EVERYTHING, kinds=("OnDemand", "Reserved"))) == expected, content


def answers(path: Path) -> tuple:
    """What a file says, in every way of asking"""
    book = OfferBook(place=str(path))
    query = Query("AmazonEC2", "EBS:VolumeUsage.gp3", "GB-Mo", "sa-east-1")
    return plain(matching(path, EVERYTHING)), book.find(query).tiers[0].usd, len(list(rows(path)))


@pytest.fixture(scope="module")
def small() -> dict:
    """A small EC2 list: the volumes and one instance with Reserved terms"""
    document = json.loads((DATA / "AmazonEC2" / "sa-east-1.json").read_text(encoding="utf-8"))
    instance = next(sku for sku in document["terms"]["Reserved"])
    keep = {sku for sku, product in document["products"].items()
            if "instanceType" not in product["attributes"]} | {instance}
    terms = {kind: {sku: each for sku, each in skus.items() if sku in keep} for kind, skus in document["terms"].items()}
    return {**document, "products": {sku: document["products"][sku] for sku in sorted(keep)}, "terms": terms}


def damaged(path: Path, content: bytes, expected: tuple) -> None:
    """Damaged content answers the same or not at all"""
    path.write_bytes(content)
    for ask in (lambda: answers(path)[0], lambda: answers(path)[1], lambda: answers(path)[2]):
        try:
            found = ask()
        except PretamaneError:
            continue
        assert found in expected


@pytest.mark.parametrize("form", ["json", "csv", "json.gz"])
def test_truncated(form, small, tmp_path):
    """A file that was cut never passes for whole; CSV that is cut between lines is the one that cannot be told"""
    content = (to_csv(small) if form == "csv" else text(small)).encode()
    content = gzip.compress(content) if form.endswith("gz") else content
    path = tmp_path / "whole"
    path.write_bytes(content)
    answers(path)
    path = tmp_path / "cut"
    for end in range(0, len(content) - 1, max(1, len(content) // 70)):
        if form == "csv" and content[end - 1:end] == b"\n":
            continue
        path.write_bytes(content[:end])
        for ask in (lambda: list(rows(path)), lambda: matching(path, EVERYTHING),
                    lambda: OfferBook(place=str(path)).find(PRICES[1][0])):
            with pytest.raises(PretamaneError):
                ask()


@pytest.mark.parametrize("form", ["json", "csv"])
def test_noted_size(form, small, tmp_path):
    """A downloaded file that was cut anywhere, also between lines, is refused by its note"""
    content = (to_csv(small) if form == "csv" else text(small)).encode()
    path = tmp_path / "index"
    path.write_bytes(content[:content.rindex(b"\n", 0, -1) + 1])
    Path(f"{path}.note.json").write_text(json.dumps({"size": len(content)}))
    with pytest.raises(PretamaneError, match="bytes, not the"):
        list(rows(path))


@pytest.mark.parametrize("form", ["json", "csv"])
def test_corrupted(form, small, tmp_path):
    """Bytes that no text has: the same answer or an error"""
    content = (to_csv(small) if form == "csv" else text(small)).encode()
    path, dice = tmp_path / "whole", random.Random(6)
    path.write_bytes(content)
    expected = answers(path)
    for number in range(40):
        at, length = dice.randrange(len(content)), dice.choice([1, 4, 512])
        junk = dice.choice([b"\0", b"\xff"])
        damaged(tmp_path / f"{number}", content[:at] + junk * length + content[at + length:], expected)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><title>404</title>", b"\x1f\x8b\x08\0junk", b"{}",
                                     b'{"products": {}', b"[]", b"a,b\n1,2\n",
                                     b'{"products": [], "terms": {"OnDemand": {"A": {}}}}'])
def test_no_offer_file(content, tmp_path):
    """What is no offer file says so"""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(PretamaneError, match="file"):
        list(rows(path))
    with pytest.raises(PretamaneError):
        matching(path, EVERYTHING)


def test_index_is_only_a_help(tmp_path):
    """A damaged or stale index is ignored"""
    path, query = tmp_path / "index.json", PRICES[1][0]
    path.write_bytes((DATA / "AmazonEC2" / "sa-east-1.json").read_bytes())
    assert OfferBook(place=str(path)).find(query).tiers[0].usd == Decimal("0.152")
    for kept in (tmp_path / "cache" / "offers").iterdir():
        kept.write_bytes(kept.read_bytes()[:-9])
    assert OfferBook(place=str(path)).find(query).tiers[0].usd == Decimal("0.152")
    path.write_bytes(path.read_bytes().replace(b'"USD" : "0.1520000000"', b'"USD" : "0.2520000000"'))
    assert OfferBook(place=str(path)).find(query).tiers[0].usd == Decimal("0.252")


def test_rows_that_were_kept_are_proven(tmp_path):
    """A digit that changed in the rows of a compressed file is noticed, and the next process reads the file anew"""
    path, query = tmp_path / "index.json.gz", PRICES[1][0]
    path.write_bytes(gzip.compress((DATA / "AmazonEC2" / "sa-east-1.json").read_bytes()))
    assert OfferBook(place=str(path)).find(query).tiers[0].usd == Decimal("0.152")
    kept = next((tmp_path / "cache" / "offers").glob("*.rows"))
    kept.write_bytes(kept.read_bytes().replace(b"0.1520000000", b"0.2520000000"))
    with pytest.raises(PretamaneError, match="damaged"):
        OfferBook(place=str(path)).find(query)
    assert OfferBook(place=str(path)).find(query).tiers[0].usd == Decimal("0.152")


BOUND = """
import resource, sys
from pretamane_analysis.prices.offer_book import OfferBook, matching
from pretamane_analysis.prices.offer_files import rows
from pretamane_analysis.prices.book import Query
path = sys.argv[1]
matching(path, {"operatingSystem": "Linux"}, whole=False)
OfferBook(place=path).find(Query("AmazonEC2", "EBS:VolumeUsage.gp3", "GB-Mo", "sa-east-1"))
if path.endswith("csv"):
    assert sum(1 for _ in rows(path)) > 20000
own = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
print((own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024)
"""  # not ru_maxrss of the process itself: it begins with what the test runner had when it started this one


@pytest.mark.parametrize("change", [
    ("none", str, True),
    ("no quotes", lambda text: text.replace('"\n"SKU', '\n"SKU').replace('","', ",").replace('"', ""), False),
    ("another fourth column", lambda text: text.replace("TermType", "TermKind"), False),
    ("another usage type column", lambda text: text.replace("usageType", "usageKind"), False),
], ids=lambda each: each[0])
def test_only_known_columns_are_scanned(change, small, tmp_path):
    """The fast pass takes a CSV file only when it is quoted, begins with four known columns and has usage types"""
    _, made, fits = change
    path = tmp_path / "index.csv"
    path.write_text(made(to_csv(small)), encoding="utf-8")
    if fits:
        assert scan_csv(path).index
    else:
        with pytest.raises(Irregular, match="other columns"):
            scan_csv(path)


PARTS = """
import sys
from pretamane_analysis.prices import offer_scan_csv
from pretamane_analysis.prices.offer_scan import Question
question, path = Question(((("usagetype", "*"),),), ("OnDemand", "Reserved")), sys.argv[1]
whole, index = offer_scan_csv.scan_csv(path, question).rows, offer_scan_csv.scan_csv(path).index
for count in range(2, 40):
    offer_scan_csv._processes = lambda size: count
    assert offer_scan_csv.scan_csv(path, question).rows == whole
    spans = [line.split(b"\\t") for line in offer_scan_csv.scan_csv(path).index]
    assert sum(int(span[4]) for span in spans) == sum(int(line.split(b"\\t")[4]) for line in index)
    assert {span[2] for span in spans} == {line.split(b"\\t")[2] for line in index}
"""


def test_several_processes_read_the_same(small, root, tmp_path):
    """However a CSV file is cut between processes, no line is lost or read twice"""
    path = tmp_path / "index.csv"
    path.write_text(to_csv(small), encoding="utf-8")
    subprocess.run([sys.executable, "-c", PARTS, path], check=True, cwd=root)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_memory_is_bounded(form, root, tmp_path):
    """A file of 60 MB is read in less than 150 MB"""
    path = tmp_path / f"index.{form}"
    subprocess.run([sys.executable, root / "benchmarks" / "offer_generator.py", form, path, "60000000"], check=True)
    found = subprocess.run([sys.executable, "-c", BOUND, path], check=True, capture_output=True, text=True, cwd=root)
    assert int(found.stdout) < 150
