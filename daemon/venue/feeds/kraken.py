"""Kraken messages (API version 1) to trades and quotes.

Format: https://docs.kraken.com/api/docs/websocket-v1/trade. Data messages are arrays
`[channel id, content, "channel", "pair"]`, control messages are objects. Trades and tickers become
events; books and control messages are counted as skipped. Kraken's symbols are kept: XBT is XBT.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from daemon.venue.feeds.clock_text import seconds_to_ns
from daemon.venue.feeds.instruments import VENUE_DEFAULTS, InstrumentDefaults, InstrumentRegistry
from daemon.venue.feeds.parsing import (
    Listing,
    Listings,
    RejectedError,
    Tally,
    check_clocks,
    check_received,
)
from schemas.events import Event, Quote, Side, Trade

VENUE = "kraken"
_TradeRow = tuple[str, str, str, Literal["b", "s"], str, str]
"""price, volume, time, side of the taker, order type, miscellaneous."""
_Level = tuple[str, int | str, str]
"""price, whole lots, lot volume."""


class _Control(msgspec.Struct, gc=False):
    event: str


class _Ticker(msgspec.Struct, gc=False):
    a: _Level
    b: _Level


_decode_control = msgspec.json.Decoder(_Control).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_trades = msgspec.json.Decoder(tuple[int, list[_TradeRow], Literal["trade"], str]).decode
_decode_ticker = msgspec.json.Decoder(tuple[int, _Ticker, Literal["ticker"], str]).decode
_decode_text = msgspec.json.Decoder(str).decode


class KrakenParser:
    """Messages of one Kraken connection; arguments as `BinanceParser`."""

    def __init__(
        self,
        registry: InstrumentRegistry,
        tally: Tally,
        *,
        venue: str = VENUE,
        defaults: InstrumentDefaults | None = None,
        symbol: str | None = None,
    ) -> None:
        self._tally = tally
        self._listings = Listings(registry, venue, defaults or VENUE_DEFAULTS[VENUE], symbol)

    def parse(self, message: bytes | str, received_ns: int, out: list[Event]) -> None:
        """See `MessageParser.parse`."""
        if isinstance(message, str):
            message = message.encode()
        if message.startswith(b"{"):
            self._tally.skip(_decode_control(message).event)
            return
        # Channel and pair stand last and hold no comma.
        channel = message[-128:].rsplit(b",", 2)[-2:-1]
        if channel == [b'"trade"']:
            self._trades(message, received_ns, out)
        elif channel == [b'"ticker"']:
            self._ticker(message, received_ns, out)
        else:
            parts = _decode_array(message)
            if len(parts) < 4:  # noqa: PLR2004 - id, content, channel, pair
                raise RejectedError(f"an array of {len(parts)}, expected channel id, content, channel, pair")
            self._tally.skip(_decode_text(parts[-2]).partition("-")[0])

    def _trades(self, message: bytes, received_ns: int, out: list[Event]) -> None:
        _, rows, _, pair = _decode_trades(message)
        listing = self._listings.get(pair)
        checked = [self._checked(listing, row, received_ns) for row in rows]
        for row, (price, quantity, ts_ns) in zip(rows, checked, strict=True):
            out.append(
                Trade(
                    ts_ns=ts_ns,
                    received_ns=received_ns,
                    instrument_id=listing.instrument_id or listing.define(out, ts_ns),
                    price=price,
                    quantity=quantity,
                    aggressor=Side.BUY if row[3] == "b" else Side.SELL,
                )
            )

    def _checked(self, listing: Listing, row: _TradeRow, received_ns: int) -> tuple[int, int, int]:
        price, quantity = listing.prices[row[0]], listing.quantities[row[1]]
        if price <= 0 or quantity <= 0:
            raise RejectedError(f"price {row[0]} and quantity {row[1]} of a trade must be above zero")
        ts_ns = seconds_to_ns(row[2])
        check_clocks(received_ns, ts_ns)
        return price, quantity, ts_ns

    def _ticker(self, message: bytes, received_ns: int, out: list[Event]) -> None:
        _, content, _, pair = _decode_ticker(message)
        check_received(received_ns)
        listing = self._listings.get(pair)
        bid, bid_quantity = listing.prices[content.b[0]], listing.quantities[content.b[2]]
        ask, ask_quantity = listing.prices[content.a[0]], listing.quantities[content.a[2]]
        if not (bid and ask):
            raise RejectedError(f"bid {content.b[0]} and ask {content.a[0]} must be above zero")
        out.append(
            Quote(
                ts_ns=received_ns,  # Ticker messages carry no time.
                received_ns=received_ns,
                instrument_id=listing.instrument_id or listing.define(out, received_ns),
                bid_price=bid,
                bid_quantity=bid_quantity,
                ask_price=ask,
                ask_quantity=ask_quantity,
            )
        )
