"""SQL of the bars made of trades and quotes: views that keep themselves up to date, or plain ones.

Trades give `bars_1min`, `bars_1h`, `bars_1day`; quotes give `quote_bars_1min` and so on, with a bid and
an ask. Each is in scaled integers, and `NAME_decimal` beside it in decimal numbers. As in the read
model, buckets are aligned to UTC, open is the first to arrive and close the last, and every trade counts.
"""

from __future__ import annotations

from typing import NamedTuple

ORIGIN = "2000-01-03 00:00:00+00"


class Size(NamedTuple):
    """One length of bars.

    Attributes:
        suffix: of its name.
        interval: its length, as PostgreSQL says it.
        below: the suffix of the bars it is made of; empty where those are ticks.
        schedule: how often new ticks are taken in; until then they are computed on reading.
    """

    suffix: str
    interval: str
    below: str
    schedule: str


SIZES = (
    Size("1min", "1 minute", "", "5 minutes"),
    Size("1h", "1 hour", "1min", "30 minutes"),
    Size("1day", "1 day", "1h", "6 hours"),
)


class Kind(NamedTuple):
    """Bars of one sort of tick.

    Attributes:
        prefix: of their names.
        table: where the ticks are.
        prices: columns that bars are made of, and what stands before open, high, low and close.
        scales: columns that tell how the numbers are scaled.
        volume: whether quantities are added up.
    """

    prefix: str
    table: str
    prices: tuple[tuple[str, str], ...]
    scales: str
    volume: bool


KINDS = (
    Kind("bars", "trades", (("price", ""),), "price_scale, quantity_scale", volume=True),
    Kind("quote_bars", "quotes", (("bid_price", "bid_"), ("ask_price", "ask_")), "price_scale", volume=False),
)


def keeping(kind: Kind, size: Size) -> str:
    """Return the statement that makes bars which TimescaleDB keeps up to date."""
    source = f"{kind.prefix}_{size.below}" if size.below else kind.table
    start = f"time_bucket(interval '{size.interval}', {'start' if size.below else 'ts'})"
    columns = ",\n       ".join(_of_bars(kind) if size.below else _of_ticks(kind))
    return (
        f"CREATE MATERIALIZED VIEW taped.{kind.prefix}_{size.suffix}\n"
        "WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS\n"
        f"SELECT {_keys(kind)}, {start} AS start,\n       {columns}\n"
        f"FROM taped.{source}\nGROUP BY {_keys(kind)}, {start}\nWITH NO DATA"
    )


def plain(kind: Kind, size: Size) -> str:
    """Return the statement that makes bars which any PostgreSQL computes on reading."""
    columns = ",\n       ".join(_of_ticks(kind, plainly=True))
    start = f"date_bin(interval '{size.interval}', ts, timestamptz '{ORIGIN}')"
    return (
        f"CREATE VIEW taped.{kind.prefix}_{size.suffix} AS\n"
        f"SELECT {_keys(kind)}, {start} AS start,\n       {columns}\n"
        f"FROM taped.{kind.table}\nGROUP BY {_keys(kind)}, {start}"
    )


def decimal(kind: Kind, size: Size) -> str:
    """Return the statement that makes the view in decimal numbers, of either sort."""
    name = f"{kind.prefix}_{size.suffix}"
    shown = [
        f"taped.unscaled(b.{before}{what}, b.price_scale) AS {before}{what}"
        for _, before in kind.prices
        for what in ("open", "high", "low", "close")
    ]
    if kind.volume:
        shown.append("taped.unscaled(b.volume, b.quantity_scale) AS volume")
    columns = ",\n       ".join(shown)
    return (
        f"CREATE VIEW taped.{name}_decimal AS\n"
        f"SELECT b.start, i.symbol, i.venue,\n       {columns},\n       b.count, b.instrument_id, b.journal\n"
        f"FROM taped.{name} b LEFT JOIN taped.instruments i USING (journal, instrument_id)"
    )


def _keys(kind: Kind) -> str:
    return f"journal, instrument_id, {kind.scales}"


def _of_ticks(kind: Kind, *, plainly: bool = False) -> list[str]:
    columns = []
    for price, before in kind.prices:
        told = _told(price, before)
        first, last = f"first({price}, seq){told}", f"last({price}, seq){told}"
        if plainly:
            first = f"(array_agg({price} ORDER BY seq){told})[1]"
            last = f"(array_agg({price} ORDER BY seq DESC){told})[1]"
        columns += [
            f"{first} AS {before}open",
            f"max({price}) AS {before}high",
            f"min({price}) AS {before}low",
            f"{last} AS {before}close",
            f"min(seq){told} AS {before}first_seq",
            f"max(seq){told} AS {before}last_seq",
        ]
    return [*columns, *_volume(kind, "quantity"), "count(*) AS count"]


def _of_bars(kind: Kind) -> list[str]:
    columns = []
    for _, before in kind.prices:
        told = _told(f"{before}first_seq", before)
        columns += [
            f"first({before}open, {before}first_seq){told} AS {before}open",
            f"max({before}high) AS {before}high",
            f"min({before}low) AS {before}low",
            f"last({before}close, {before}last_seq){told} AS {before}close",
            f"min({before}first_seq) AS {before}first_seq",
            f"max({before}last_seq) AS {before}last_seq",
        ]
    return [*columns, *_volume(kind, "volume"), "sum(count)::bigint AS count"]


def _told(column: str, before: str) -> str:
    # A quote may tell one side only; a trade always has a price.
    return f" FILTER (WHERE {column} IS NOT NULL)" if before else ""


def _volume(kind: Kind, column: str) -> list[str]:
    return [f"sum({column}) AS volume"] if kind.volume else []
