"""Journals and files of ticks for the tests of replay."""

from __future__ import annotations

from daemon.journal.writer import JournalWriter
from schemas.events import AssetClass, InstrumentDefined, Trade
from tests.daemon.journal.conftest import open_small

SECOND = 10**9
START = 1_700_000_000 * SECOND


def instrument(instrument_id=1, *, currency="USD", asset_class=AssetClass.EQUITY, base="I"):
    return InstrumentDefined(
        ts_ns=START,
        instrument_id=instrument_id,
        symbol=f"I{instrument_id}",
        venue="V",
        asset_class=asset_class,
        base_currency=base,
        quote_currency=currency,
        price_scale=2,
        quantity_scale=0,
    )


def trade(number, price=None, *, instrument_id=1, every=SECOND):
    """Return the trade of a second, of a market that rises and falls."""
    up_and_down = 10_000 + 100 * (number % 20 if number % 40 < 20 else 20 - number % 20)
    return Trade(
        ts_ns=START + number * every,
        received_ns=START + number * every,
        instrument_id=instrument_id,
        price=up_and_down if price is None else price,
        quantity=50,
    )


def write_journal(data, *batches, small=False):
    """Write batches of events as the journal of a data folder; small: several segments."""
    writer = open_small(data / "journal") if small else JournalWriter.open(data / "journal")
    for batch in batches:
        writer.append(batch)
    writer.close()
    return data


def write_csv(path, trades):
    """Write trades as a CSV of time in ms, price and quantity."""
    lines = ["time,price,quantity"]
    lines += [f"{t.ts_ns // 10**6},{t.price / 100},{t.quantity}" for t in trades]
    path.write_text("\n".join(lines) + "\n")
    return path
