"""Traffic, which many services print beside their own lines."""
from __future__ import annotations

from decimal import Decimal

from pretamane_analysis.resources import InternetEgress, Resource

from .rates import Line, Unsupported
from .row import Row

EGRESS_ENDS = (10_240, 51_200, 153_600)
EGRESS = "(?:internet_out|internet_egress|egress|internet_egress_out)(?:_gb)?"


def egress_line(bare: bool = False) -> Line:
    """The line of traffic to the internet; in a row of nothing else the tiers need no name."""
    return Line("DataTransfer-Out-Bytes", f"(?:{EGRESS})?" if bare else EGRESS, EGRESS, ends=EGRESS_ENDS,
                free="free_(?:egress_|internet_out_)?gb")


def egress(row: Row, bare: bool = False) -> tuple[list[Resource], list[Line]]:
    """Traffic to the internet: GB, or the size of so many answers where the row only describes it."""
    if row.given(EGRESS) and not isinstance(row.inputs[row.names(EGRESS)[0]], str):
        gb = row.number(EGRESS)
        if row.given("response_kb") and abs(gb - _answers(row)) > gb / 1000:
            raise Unsupported("the egress is not requests x response_kb")
    elif row.given(EGRESS) or row.given("response_kb"):
        row.take(EGRESS, None)
        gb = _answers(row)
    else:
        return [], []
    return [InternetEgress(gb=gb)], [egress_line(bare)]


def _answers(row: Row) -> Decimal:
    return row.number("requests") * row.number("response_kb") / 1024**2
