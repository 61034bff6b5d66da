"""Message parsers of the venues: right events from good messages, a reason for damaged ones."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.venue.feeds.binance import USDM, BinanceParser
from daemon.venue.feeds.coinbase import CoinbaseParser
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.feeds.kraken import KrakenParser
from daemon.venue.feeds.parsing import PARSE_ERRORS, RejectedError, Tally, reason_of
from schemas.codec import CODEC
from schemas.events import FeedGap, InstrumentDefined, Quote, Side, Trade

MS = 1_723_161_255_342
RECEIVED = (MS - 1_270) * 1_000_000
TRADE = {
    "e": "trade",
    "E": MS + 1,
    "s": "BTCUSDT",
    "t": 10,
    "p": "61837.63000000",
    "q": "0.02000000",
    "T": MS,
    "m": True,
    "M": True,
}
BOOK = {
    "u": 1,
    "s": "BTCUSDT",
    "b": "61837.63000000",
    "B": "3.78826000",
    "a": "61837.64000000",
    "A": "1.54698000",
}


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def binance(data, stream="btcusdt@trade") -> bytes:
    return compact({"stream": stream, "data": data})


def parsed(parser, *messages, received_ns=RECEIVED):
    out = []
    for message in messages:
        parser.parse(message, received_ns, out)
    return out


def new(kind=BinanceParser, **arguments):
    return kind(InstrumentRegistry(), Tally(), **arguments)


def rejection(parser, message, received_ns=RECEIVED) -> str:
    out = []
    with pytest.raises(PARSE_ERRORS) as caught:
        parser.parse(message, received_ns, out)
    assert out == []
    return reason_of(caught.value)


def test_a_binance_trade_becomes_a_trade_after_its_instrument():
    definition, trade = parsed(new(), binance(TRADE))
    assert isinstance(definition, InstrumentDefined)
    assert (definition.symbol, definition.venue, definition.price_scale) == ("BTCUSDT", "binance", 8)
    assert trade == Trade(
        ts_ns=MS * 1_000_000,
        received_ns=RECEIVED,
        instrument_id=1,
        price=6_183_763_000_000,
        quantity=2_000_000,
        aggressor=Side.SELL,
        trade_id=10,
    )


def test_a_spot_book_ticker_is_stamped_with_its_receive_time():
    _, quote = parsed(new(), binance(BOOK, "btcusdt@bookTicker"))
    assert quote == Quote(
        ts_ns=RECEIVED,
        received_ns=RECEIVED,
        instrument_id=1,
        bid_price=6_183_763_000_000,
        bid_quantity=378_826_000,
        ask_price=6_183_764_000_000,
        ask_quantity=154_698_000,
    )


def test_an_empty_side_of_a_book_ticker_is_no_side():
    _, quote = parsed(new(), binance(BOOK | {"b": "0.00000000", "B": "0.00000000"}, "btcusdt@bookTicker"))
    assert (quote.bid_price, quote.bid_quantity, quote.ask_quantity) == (None, None, 154_698_000)


def test_times_in_microseconds_are_told_from_milliseconds():
    _, trade = parsed(new(), binance(TRADE | {"T": MS * 1_000 + 7}))
    assert trade.ts_ns == MS * 1_000_000 + 7_000


def test_an_aggregate_trade_is_a_trade_with_the_aggregate_id():
    data = {
        "e": "aggTrade",
        "E": MS,
        "s": "BTCUSDT",
        "a": 5,
        "p": "1.0",
        "q": "2",
        "f": 1,
        "l": 2,
        "T": MS,
        "m": False,
        "M": True,
    }
    _, trade = parsed(new(), binance(data, "btcusdt@aggTrade"))
    assert (trade.trade_id, trade.aggressor, trade.price) == (5, Side.BUY, 100_000_000)


def test_futures_messages_carry_their_own_time_and_venue():
    parser = new(venue=USDM, futures=True)
    book = BOOK | {"e": "bookTicker", "T": MS, "E": MS}
    trade = TRADE | {"X": "MARKET"}
    definition, quote, traded = parsed(parser, binance(book, "btcusdt@bookTicker"), binance(trade))
    assert definition.venue == "binance-usdm"
    assert quote.ts_ns == traded.ts_ns == MS * 1_000_000


def test_futures_trades_of_no_order_book_are_skipped():
    tally = Tally()
    parser = BinanceParser(InstrumentRegistry(), tally, venue=USDM, futures=True)
    assert parsed(parser, binance(TRADE | {"X": "INSURANCE_FUND"})) == []
    assert tally.skipped == {"trade INSURANCE_FUND": 1}


def test_messages_of_the_other_market_are_rejected():
    futures = {"futures": True, "venue": USDM}
    assert "X" in rejection(new(), binance(TRADE | {"X": "MARKET"}))
    assert "`X`" in rejection(new(**futures), binance(TRADE))
    assert "T" in rejection(new(), binance(BOOK | {"T": MS}, "btcusdt@bookTicker"))
    assert "`T`" in rejection(new(**futures), binance(BOOK, "btcusdt@bookTicker"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": "0.00000000"}, "above zero"),
        ({"p": "-1.0"}, "not a decimal number"),
        ({"p": "NaN"}, "not a decimal number"),
        ({"p": "1e5"}, "not a decimal number"),
        ({"p": "1.000000001"}, "more than the instrument's 8 decimals"),
        ({"p": 61837.63}, "Expected `str`"),
        ({"q": "0"}, "above zero"),
        ({"q": "99999999999.0"}, "64 bits"),
        ({"m": 1}, "Expected `bool`"),
        ({"t": "10"}, "Expected `int`"),
        ({"t": -1}, "does not fit"),
        ({"t": 2**63}, "does not fit"),
        ({"s": "ETHUSDT"}, "in a stream of BTCUSDT"),
        ({"e": "depthUpdate"}, "Invalid enum value"),
        ({"T": 0}, "outside 1990 to 2100"),
        ({"T": -MS}, "outside 1990 to 2100"),
        ({"T": MS + 86_400_000}, "receive time lies 24.0 h before"),
    ],
)
def test_a_damaged_binance_trade_is_rejected_with_the_reason(change, reason):
    assert reason in rejection(new(), binance(TRADE | change))


@pytest.mark.parametrize("field", sorted(set(TRADE) - {"E", "M"}))
def test_a_binance_trade_without_a_field_is_rejected(field):
    data = {name: value for name, value in TRADE.items() if name != field}
    assert f"`{field}`" in rejection(new(), binance(data))


def test_a_rejected_message_defines_no_instrument():
    registry = InstrumentRegistry()
    parser = BinanceParser(registry, Tally())
    rejection(parser, binance(TRADE | {"p": "x"}))
    assert len(registry) == 0
    assert [type(event) for event in parsed(parser, binance(TRADE))] == [InstrumentDefined, Trade]


def test_trade_ids_that_repeat_or_go_back_are_rejected():
    parser = new()
    parsed(parser, binance(TRADE))
    assert rejection(parser, binance(TRADE)) == "duplicate trade id 10"
    assert rejection(parser, binance(TRADE | {"t": 9})) == "trade id 9 goes back: the last was 10"


def test_missing_trade_ids_become_a_gap():
    parser = new()
    parsed(parser, binance(TRADE))
    gap, trade = parsed(parser, binance(TRADE | {"t": 14, "T": MS + 5}))
    assert isinstance(gap, FeedGap)
    assert (gap.lost, gap.reason) == (3, "trade ids 11 to 13 missing")
    assert (gap.from_ns, gap.to_ns) == (MS * 1_000_000, (MS + 5) * 1_000_000)
    assert trade.trade_id == 14


def test_one_damaged_id_does_not_reject_the_trades_after_it():
    parser = new()
    parsed(parser, binance(TRADE), binance(TRADE | {"t": 90_000}))
    trades = parsed(parser, *(binance(TRADE | {"t": number}) for number in (11, 12, 13)))
    assert [trade.trade_id for trade in trades] == [11, 12, 13]


def test_ids_of_two_symbols_do_not_mix():
    events = parsed(new(), binance(TRADE), binance(TRADE | {"s": "ETHUSDT", "t": 3}, "ethusdt@trade"))
    assert [event.trade_id for event in events if isinstance(event, Trade)] == [10, 3]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (compact({"lastUpdateId": 1, "bids": [], "asks": []}), "REST depth snapshot"),
        (compact({"result": None, "id": 1}), "request answer"),
        (compact({"stream": "btcusdt@depth@100ms", "data": {"e": "depthUpdate"}}), "depth"),
        (compact({"stream": "btcusdt@depth20", "data": {}}), "depth"),
        (compact({"stream": "btcusdt@markPrice@1s", "data": {}}), "markPrice"),
    ],
)
def test_messages_without_ticks_are_counted_by_kind(message, kind):
    tally = Tally()
    assert parsed(BinanceParser(InstrumentRegistry(), tally), message) == []
    assert tally.skipped == {kind: 1}


def test_json_may_be_spaced_and_ordered_as_the_sender_likes():
    message = json.dumps({"data": TRADE, "stream": "btcusdt@trade"}, indent=1).encode()
    assert len(parsed(new(), message)) == 2


def coinbase(channel, events, number=0, stamp="2024-08-08T23:54:14.072000001Z"):
    return compact({"channel": channel, "timestamp": stamp, "sequence_num": number, "events": events})


def coinbase_trade(number, price="1.5", side="SELL", product="BTC-USD"):
    stamp = "2024-08-08T23:54:14.05Z"
    return {
        "product_id": product,
        "trade_id": str(number),
        "price": price,
        "size": "2",
        "time": stamp,
        "side": side,
    }


def test_coinbase_trades_come_out_oldest_first_with_the_takers_side():
    message = coinbase(
        "market_trades", [{"type": "update", "trades": [coinbase_trade(6), coinbase_trade(5, side="BUY")]}]
    )
    _, first, second = parsed(new(CoinbaseParser), message)
    assert (first.trade_id, first.aggressor) == (5, Side.SELL)
    assert (second.trade_id, second.aggressor) == (6, Side.BUY)
    assert first.ts_ns == 1_723_161_254_050_000_000


def part(parser, message):
    """Return the events of a message that is damaged in part, and what is said of the damage."""
    out = []
    with pytest.raises(RejectedError) as caught:
        parser.parse(message, RECEIVED, out)
    return out, caught.value.message


def test_a_bad_trade_does_not_take_the_others_of_its_coinbase_message_with_it():
    rows = [coinbase_trade(7), coinbase_trade(6, "0"), coinbase_trade(5)]
    message = coinbase("market_trades", [{"type": "update", "trades": rows}], 3)
    parser = new(CoinbaseParser)
    (definition, *trades), reason = part(parser, message)
    assert isinstance(definition, InstrumentDefined)
    assert [trade.trade_id for trade in trades] == [5, 7]
    assert reason.startswith("1 of 3 trades, the first: price 0 ")
    assert parsed(parser, coinbase("heartbeats", [], 4)) == []


def test_a_coinbase_message_with_bad_trades_only_gives_nothing():
    parser = new(CoinbaseParser)
    bad = coinbase("market_trades", [{"type": "update", "trades": [coinbase_trade(6, "0")]}])
    assert "above zero" in rejection(parser, bad)
    again = coinbase("market_trades", [{"type": "update", "trades": [coinbase_trade(5)]}])
    assert [type(event) for event in parsed(parser, again)] == [InstrumentDefined, Trade]


def test_a_coinbase_trade_twice_in_one_message_is_taken_once():
    message = coinbase(
        "market_trades", [{"type": "update", "trades": [coinbase_trade(5), coinbase_trade(5)]}]
    )
    events, reason = part(new(CoinbaseParser), message)
    assert [type(event) for event in events] == [InstrumentDefined, Trade]
    assert "not above 5 of the same message" in reason


def test_missing_coinbase_messages_become_a_gap():
    parser = new(CoinbaseParser)
    events = parsed(parser, coinbase("heartbeats", [], 4), coinbase("heartbeats", [], 7))
    assert [event.reason for event in events] == ["messages 5 to 6 missing"]
    assert parsed(parser, coinbase("heartbeats", [], 0), coinbase("heartbeats", [], 1)) == []


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-08-08T23:54:14",
        "2024-13-08T23:54:14Z",
        "2024-08-08T23:54:14.Z",
        "now",
        "2024-08-08T23:54:14.-1Z",
    ],
)
def test_a_coinbase_message_without_a_utc_time_is_rejected(stamp):
    rejection(new(CoinbaseParser), coinbase("heartbeats", [], 0, stamp))


def test_kraken_trades_keep_the_venues_symbol_and_microseconds():
    rows = [["58721.20000", "0.02798644", "1723161254.465618", "s", "m", ""]]
    definition, trade = parsed(new(KrakenParser), compact([321, rows, "trade", "XBT/USD"]))
    assert (definition.symbol, definition.base_currency) == ("XBT/USD", "XBT")
    assert (trade.ts_ns, trade.price, trade.aggressor) == (
        1_723_161_254_465_618_000,
        587_212_000_000_000,
        Side.SELL,
    )


def test_a_kraken_ticker_is_a_quote_of_lot_volumes_at_receive_time():
    content = {"a": ["6.137376", 93, "93.72697143"], "b": ["6.102946", 586, "586.00000000"], "c": ["1", "2"]}
    _, quote = parsed(new(KrakenParser), compact([2228, content, "ticker", "LSK/USD"]))
    assert (quote.ts_ns, quote.bid_quantity, quote.ask_price) == (RECEIVED, 58_600_000_000, 61_373_760_000)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"[]",
        b"[1,2]",
        b"null",
        b'[321,[],"trade"',
        b'[1,[["1","1","x","b","l",""]],"trade","XBT/USD"]',
    ],
)
def test_damaged_kraken_messages_are_rejected(message):
    rejection(new(KrakenParser), message)


GOOD = [
    (BinanceParser, binance(TRADE)),
    (BinanceParser, binance(BOOK, "btcusdt@bookTicker")),
    (CoinbaseParser, coinbase("market_trades", [{"type": "update", "trades": [coinbase_trade(5)]}])),
    (KrakenParser, compact([1, [["5.5", "1", "1723161254.465618", "s", "m", ""]], "trade", "XBT/USD"])),
]


@given(st.sampled_from(GOOD), st.data())
def test_mutated_messages_never_crash_and_never_leave_half_an_event(good, data):
    kind, message = good
    place = data.draw(st.integers(0, len(message)))
    length = data.draw(st.integers(0, 4))
    mutated = message[:place] + data.draw(st.binary(max_size=3)) + message[place + length :]
    out = []
    try:
        new(kind).parse(mutated, RECEIVED, out)
    except PARSE_ERRORS:
        assert out == []
    assert CODEC.decode(CODEC.encode(out)) == out
    for event in out:
        if isinstance(event, Trade):
            assert event.price > 0
            assert event.quantity > 0
            assert abs(event.ts_ns - event.received_ns) <= 3_600 * 10**9


@given(st.sampled_from([BinanceParser, CoinbaseParser, KrakenParser]), st.binary(max_size=200))
def test_random_bytes_give_no_event(kind, message):
    out = []
    with contextlib.suppress(PARSE_ERRORS):
        new(kind).parse(message, RECEIVED, out)
    assert out == []


def test_deeply_nested_json_is_rejected():
    for kind in (BinanceParser, CoinbaseParser, KrakenParser):
        rejection(new(kind), b"[" * 200_000)
        rejection(new(kind), b'{"a":' * 200_000)
