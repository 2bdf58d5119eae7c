"""A Pricing API on the loopback interface: GetProducts over recorded products, and every way in which it can fail."""
from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pretamane_analysis.prices.book import ON_DEMAND, Price

DATA = Path(__file__).with_name("data") / "getproducts"
FILTER_TYPES = {"TERM_MATCH", "EQUALS", "CONTAINS", "ANY_OF", "NONE_OF"}
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([a-z0-9-]+)/pricing/aws4_request, SignedHeaders=\S+, "
                    r"Signature=[0-9a-f]{64}")
JSON = "application/x-amz-json-1.1"
ERRORS = {  # fault: HTTP status, type, message
    "throttle": (400, "ThrottlingException", "Rate exceeded"),
    "internal": (500, "InternalErrorException", "An error on the server occurred"),
    "denied": (400, "AccessDeniedException", "User: someone is not authorized to perform: pricing:GetProducts"),
    "expired": (400, "ExpiredTokenException", "The security token included in the request is expired"),
    "unrecognized": (400, "UnrecognizedClientException", "The security token included in the request is invalid"),
    "signature": (400, "InvalidSignatureException", "The request signature we calculated does not match"),
}
RAW = {  # fault: HTTP status, content type, body
    "html": (200, "text/html", "<html><body>Please sign in</body></html>"),
    "forbidden": (403, "text/html", "<html><body>Blocked by the proxy</body></html>"),
    "redirect": (302, "text/html", ""),
    "unavailable": (503, "text/html", "<html><body>Service Unavailable</body></html>"),
    "malformed": (200, JSON, json.dumps({"FormatVersion": "aws_v1", "PriceList": ['{"product": {"sku": "JG3K']})),
    "shapeless": (200, JSON, json.dumps({"FormatVersion": "aws_v1", "PriceList": ['{"hello": "world"}']})),
    "broken": (200, JSON, '{"FormatVersion": "aws_v1", "PriceList": ['),
    "no list": (200, JSON, json.dumps({"FormatVersion": "aws_v1"})),
    "empty": (200, JSON, json.dumps({"FormatVersion": "aws_v1", "PriceList": []})),
}


def recorded(*names: str) -> list[dict[str, Any]]:
    """Return the products of the data files, each with its terms"""
    files = [DATA / f"{name}.json" for name in names] or sorted(DATA.glob("*.json"))
    return [entry for file in files for entry in json.loads(file.read_text(encoding="utf-8"))["entries"]]


def constructed(price: Price, usage_type: str, sku: str, **attributes: str) -> dict[str, Any]:
    """Return `price` as AWS would print it under `usage_type`: made here, not recorded"""
    known = dict(price.attributes)
    place = {} if price.region == "global" else {"fromRegionCode" if price.service == "AWSDataTransfer"
                                                 else "regionCode": price.region}
    product = {"sku": sku,
               "attributes": {"servicecode": price.service, **place, **known, **attributes, "usagetype": usage_type}}
    if family := product["attributes"].pop("productFamily", None):
        product["productFamily"] = family
    rates = {f"{sku}.JRTCKXETXF.{number}": {
        "unit": price.unit, "beginRange": f"{tier.begin:f}", "endRange": "Inf" if tier.end is None else f"{tier.end:f}",
        "description": "",
        "appliesTo": [], "rateCode": f"{sku}.JRTCKXETXF.{number}", "pricePerUnit": {"USD": f"{tier.usd:f}"}}
             for number, tier in enumerate(price.tiers)}
    term = {"offerTermCode": "JRTCKXETXF", "sku": sku, "effectiveDate": "2026-08-01T00:00:00Z",
            "priceDimensions": rates, "termAttributes": {}}
    return {"product": product, "serviceCode": price.service, "terms": {ON_DEMAND: {f"{sku}.JRTCKXETXF": term}},
            "version": "20260801000000", "publicationDate": "2026-08-01T00:00:00Z"}


@dataclass(frozen=True)
class Call:
    """One request as it came in"""

    body: dict[str, Any]
    region: str  # that the request was signed for
    agent: str
    at: float  # seconds

    @property
    def wanted(self) -> dict[str, str]:
        """The filters as names and values"""
        return {each["Field"]: each["Value"] for each in self.body.get("Filters", ())}


class PricingServer:
    """The server: use it as a context, then `url` is its address and `calls` what it was asked"""

    def __init__(self, entries: Iterable[dict[str, Any]], page: int = 100, quota: bool = False) -> None:
        """Serve `entries`, at most `page` at a time; with `quota` refuse more than AWS allows"""
        self.entries, self.page, self.quota = list(entries), page, quota
        self.calls: list[Call] = []
        self.refused = self.busy = self.most_busy = 0
        self.faults: deque[str] = deque()
        self.always = ""
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.level, self.seen = 10.0, time.monotonic()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"owner": self}))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> PricingServer:
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.http.shutdown()
        self.http.server_close()

    def fault(self) -> str:
        """Return what shall go wrong with the request at hand"""
        with self.lock:
            if self.quota:
                now = time.monotonic()
                self.level, self.seen = min(10.0, self.level + 5 * (now - self.seen)), now
                if self.level < 1:
                    self.refused += 1
                    return "throttle"
                self.level -= 1
            return self.faults.popleft() if self.faults else self.always

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return what GetProducts says to a request"""
        problem = self._problem(body)
        if problem:
            return 400, {"__type": problem, "Message": f"{problem} of the test server"}
        found = [entry for entry in self.entries if entry["serviceCode"] == body["ServiceCode"]
                 and all(map(self._matcher(entry), body.get("Filters", ())))]
        begin = int(base64.b64decode(body["NextToken"]).decode().split(":")[1]) if body.get("NextToken") else 0
        end = begin + min(self.page, body.get("MaxResults", 100))
        more = {"NextToken": base64.b64encode(f"page:{end}".encode()).decode()} if end < len(found) else {}
        return 200, {"FormatVersion": "aws_v1", "PriceList": [json.dumps(entry) for entry in found[begin:end]], **more}

    def _problem(self, body: dict[str, Any]) -> str:
        filters = body.get("Filters", ())
        if not isinstance(body.get("ServiceCode"),
                          str) or not 1 <= body.get("MaxResults", 100) <= 100 or len(filters) > 50:
            return "InvalidParameterException"
        if any(set(each) != {"Type", "Field", "Value"} or each["Type"] not in FILTER_TYPES
               or not each["Value"] for each in filters):
            return "InvalidParameterException"
        if body.get("NextToken") and not re.match(rb"page:\d+$", base64.b64decode(body["NextToken"])):
            return "InvalidNextTokenException"
        return "" if any(entry["serviceCode"] == body["ServiceCode"] for entry in self.entries) else "NotFoundException"

    @staticmethod
    def _matcher(entry: dict[str, Any]) -> Any:
        known = {**entry["product"]["attributes"], "ServiceCode": entry["serviceCode"], "sku": entry["product"]["sku"]}
        known |= {"productFamily": entry["product"]["productFamily"]} if "productFamily" in entry["product"] else {}
        return lambda each: known.get(each["Field"]) == each["Value"]


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the server"""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: PricingServer

    def log_message(self, *_: object) -> None:
        """Say nothing"""

    def do_POST(self) -> None:
        """Answer a request, or fail as was asked for"""
        owner, body = self.owner, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        signed = SIGNED.fullmatch(self.headers.get("Authorization", ""))
        with owner.lock:
            owner.calls.append(Call(body, signed[1] if signed else "", self.headers.get("User-Agent", ""),
                                    time.monotonic()))
            owner.busy += 1
            owner.most_busy = max(owner.busy, owner.most_busy)
        try:
            self._reply(owner.fault(), body, bool(signed))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with owner.lock:
                owner.busy -= 1

    def _reply(self, fault: str, body: dict[str, Any], signed: bool) -> None:
        if not signed or self.headers.get("X-Amz-Target") != "AWSPriceListService.GetProducts":
            return self._send(400, JSON, json.dumps({"__type": "MissingAuthenticationTokenException",
                                                     "Message": "no signature or target"}))
        if fault in ERRORS:
            status, kind, message = ERRORS[fault]
            return self._send(status, JSON, json.dumps({"__type": kind, "Message": message}))
        if fault in RAW:
            return self._send(*RAW[fault])
        if fault == "hang":
            self.close_connection = True
            return self.owner.stop.wait() and None
        status, content = self.owner.answer(body)
        if fault == "delay":
            time.sleep(0.15)
        return self._send(status, JSON, json.dumps(content), fault)

    def _send(self, status: int, kind: str, text: str, fault: str = "") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif fault == "slow":
            for byte in self._drops(data):
                self.wfile.write(byte)
            self.close_connection = True
        else:
            self.wfile.write(data)

    def _drops(self, data: bytes) -> Iterator[bytes]:
        for number in range(len(data)):
            if self.owner.stop.wait(0.1):
                return
            yield data[number : number + 1]
