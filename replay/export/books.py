"""Orders, fills and equity as rows, from a read model at one moment. Writes nothing.

All of it is read in one transaction, so the three tables fit each other while a daemon goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from daemon.readmodel.database import named_errors, open_reader
from daemon.readmodel.money_text import from_text
from daemon.readmodel.queries import ReadModelQueries
from daemon.trading.money import fee_money
from replay.export.market import Row, Span
from replay.export.tables import DECIMALS
from schemas.events import AssetClass, InstrumentDefined, Liquidity, OrderType, Side, TimeInForce

_SIDES = {int(side): side.name.lower() for side in Side}
_TYPES = {int(kind): kind.name.lower() for kind in OrderType}
_TIMES = {int(time): time.name.lower() for time in TimeInForce}
_LIQUIDITY = {int(kind): kind.name.lower() for kind in Liquidity}
_SCALES = "symbol, instruments.venue AS listed_at, price_scale, quantity_scale"
_ORDERS = f"""
SELECT orders.*, {_SCALES} FROM orders JOIN instruments USING (instrument_id)
WHERE order_id >= ? AND order_id <= ? AND requested_ns >= ? AND requested_ns <= ? ORDER BY order_id
"""  # noqa: S608 - no value from outside
_FILLS = f"""
SELECT fills.*, {_SCALES} FROM fills JOIN instruments USING (instrument_id)
WHERE seq >= ? AND seq <= ? AND ts_ns >= ? AND ts_ns <= ? ORDER BY seq
"""  # noqa: S608 - no value from outside
_EQUITY = """
SELECT minute_ns, seq, currency, cash, market_value, equity, gross FROM equity
WHERE seq >= ? AND seq <= ? AND minute_ns >= ? AND minute_ns <= ? ORDER BY currency, minute_ns
"""
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class Books:
    """A read model, held at one moment.

    Args:
        path: the read model.
        span: what is wanted of it.
        wanted: `SYMBOL` or `SYMBOL@VENUE`; none means all.

    Raises:
        ReadModelError: it cannot be read; so may each call.
    """

    def __init__(self, path: Path, span: Span, wanted: Sequence[str] = ()) -> None:
        self._path = path
        self._wanted = frozenset(wanted)
        self._bounds = (
            span.first_seq,
            _HIGHEST if span.last_seq is None else span.last_seq,
            _LOWEST if span.from_ns is None else span.from_ns,
            _HIGHEST if span.to_ns is None else span.to_ns,
        )
        self._connection = open_reader(path)
        self._connection.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def orders(self) -> Iterator[Row]:
        """Yield the rows of the table `orders`."""
        for row in self._rows(_ORDERS):
            prices, quantities = _factors(row)
            filled = row["filled_quantity"]
            yield (
                row["order_id"], row["requested_ns"], row["submitted_ns"], row["accepted_ns"],
                row["closed_ns"], row["symbol"], row["listed_at"], _SIDES[row["side"]],
                _TYPES[row["order_type"]], row["quantity"] * quantities, _times(row["price"], prices),
                _times(row["stop_price"], prices), row["requested_quantity"] * quantities,
                _times(row["requested_price"], prices), _TIMES[row["time_in_force"]],
                bool(row["post_only"]), bool(row["reduce_only"]), row["status"].lower(),
                filled * quantities,
                int(row["filled_value"]) / (filled * 10 ** row["price_scale"]) if filled else None,
                row["strategy_id"], row["source"], row["tag"], row["client_id"], row["client_order_id"],
                row["venue_order_id"], row["parent_id"], row["oco_group"], row["rule"], row["reason"],
            )  # fmt: skip

    def fills(self) -> Iterator[Row]:
        """Yield the rows of the table `fills`."""
        for row in self._rows(_FILLS):
            prices, quantities = _factors(row)
            yield (
                row["seq"], row["ts_ns"], row["received_ns"], row["order_id"], row["symbol"],
                row["listed_at"], _SIDES[row["side"]], row["price"] * prices, row["quantity"] * quantities,
                fee_money(row["fee"], row["fee_scale"]), row["fee_currency"],
                _LIQUIDITY[row["liquidity"]], from_text(row["realised"]), from_text(row["realised_fifo"]),
                row["strategy_id"], row["venue_trade_id"],
            )  # fmt: skip

    def equity(self) -> Iterator[Row]:
        """Yield the rows of the table `equity`."""
        with named_errors(self._path, "read"):
            for minute_ns, seq, currency, *money in self._connection.execute(_EQUITY, self._bounds):
                yield (minute_ns, seq, currency, *map(from_text, money))

    def _rows(self, query: str) -> Iterator[dict[str, Any]]:
        """Yield rows by name, of the instruments that are wanted."""
        with named_errors(self._path, "read"):
            cursor = self._connection.execute(query, self._bounds)
            names: list[str] = []
            for values in cursor:
                names = names or [column[0] for column in cursor.get_description()]
                row = dict(zip(names, values, strict=True))
                names_of = {row["symbol"], f"{row['symbol']}@{row['listed_at']}"}
                if not self._wanted or self._wanted & names_of:
                    yield row


def definitions_in(path: Path, before_seq: int) -> list[InstrumentDefined]:
    """Return the definitions in a read model that came before an event and hold still.

    Raises:
        ReadModelError: it cannot be read.
    """
    queries = ReadModelQueries(path)
    try:
        rows = [row for row in queries.instruments() if row["defined_seq"] < before_seq]
    finally:
        queries.close()
    known = InstrumentDefined.__struct_fields__
    return [
        InstrumentDefined(
            ts_ns=row["defined_ns"],
            **{
                **{name: value for name, value in row.items() if name in known},
                "asset_class": AssetClass(row["asset_class"]),
            },
        )
        for row in rows
    ]


def _factors(row: Mapping[str, Any]) -> tuple[int, int]:
    """Return what takes an instrument's scaled prices and quantities to 18 decimals."""
    return 10 ** (DECIMALS - row["price_scale"]), 10 ** (DECIMALS - row["quantity_scale"])


def _times(value: int | None, factor: int) -> int | None:
    return None if value is None else value * factor
