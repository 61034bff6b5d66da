"""The simulated and the file feed: same seed, same market; recorded times, any speed."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.settings import FeedSettings
from daemon.venue.feeds.feed import make_feed
from daemon.venue.feeds.file import FileFeed
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.feeds.simulated import (
    INSTRUMENTS,
    SimulatedFeed,
    SimulatedMarket,
    SimulationError,
    chosen_instruments,
)
from schemas.codec import CODEC
from schemas.events import Bar, FeedGap, InstrumentDefined, Quote, Trade

SECOND = 10**9
START = 1_723_161_254 * SECOND
BOOKS = [(terms, number) for number, terms in enumerate(INSTRUMENTS, 1)]


def market(seed=1, rate=2_000.0):
    return SimulatedMarket(seed, BOOKS, rate=rate, start_ns=START)


@given(st.lists(st.integers(0, SECOND // 5), max_size=8))
def test_a_market_is_the_same_however_time_is_cut(steps):
    end = START + sum(steps)
    cut, now = market(), START
    pieces = []
    for step in steps:
        now += step
        pieces += cut.advance(now)
    assert pieces == (market().advance(end) if steps else [])


def test_another_seed_is_another_market():
    assert market(1).advance(START + SECOND) != market(2).advance(START + SECOND)


def test_simulated_ticks_are_a_possible_market():
    quotes = {}
    events = market().advance(START + 20 * SECOND)
    assert [event.ts_ns for event in events] == sorted(event.ts_ns for event in events)
    for event in events:
        if isinstance(event, Quote):
            assert 0 < event.bid_price < event.ask_price
            assert min(event.bid_quantity, event.ask_quantity) > 0
            quotes[event.instrument_id] = event
        else:
            assert isinstance(event, Trade)
            assert event.price > 0
            assert event.quantity > 0
    assert set(quotes) == {1, 2, 3, 4}
    assert CODEC.decode(CODEC.encode(events)) == events
    trades = sum(isinstance(event, Trade) for event in events)
    assert 0.25 < trades / len(events) < 0.35


@pytest.mark.parametrize("rate", [200, 5_000, 50_000])
def test_the_rate_is_kept_on_average(rate):
    seconds = max(1, 10_000 // rate)
    events = market(rate=float(rate)).advance(START + seconds * SECOND)
    assert 0.75 < len(events) / (rate * seconds) < 1.25


def test_activity_comes_in_bursts():
    counts = [0] * 600
    for event in market(rate=200.0).advance(START + 60 * SECOND):
        counts[min(599, (event.ts_ns - START) * 10 // SECOND)] += 1
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    # Independent arrivals would have a variance equal to the mean.
    assert variance > 1.3 * mean


def test_an_impossible_rate_or_instrument_is_refused():
    with pytest.raises(SimulationError, match="at most 50000"):
        market(rate=60_000.0)
    with pytest.raises(SimulationError, match="no simulated instrument 'DOGE'"):
        chosen_instruments(["DOGE"])


async def collect(feed, *, until):
    """Run a feed until it ends or has published so many events."""
    batches = []
    enough = asyncio.Event()

    async def publish(events):
        batches.append(events)
        if sum(map(len, batches)) >= until:
            enough.set()

    running = asyncio.ensure_future(feed.run(publish))
    waiting = asyncio.ensure_future(enough.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    finished = running.done()
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    return batches, finished


async def test_the_simulated_feed_defines_its_instruments_before_their_ticks():
    batches, _ = await collect(SimulatedFeed(1, rate=5_000.0), until=300)
    assert [event.symbol for event in batches[0]] == [terms.symbol for terms in INSTRUMENTS]
    assert not any(isinstance(event, InstrumentDefined) for batch in batches[1:] for event in batch)


async def test_the_simulated_feed_does_not_define_known_instruments_again():
    registry = InstrumentRegistry()
    await collect(SimulatedFeed(1, registry=registry, rate=1_000.0), until=10)
    batches, _ = await collect(SimulatedFeed(1, registry=registry, rate=1_000.0), until=10)
    assert not any(isinstance(event, InstrumentDefined) for batch in batches for event in batch)


async def test_the_simulated_feed_does_not_make_up_for_a_long_pause():
    moments = iter([START, START, START + 3_600 * SECOND])
    feed = SimulatedFeed(1, rate=100.0, clock_ns=lambda: next(moments, START + 3_600 * SECOND))
    batches, _ = await collect(feed, until=30)
    ticks = [event for batch in batches[1:] for event in batch]
    assert len(ticks) < 1_000


LINE = (
    '{}000000000 {{"stream":"{}@trade","data":{{"e":"trade","s":"{}","t":{},'
    '"p":"1.5","q":"2","T":{}000,"m":true}}}}\n'
)


def recording(path, seconds, symbol="BTCUSDT", first_id=1):
    with gzip.open(path, "wt") as file:
        for number, second in enumerate(seconds, first_id):
            file.write(LINE.format(second, symbol.lower(), symbol, number, second))
    return path


async def test_flat_out_gives_every_event_in_order_and_ends(tmp_path):
    path = recording(tmp_path / "a.gz", range(1_723_161_000, 1_723_166_000))
    batches, finished = await collect(FileFeed([path], speed=0), until=10**9)
    events = [event for batch in batches for event in batch]
    assert finished
    assert [event.trade_id for event in events[1:]] == list(range(1, 5_001))
    assert max(map(len, batches)) <= 2_048


async def test_recorded_distances_are_kept_at_the_speed_asked_for(tmp_path):
    path = recording(tmp_path / "a.gz", [1_723_161_000, 1_723_161_030, 1_723_161_060])
    loop = asyncio.get_running_loop()
    begun = loop.time()
    batches, finished = await collect(FileFeed([path], speed=200.0), until=10**9)
    assert finished
    assert 0.28 <= loop.time() - begun < 5
    assert [len(batch) for batch in batches] == [2, 1, 1]


async def test_recorded_bars_are_played_with_their_times_shifted(tmp_path):
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text("1378854000,97,98,96,97,0.1,2\n1378854060,97,98,96,97,0.1,2\n")
    now = 1_700_000_000 * SECOND
    feed = FileFeed([path], speed=0, shift_to_now=True, clock_ns=lambda: now)
    batches, _ = await collect(feed, until=10**9)
    bars = [event for batch in batches for event in batch if isinstance(event, Bar)]
    assert [bar.ts_ns - bars[0].ts_ns for bar in bars] == [0, 60 * SECOND]
    assert bars[0].ts_ns == bars[0].received_ns


async def test_files_are_merged_by_time(tmp_path):
    paths = [
        recording(tmp_path / "a.gz", [1_723_161_000, 1_723_161_020]),
        recording(tmp_path / "b.gz", [1_723_161_010, 1_723_161_030], symbol="ETHUSDT"),
    ]
    batches, _ = await collect(FileFeed(paths, speed=0), until=10**9)
    trades = [event for batch in batches for event in batch if isinstance(event, Trade)]
    assert [trade.instrument_id for trade in trades] == [1, 2, 1, 2]


async def test_shifted_times_begin_now_and_keep_their_distances(tmp_path):
    path = recording(tmp_path / "a.gz", [1_723_161_000, 1_723_161_007])
    now = 1_800_000_000 * SECOND
    feed = FileFeed([path], speed=0, shift_to_now=True, clock_ns=lambda: now)
    batches, _ = await collect(feed, until=10**9)
    assert [event.ts_ns for batch in batches for event in batch] == [now, now, now + 7 * SECOND]


async def test_only_the_symbols_asked_for_are_published(tmp_path):
    paths = [
        recording(tmp_path / "a.gz", [1_723_161_000]),
        recording(tmp_path / "b.gz", [1_723_161_010], symbol="ETHUSDT"),
    ]
    batches, _ = await collect(FileFeed(paths, speed=0, symbols=frozenset({"ETHUSDT"})), until=10**9)
    (definition, _trade) = [event for batch in batches for event in batch]
    assert definition.symbol == "ETHUSDT"


async def test_damaged_lines_are_counted_and_logged(tmp_path, caplog):
    path = recording(tmp_path / "a.gz", [1_723_161_000, 1_723_161_001])
    path.write_bytes(path.read_bytes() + gzip.compress(b"1723161000000000000 {nonsense\n"))
    feed = FileFeed([path], speed=0)
    await collect(feed, until=10**9)
    assert feed.rejected_count == 1
    assert "the first is 3" in caplog.text


def test_settings_choose_the_feed(tmp_path):
    assert make_feed(FeedSettings(kind="none"), []) is None
    assert make_feed(FeedSettings(kind="simulated", instruments=("BTC-USDT",)), []).name == "simulated"
    assert make_feed(FeedSettings(kind="file", paths=(tmp_path,)), []).name == "file"


async def test_a_gap_of_a_whole_connection_is_played_whatever_symbols_are_wanted(tmp_path):
    message = '{"channel":"heartbeats","timestamp":"2024-08-08T23:54:14Z","sequence_num":%d,"events":[]}'
    path = tmp_path / "session.jsonl"
    rows = [json.dumps({"t": "recv", "ts": 1723161254.5, "data": message % number}) for number in (1, 5)]
    path.write_text("\n".join(['{"t":"header","url":"wss://coinbase.com"}', *rows, ""]))
    batches, _ = await collect(FileFeed([path], speed=0, symbols=frozenset({"BTC-USD"})), until=10**9)
    assert [type(event) for batch in batches for event in batch] == [FeedGap]
