"""A snapshot is written whole or not at all, and what is written reads back as the same prices."""
from __future__ import annotations

import builtins
import errno
import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.prices.book import (
    AmbiguousPrice,
    Price,
    PriceBook,
    PriceError,
    Query,
    Tier,
)
from pretamane_analysis.prices.rows import RowBook, prices_of, rows_of_term
from pretamane_analysis.prices.snapshot import Snapshot, bundled
from pretamane_analysis.prices.snapshot_diff import diff, summary
from pretamane_analysis.prices.snapshot_writer import (
    citations,
    intact,
    prices_in,
    write_snapshot,
)

DAY = date(2026, 11, 22)
OFFERS = [{"service": "AmazonEC2", "region": "us-east-1", "version": "20261122000000",
           "publication_date": "2026-11-22T00:00:00Z", "source": "example", "sha256": "0" * 64}]
WORKER = """
import sys
from test_snapshot_writer import DAY, OFFERS, many, write_snapshot
print("ready", flush=True)
for number in range(int(sys.argv[2]), 10**9):
    write_snapshot(sys.argv[1], many(number), OFFERS, DAY)
"""


def one(usd: str | Decimal = "0.0416", **changes) -> Price:
    """One price, the same but for the changes"""
    fields = {"service": "AmazonEC2", "usage_type": "BoxUsage:t3.medium", "unit": "Hrs", "region": "us-east-1",
              "purchase_option": "OnDemand"}
    return Price(**{**fields, "tiers": (Tier(Decimal(usd), as_of="2026-11-20", source="example"),), **changes})


def many(number: int) -> list[Price]:
    """A snapshot of several files in which every rate is `number`"""
    return [one(Decimal(number), usage_type=f"BoxUsage:t{each}.medium",
                region=region) for region in ("us-east-1", "eu-west-1", "sa-east-1")
            for each in range(20)]


def held(folder: Path) -> set[Decimal]:
    """Every rate of a snapshot, after the check that it is complete"""
    manifest = intact(folder)
    found = list(prices_in(Snapshot(folder=folder)))
    assert len(found) == manifest["kept"]["prices"] == 60
    return {tier.usd for price in found for tier in price.tiers}


def as_found(price: Price) -> tuple:
    """A price without the order of its attributes"""
    return (price.service, price.region, price.usage_type, price.purchase_option, price.unit, dict(price.attributes),
            price.sku, price.tiers)


# What is written reads back

WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,7}", fullmatch=True)
RATE = st.decimals(0, 10_000,
                   places=10) | st.sampled_from([Decimal("1E+3"), Decimal("1E-12"), Decimal(0), Decimal(396) / 8760])


@st.composite
def tier_lists(draw):
    """One to three tiers that follow each other"""
    bounds = [Decimal(0), *sorted(draw(st.sets(st.integers(1, 10**6), max_size=2)))]
    text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
    return tuple(Tier(draw(RATE), Decimal(begin), None if end is None else Decimal(end), draw(text),
                      draw(st.sampled_from(["", "2026", "2026-11-22"])),
                      draw(st.sampled_from(["listed", "page", "derived"])), draw(text), draw(text), draw(RATE))
                 for begin, end in zip(bounds, [*bounds[1:], None]))


PRICES = st.builds(Price, NAME, WORD, WORD, NAME, WORD, tier_lists(), st.text("ABC123", max_size=4),
                   st.dictionaries(st.sampled_from(["operation", "productFamily", "group", "a;b", "c=d",
                                                    "e%3B"]) | WORD,
                                   st.text(st.characters(codec="utf-8"), max_size=6),
                                   max_size=4).map(lambda found: tuple(found.items())))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(PRICES, min_size=1, max_size=6,
                unique_by=lambda p: (p.service.lower(), p.region.lower(), p.usage_type)))
def test_any_prices_survive(prices):
    """Every price that can be told apart is found again, equal in every part"""
    with TemporaryDirectory() as place:
        write_snapshot(place, prices, OFFERS, DAY)
        intact(place)
        book = Snapshot(folder=Path(place))
        for price in prices:
            found = book.find(Query(price.service, price.usage_type, price.unit, price.region, price.purchase_option,
                                    price.attributes))
            assert as_found(found) == as_found(price)
        assert diff(prices, book) == []


@st.composite
def offer_files(draw):
    """An offer file as the price list lays it out: products with On Demand and Reserved terms, neighbors included"""
    products, terms = {}, {"OnDemand": {}, "Reserved": {}}
    for number in range(draw(st.integers(1, 5))):
        sku = f"SKU{number}"
        attributes = {"servicecode": "AmazonEC2", "regionCode": "sa-east-1", "locationType": "AWS Region",
                      "operation": draw(st.sampled_from(["", "RunInstances", "RunInstances:0002"])),
                      "usagetype": f"SAE1-BoxUsage:t{draw(st.integers(2, 4))}.micro",
                      "tenancy": draw(st.sampled_from(["Shared", "Dedicated"])),
                      "capacitystatus": draw(st.sampled_from(["Used", "UnusedCapacityReservation"])),
                      **draw(st.dictionaries(WORD, WORD, max_size=2))}
        products[sku] = {"sku": sku, "productFamily": draw(st.sampled_from(["Compute Instance", ""])),
                         "attributes": attributes}
        for kind, code, lease in (("OnDemand", "JRTCKXETXF", {}), ("Reserved", "HU7G6KETJZ", {
                "LeaseContractLength": "1yr", "PurchaseOption": "Partial Upfront", "OfferingClass": "standard"})):
            bound = str(draw(st.integers(1, 9999)))
            ranges = (draw(st.sampled_from([[("0", "Inf")], [("0", bound), (bound, "Inf")]])) if kind == "OnDemand"
                      else [("0", "Inf")])
            dimensions = {f"{sku}.{code}.{begin}": {"rateCode": f"{sku}.{code}.{begin}", "unit": draw(
                st.sampled_from(["Hrs", "hours"])) if len(ranges) == 1 else "Hrs", "beginRange": begin, "endRange": end,
                                                   "pricePerUnit": {"USD": f"{draw(RATE):f}"}} for begin, end in ranges}
            if lease:
                dimensions[f"{sku}.{code}.fee"] = {"unit": "Quantity",
                                                   "pricePerUnit": {"USD": str(draw(st.integers(0, 999)))}}
            terms[kind][sku] = {f"{sku}.{code}": {"offerTermCode": code, "sku": sku,
                                                  "effectiveDate": "2026-08-01T00:00:00Z",
                                                  "termAttributes": lease, "priceDimensions": dimensions}}
    return {"offerCode": "AmazonEC2", "products": products, "terms": terms}


def book_of(offer: dict) -> RowBook:
    """An offer file through rows and prices into a book"""
    rows = [row for kind, found in offer["terms"].items() for sku, terms in found.items() for term in terms.values()
            for row in rows_of_term(offer["products"][sku], kind, term)]
    book = RowBook()
    book.add(prices_of(rows, offer["offerCode"], "offer"))
    return book


def answer(book: PriceBook, query: Query) -> object:
    """The price, or the kind of error"""
    try:
        return as_found(book.find(query))
    except PriceError as error:
        return type(error)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(offer_files())
def test_any_price_list_survives(offer):
    """JSON -> rows -> prices -> snapshot -> find: the same price, or the same error, for narrow and wide questions"""
    live = book_of(offer)
    prices = [price for found in live.index.values() for price in found]
    assume(prices)
    queries = [Query(price.service, price.usage_type, price.unit, price.region, price.purchase_option, attributes)
               for price in prices for attributes in (price.attributes, (), tuple(
                   each for each in price.attributes if each[0] in ("tenancy", "operation")))]
    with TemporaryDirectory() as place:
        try:
            write_snapshot(place, prices, OFFERS, DAY)
        except PriceError as error:
            assert "nothing tells apart" in str(error)
            assert AmbiguousPrice in [answer(live, query) for query in queries]
            return
        book = Snapshot(folder=Path(place))
        assert [answer(book, query) for query in queries] == [answer(live, query) for query in queries]


def test_the_bundled_snapshot_survives(tmp_path):
    """All prices of two regions that come with the package, with their tiers, sources and odd names"""
    book, regions = bundled(), ("global", "sa-east-1")
    prices = [price for service in book.manifest["services"] for region in regions if region in book.regions(service)
              for usage_type in book.usage_types(service,
                                                 region) for price in book.candidates(service, region, usage_type)]
    manifest = write_snapshot(tmp_path / "new", prices, OFFERS, DAY, "a copy", {"offer-AmazonEC2": "where it is from"})
    assert diff(prices, Snapshot(folder=tmp_path / "new")) == []
    assert (manifest["kept"]["prices"] == len(prices) > 3000 and manifest["as_of"] == "2026-11-22"
            and manifest["note"] == "a copy")
    assert manifest["offers"] == OFFERS
    assert {code: entry["regions"] for code, entry in manifest["services"].items()} == {
        code: found for code in book.manifest["services"]
        if (found := [each for each in regions if each in book.regions(code)])}
    assert citations(tmp_path / "new")["offer-AmazonEC2"] == "where it is from"


def test_odd_characters(tmp_path):
    """What ends a field, a line, a name or a value early"""
    odd = ["\r", "\n", "\0", ";", "=", "%3B", ",", '"', " ", "", "\u2028", "é"]
    prices = [one(usage_type=f"type {number}", attributes=(("operation", text), ("productFamily", text),
                                                           (f"a{text}", text))) for number, text in enumerate(odd)]
    write_snapshot(tmp_path, prices, OFFERS, DAY)
    for price in prices:
        assert as_found(Snapshot(folder=tmp_path).find(Query("AmazonEC2", price.usage_type, "Hrs", "us-east-1",
                                                             attributes=price.attributes))) == as_found(price)


@pytest.mark.parametrize("old, new", [(",0,Inf,", ",0,Inf,,"), (",0,Inf,1,", ",0,Inf,one,"), ("usage_type", "usage"),
                                      (",0,Inf,", ","), ("confidence", "sure")])
def test_a_file_that_is_no_snapshot(tmp_path, old, new):
    """A row that is too short or too long, a rate that is no number, columns that are missing: PretamaneError, no
    traceback"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    path = tmp_path / "data-1" / "AmazonEC2" / "us-east-1.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(PretamaneError):
        Snapshot(folder=tmp_path).find(Query("AmazonEC2", "BoxUsage:t0.medium", "Hrs", "us-east-1"))


def test_same_prices_same_bytes(tmp_path):
    """Two refreshes on one day differ in nothing, whatever the order"""
    for name, prices in (("first", many(3)), ("second", many(3)[::-1])):
        write_snapshot(tmp_path / name, prices, OFFERS, DAY)
    first, second = ({path.relative_to(tmp_path / name): path.read_bytes()
                      for path in sorted((tmp_path / name).rglob("*")) if path.is_file()}
                     for name in ("first", "second"))
    assert first == second


# What is refused

@pytest.mark.parametrize("prices, words", [
    ([], "no price"),
    ([one("NaN")], "not a rate"),
    ([one("-1")], "not a rate"),
    ([one(service="../up")], "needs a service"),
    ([one(region="")], "needs a service"),
    ([one(tiers=())], "needs a service"),
    ([one("1"), one("2")], "nothing tells apart"),
    ([one("1", sku="A"), one("1", sku="B")], "nothing tells apart"),
    ([one(tiers=(Tier(Decimal(1)), Tier(Decimal(2), Decimal(5))))], "overlap"),
    ([one(tiers=(Tier(Decimal(1), Decimal(5), Decimal(9)), Tier(Decimal(2), Decimal(0), Decimal(5))))], "out of order"),
    ([one(tiers=(Tier(Decimal(1), confidence="sure"),))], "not a rate"),
    ([one(usage_type="\ud800")], "not Unicode"),
    ([one(usage_type="a\rb")], "control character"),
    ([one(tiers=(Tier(Decimal(1), note="a\nb"),))], "control character"),
])
def test_what_is_no_price_is_refused(tmp_path, prices, words):
    """Before anything is written, with the reason; the old snapshot stays"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    with pytest.raises(PriceError, match=words):
        write_snapshot(tmp_path, prices, OFFERS, DAY)
    assert held(tmp_path) == {1}


def test_other_folders_are_left_alone(tmp_path):
    """A folder that holds something else, a damaged manifest, a file in the way, an offer without a source"""
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(PretamaneError, match="holds no snapshot: letter.txt"):
        write_snapshot(tmp_path, many(1), OFFERS, DAY)
    with pytest.raises(PretamaneError, match="cannot write the snapshot"):
        write_snapshot(tmp_path / "letter.txt", many(1), OFFERS, DAY)
    with pytest.raises(PriceError, match="an offer names"):
        write_snapshot(tmp_path / "new", many(1), [{"service": "AmazonEC2"}], DAY)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(PretamaneError, match="not a price snapshot"):
        write_snapshot(tmp_path, many(1), OFFERS, DAY)


def test_only_files_of_a_snapshot_are_removed(tmp_path):
    """A flat snapshot is replaced; files that are not the snapshot's stay, also in its folders"""
    write_snapshot(tmp_path / "made", many(1), OFFERS, DAY)
    (tmp_path / "made" / "data-1").rename(tmp_path / "flat")
    own = {"notes.txt": "mine", "tables/mine.csv": "a,b\n", "data-7/readme.txt": "mine"}
    for name, text in own.items():
        (tmp_path / "flat" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "flat" / name).write_text(text)
    assert held(tmp_path / "flat") == {1}
    write_snapshot(tmp_path / "flat", many(2), OFFERS, DAY)
    assert held(tmp_path / "flat") == {2}
    assert all((tmp_path / "flat" / name).read_text() == text for name, text in own.items())
    assert sorted(path.name for path in (tmp_path / "flat").iterdir()) == ["data-7", "data-8", "manifest.json",
                                                                           "notes.txt", "tables"]


def test_a_damaged_snapshot_is_seen(tmp_path):
    """A changed byte and a missing file are errors, not other prices"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    path = tmp_path / "data-1" / "AmazonEC2" / "us-east-1.csv"
    path.write_text(path.read_text().replace(",1,", ",2,", 1))
    with pytest.raises(PretamaneError, match="not the file that was written"):
        intact(tmp_path)
    path.unlink()
    with pytest.raises(PretamaneError, match="a file of the snapshot is missing"):
        Snapshot(folder=tmp_path).find(Query("AmazonEC2", "BoxUsage:t0.medium", "Hrs", "us-east-1"))


def test_a_reader_never_mixes_two_dates(tmp_path):
    """A book that was opened before a refresh says so instead of reading the new file"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    book = Snapshot(folder=tmp_path)
    assert book.find(Query("AmazonEC2", "BoxUsage:t0.medium", "Hrs", "us-east-1")).tiers[0].usd == 1
    write_snapshot(tmp_path, many(2), OFFERS, DAY)
    assert book.find(Query("AmazonEC2", "BoxUsage:t0.medium", "Hrs", "us-east-1")).tiers[0].usd == 1
    with pytest.raises(PretamaneError, match="start again"):
        book.find(Query("AmazonEC2", "BoxUsage:t0.medium", "Hrs", "eu-west-1"))


# Failure at every step

class Steps:
    """Counts the calls that change or read the folder, and acts at one of them"""

    def __init__(self, patch: pytest.MonkeyPatch, act: Callable[[], None], at: int = -1):
        self.count, self.at, self.act = 0, at, act
        for module, name in ((os, "fsync"), (os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"), (os, "open"),
                             (os, "listdir"), (builtins, "open"), (io, "open")):
            patch.setattr(module, name, self.counted(getattr(module, name)))

    def counted(self, function: Callable) -> Callable:
        """The function, with a step before it"""
        def step(*arguments, **named):
            self.count += 1
            if self.count == self.at:
                self.act()
            return function(*arguments, **named)
        return step


def full() -> None:
    """Fail as a full disk does"""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill() -> None:
    """End this process at once"""
    os.kill(os.getpid(), signal.SIGKILL)


def steps(folder: Path) -> int:
    """How many steps it takes to replace a snapshot"""
    with pytest.MonkeyPatch.context() as patch:
        found = Steps(patch, full)
        write_snapshot(folder, many(1), OFFERS, DAY)
    return found.count


def test_an_error_at_each_step(tmp_path):
    """Wherever the disk is full, the folder holds a complete snapshot: the old one if the call failed before the
    swap"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    total, failed = steps(tmp_path), 0
    assert total > 30
    for at in range(1, total + 1):
        write_snapshot(tmp_path, many(1), OFFERS, DAY)
        try:
            with pytest.MonkeyPatch.context() as patch:
                Steps(patch, full, at)
                write_snapshot(tmp_path, many(2), OFFERS, DAY)
        except PretamaneError as error:
            failed += 1
            assert "No space left" in str(error), at
            assert held(tmp_path) in ({1}, {2}), at
            assert at > total - 20 or held(tmp_path) == {1}, at
        else:
            assert held(tmp_path) == {2}, at
    assert failed > total / 2
    write_snapshot(tmp_path, many(3), OFFERS, DAY)
    assert held(tmp_path) == {3} and len(list(tmp_path.iterdir())) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_kill_at_each_step(tmp_path):
    """kill -9 at each step leaves the old snapshot or the new one, complete; the next run cleans up"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    total, seen = steps(tmp_path), []
    for at in range(1, total + 1):
        write_snapshot(tmp_path, many(1), OFFERS, DAY)
        assert len(list(tmp_path.iterdir())) == 2
        if not (child := os.fork()):
            Steps(pytest.MonkeyPatch(), kill, at)
            write_snapshot(tmp_path, many(2), OFFERS, DAY)
            os._exit(0)
        os.waitpid(child, 0)
        seen.append(held(tmp_path))
    assert [1] in [sorted(each) for each in seen] and [2] in [sorted(each) for each in seen]
    assert all(each in ({1}, {2}) for each in seen)
    assert seen == sorted(seen, key=sorted), "once the new one is there it stays"


def test_kill_at_random_moments(tmp_path):
    """kill -9 at 24 random moments of a process that refreshes without pause"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    number, here, torn = 1, str(Path(__file__).parent), 0
    for _ in range(24):
        with subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(number + 1)],
                              stdout=subprocess.PIPE, cwd=here,
                              env={**os.environ,
                                   "PYTHONPATH": os.pathsep.join([str(Path(here).parent), here])}) as worker:
            assert worker.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0, 0.08))
            worker.kill()
        torn += len(list(tmp_path.iterdir())) > 2
        (after,) = held(tmp_path)
        assert after >= number
        number = int(after)
    assert number > 1 and torn, "some were killed in the middle"
    write_snapshot(tmp_path, many(number + 1), OFFERS, DAY)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_file_that_cannot_grow(tmp_path):
    """The system itself refuses to write more: a clear error, and the old snapshot stays"""
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    if not (child := os.fork()):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))
        try:
            write_snapshot(tmp_path, many(2), OFFERS, DAY)
        except PretamaneError as error:
            os._exit(7 if "File too large" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert held(tmp_path) == {1} and len(list(tmp_path.iterdir())) == 2


def test_one_writer_at_a_time(tmp_path):
    """A second refresh of the same folder says that it has to wait"""
    fcntl = pytest.importorskip("fcntl")
    write_snapshot(tmp_path, many(1), OFFERS, DAY)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(PretamaneError, match="another refresh is at work"):
        write_snapshot(tmp_path, many(2), OFFERS, DAY)
    os.close(handle)
    write_snapshot(tmp_path, many(2), OFFERS, DAY)
    assert held(tmp_path) == {2}


# Differences

def test_diff_of_known_changes():
    """Added, removed, moved, other tiers, more attributes, another SKU"""
    def tiers(first: str, rest: str) -> tuple[Tier, ...]:
        return Tier(Decimal(first), Decimal(0), Decimal(10)), Tier(Decimal(rest), Decimal(10))

    old = [one("0.04", sku="A"), one("1", usage_type="gone"), one(usage_type="tiers", tiers=tiers("9", "8")),
           one("0.02", usage_type="fee"),
           one("5", usage_type="two", attributes=(("os", "Linux"),)),
           one("7", usage_type="two", attributes=(("os", "Windows"),))]
    new = [one("0.05", sku="B", attributes=(("tenancy", "Shared"),)), one("1", usage_type="new"),
           one(usage_type="tiers", tiers=tiers("9", "6")),
           one("0.02000000000004", usage_type="fee"), one("7", usage_type="two", attributes=(("os", "Windows"),)),
           one("6", usage_type="two", attributes=(("os", "Linux"), ("vcpu", "2")))]
    found = {(each.price.usage_type, each.kind): (each.row()["old"], each.row()["new"],
                                                  each.percent) for each in diff(old, new)}
    assert found == {
        ("BoxUsage:t3.medium", "changed"): ("0.04", "0.05", 25), ("gone", "removed"): ("1", "", None),
        ("new", "added"): ("", "1", None),
        ("tiers", "changed"): ("9 (0-10), 8 (over 10)", "9 (0-10), 6 (over 10)", -25),
        ("two", "changed"): ("5", "6", 20)}
    assert summary(diff(old, new)) == [{"service": "AmazonEC2", "change": kind, "prices": count}
                                       for kind, count in (("added", 1), ("changed", 3), ("removed", 1))]
