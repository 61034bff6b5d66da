"""Coinbase Advanced Trade messages to trades and quotes.

Format: https://docs.cdp.coinbase.com/advanced-trade/docs/ws-channels. `market_trades` updates and
`ticker` become events; snapshots of older trades, books, candles, heartbeats and subscription
answers are counted as skipped. A jump of `sequence_num` is a `FeedGap`. A message holds many trades:
a damaged one does not take the others with it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from daemon.venue.feeds.clock_text import IsoTimes
from daemon.venue.feeds.instruments import VENUE_DEFAULTS, InstrumentDefaults, InstrumentRegistry
from daemon.venue.feeds.parsing import ABSENT, Listing, Listings, RejectedError, Tally, check_clocks
from schemas.errors import TapedError
from schemas.events import Event, FeedGap, Quote, Side, Trade

VENUE = "coinbase"


class _Message(msgspec.Struct, gc=False):
    channel: str | None = None
    timestamp: str | None = None
    sequence_num: int | None = None
    events: msgspec.Raw = ABSENT
    type: str | None = None


class _TradeRow(msgspec.Struct, gc=False):
    product_id: str
    trade_id: str
    price: str
    size: str
    time: str
    side: Literal["BUY", "SELL"]


class _TradesEvent(msgspec.Struct, gc=False):
    type: Literal["snapshot", "update"]
    trades: list[_TradeRow]


class _TickerRow(msgspec.Struct, gc=False):
    product_id: str
    best_bid: str
    best_bid_quantity: str
    best_ask: str
    best_ask_quantity: str


class _TickerEvent(msgspec.Struct, gc=False):
    type: Literal["snapshot", "update"]
    tickers: list[_TickerRow]


_decode = msgspec.json.Decoder(_Message).decode
_decode_trades = msgspec.json.Decoder(list[_TradesEvent]).decode
_decode_tickers = msgspec.json.Decoder(list[_TickerEvent]).decode


class CoinbaseParser:
    """Messages of one Coinbase connection; arguments as `BinanceParser`."""

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
        self._venue = venue
        self._listings = Listings(registry, venue, defaults or VENUE_DEFAULTS[VENUE], symbol)
        self._times = IsoTimes()
        self._sequence: int | None = None
        self._last_ns = 0

    def parse(self, message: bytes | str, received_ns: int, out: list[Event]) -> None:
        """See `MessageParser.parse`; of a message with some damaged trades the others are appended.

        Raises:
            RejectedError: the message, or some of its trades, are damaged.
        """
        found = _decode(message)
        if found.channel is None or found.events is ABSENT or found.timestamp is None:
            if found.type is None:
                raise RejectedError("a message without channel, timestamp and events")
            self._tally.skip(f"{found.type} answer")
            return
        ts_ns = self._times.parse(found.timestamp)
        check_clocks(received_ns, ts_ns)
        ticks: list[Event] = []
        damage = ""
        if found.channel == "market_trades":
            damage = self._trades(found.events, received_ns, ticks)
        elif found.channel in ("ticker", "ticker_batch"):
            self._tickers(found.events, ts_ns, received_ns, ticks)
        else:
            self._tally.skip(found.channel)
        self._follow(found.sequence_num, ts_ns, out)
        out += ticks
        if damage:
            raise RejectedError(damage)

    def _follow(self, number: int | None, ts_ns: int, out: list[Event]) -> None:
        # Numbers count per connection and start at 0; a lower one is a new connection.
        last, self._sequence = self._sequence, number
        last_ns, self._last_ns = self._last_ns, ts_ns
        if last is None or number is None or number <= last + 1:
            return
        out.append(
            FeedGap(
                ts_ns=ts_ns,
                feed=self._venue,
                instrument_id=None,
                reason=f"messages {last + 1} to {number - 1} missing",
                lost=None,
                from_ns=min(last_ns, ts_ns),
                to_ns=ts_ns,
            )
        )

    def _trades(self, events: msgspec.Raw, received_ns: int, out: list[Event]) -> str:
        """Append the good trades; return what is wrong with the others, empty when there are none.

        Raises:
            RejectedError: none is good.
        """
        accepted: list[tuple[Listing, int, _TradeRow, int, int, int]] = []
        reasons: list[str] = []
        last_ids: dict[str, int] = {}
        decoded = _decode_trades(events)
        # A message lists its newest trade first; the tape wants the oldest first.
        rows = [row for event in decoded if event.type == "update" for row in reversed(event.trades)]
        for row in rows:
            try:
                accepted.append(self._checked(row, received_ns, last_ids))
            except TapedError as error:
                reasons.append(error.message)
        if reasons and not accepted:
            raise RejectedError(reasons[0])
        for event in decoded:
            if event.type == "snapshot":
                self._tally.skip("market_trades snapshot")
        for listing, trade_id, row, price, quantity, ts_ns in accepted:
            listing.follow(trade_id, ts_ns)
            out.append(
                Trade(
                    ts_ns=ts_ns,
                    received_ns=received_ns,
                    instrument_id=listing.instrument_id or listing.define(out, ts_ns),
                    price=price,
                    quantity=quantity,
                    # Coinbase names the maker's side: in a recorded session 75 of 79 trades at the
                    # best bid or ask agree with that, one does not.
                    aggressor=Side.BUY if row.side == "SELL" else Side.SELL,
                    trade_id=trade_id,
                )
            )
        return f"{len(reasons)} of {len(rows)} trades, the first: {reasons[0]}" if reasons else ""

    def _checked(
        self, row: _TradeRow, received_ns: int, last_ids: dict[str, int]
    ) -> tuple[Listing, int, _TradeRow, int, int, int]:
        """Check one trade against those before it, also those of its own message."""
        listing = self._listings.get(row.product_id)
        if not (row.trade_id.isascii() and row.trade_id.isdigit() and len(row.trade_id) < 19):  # noqa: PLR2004 - int64
            raise RejectedError(f"trade id {row.trade_id[:64]!r} is not a number")
        trade_id = int(row.trade_id)
        before = last_ids.get(row.product_id)
        if before is not None and trade_id <= before:
            raise RejectedError(f"trade id {trade_id} is not above {before} of the same message")
        listing.check_order(trade_id)
        price, quantity = listing.prices[row.price], listing.quantities[row.size]
        if price <= 0 or quantity <= 0:
            raise RejectedError(f"price {row.price} and quantity {row.size} of a trade must be above zero")
        ts_ns = self._times.parse(row.time)
        check_clocks(received_ns, ts_ns)
        last_ids[row.product_id] = trade_id
        return listing, trade_id, row, price, quantity, ts_ns

    def _tickers(self, events: msgspec.Raw, ts_ns: int, received_ns: int, out: list[Event]) -> None:
        rows = [row for event in _decode_tickers(events) for row in event.tickers]
        # Everything is checked before the first listing is defined: a rejected message leaves no trace.
        checked = [self._checked_ticker(row) for row in rows]
        for listing, bid, bid_quantity, ask, ask_quantity in checked:
            out.append(
                Quote(
                    ts_ns=ts_ns,
                    received_ns=received_ns,
                    instrument_id=listing.instrument_id or listing.define(out, ts_ns),
                    bid_price=bid,
                    bid_quantity=bid_quantity,
                    ask_price=ask,
                    ask_quantity=ask_quantity,
                )
            )

    def _checked_ticker(self, row: _TickerRow) -> tuple[Listing, int, int, int, int]:
        listing = self._listings.get(row.product_id)
        bid, bid_quantity = listing.prices[row.best_bid], listing.quantities[row.best_bid_quantity]
        ask, ask_quantity = listing.prices[row.best_ask], listing.quantities[row.best_ask_quantity]
        if not (bid and ask):
            raise RejectedError(f"bid {row.best_bid} and ask {row.best_ask} must be above zero")
        return listing, bid, bid_quantity, ask, ask_quantity
