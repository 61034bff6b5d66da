"""Parity over recorded markets, and over journals that were archived, shortened, cut and mended."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.repair import apply_repair
from daemon.journal.retention import Limits, Policy
from daemon.journal.slice import cut_slice
from daemon.journal.writer import JournalWriter
from daemon.restart import rebuild
from daemon.shorten import shorten
from daemon.trading.core import Core
from daemon.venue.feeds.formats import TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.paper import VenueOptions
from daemon.venue.paper.options import recorded
from replay.parity import check_parity
from schemas.events import DaemonStarted, InstrumentDefined, OrderFilled
from tests.daemon.test_past import CODE
from tests.daemon.trading.conftest import Desk, command, deposit, instrument, trade

VENUE = VenueOptions(maker_fee_ppm=100, taker_fee_ppm=200, slippage="ppm", slippage_amount=20)
CROSS = {"param__fast": 5, "param__slow": 20, "param__short": True}
EVENTS = 4_000


def started() -> DaemonStarted:
    return DaemonStarted(
        ts_ns=1, daemon_version="1", config_hash="", code_hash=CODE, settings=recorded(VENUE)
    )


def trade_over(data, events, beginning, *, processes=3, chunk=16) -> None:
    """Let daemons trade over a market one after the other, each from what the last one left."""
    events = list(events)
    share = -(-len(events) // processes)
    for number in range(processes):
        with JournalWriter.open(data / "journal", segment_bytes=1 << 18) as writer:
            desk = Desk(Core(writer.journal_id))
            if number:
                found = rebuild(data, writer.journal_id, CODE, writer.next_seq - 1)
                desk.core, desk.venue = found.core, found.venue
            desk.venue.configure(VENUE)
            writer.append(desk.take(started(), *(() if number else beginning)))
            mine = events[number * share : (number + 1) * share]
            for at in range(0, len(mine), chunk):
                writer.append(desk.take(*mine[at : at + chunk]))


def start(name: str, symbol: str, **parameters):
    named = {"strategy_id": name, "kind": "ma_cross", "instruments": [symbol], **CROSS, **parameters}
    return command("strategy.start", **named)


def fills(data) -> int:
    batches = JournalReader(data / "journal").batches()
    return sum(isinstance(event, OrderFilled) for batch in batches for event in batch.events)


@pytest.mark.parametrize(
    ("file", "currency", "parameters"),
    [
        ("lean/equity/usa/tick/spy/20131008_trade.zip", "USD", {"param__quantity": "10"}),
        ("lean/forex/fxcm/tick/eurusd/20140508_quote.zip", "USD", {"param__source": "quote"}),
        ("crypto/binance_spot_btcusdt_20240808.gz", "USDT", {"param__quantity": "0.01"}),
    ],
)
def test_what_daemons_traded_over_recorded_markets_is_made_again(
    market_data, data_folder, file, currency, parameters
):
    with TickFile(market_data / file, InstrumentRegistry()) as ticks:
        events = list(islice((event for batch in ticks.batches() for event in batch), EVENTS))
    defined = [event for event in events if isinstance(event, InstrumentDefined)]
    starts = [
        start(f"cross{n}", f"{one.symbol}@{one.venue}", **{"param__quantity": "1", **parameters})
        for n, one in enumerate(defined)
    ]
    trade_over(data_folder, events, [*defined, deposit("10000000", currency), *starts])
    result = check_parity(data_folder, code_hash=CODE)
    assert result.passed, result.difference
    assert result.decisions > 20
    assert fills(data_folder) > 20
    assert [(run.starts, run.unchecked) for run in result.runs] == [(3, 0)]


@pytest.fixture
def traded(data_folder):
    """Three processes, some ten segments."""
    chance, price, market = random.Random(3), 10_000, []
    for n in range(1, 6_000):
        price += chance.choice((-3, -2, -1, 0, 1, 2, 3))
        market.append(trade(price, ts_ns=n, instrument_id=chance.choice((1, 2))))
    beginning = [instrument(1), instrument(2), deposit()]
    beginning += [start(name, f"{name}@V", param__quantity="3") for name in ("I1", "I2")]
    trade_over(data_folder, market, beginning)
    assert len(list_journal(data_folder / "journal")) > 5
    return data_folder


def test_archived_segments_are_compared_like_plain_ones(traded):
    whole = check_parity(traded, code_hash=CODE)
    assert archive_journal(traded / "journal")
    archived = check_parity(traded, code_hash=CODE)
    assert whole.passed
    assert archived.runs == whole.runs


def test_a_shortened_journal_is_compared_from_its_base_state_on(traded):
    archive_journal(traded / "journal")
    shorten(traded, Policy(max_bytes=0), Limits(), now_ns=1)
    begins = JournalReader(traded / "journal").first_seq
    result = check_parity(traded, code_hash=CODE)
    assert begins > 1
    assert result.passed, result.difference
    assert (result.first_seq, result.origin) == (begins, f"the base state at seq {begins - 1:,}")
    assert result.decisions > 20


def test_what_knew_lost_events_is_unchecked_and_what_started_behind_the_repair_compared(traded):
    directory = traded / "journal"
    name = list_journal(directory)[1]
    damaged = bytearray(name.path.read_bytes())
    damaged[8_192 * 4 : 8_192 * 4 + 64] = bytes(64)
    name.path.write_bytes(damaged)
    plan = apply_repair(directory)
    assert plan.lost_events > 0
    with JournalWriter.open(directory) as writer:
        found = rebuild(traded, writer.journal_id, CODE, writer.next_seq - 1)
        desk = Desk(found.core)
        desk.venue = found.venue
        desk.venue.configure(VENUE)
        writer.append(desk.take(started(), command("trading.resume", reason="it was looked at")))
        for n in range(10_000, 10_400):
            writer.append(desk.take(trade(10_000 + n % 37, ts_ns=n)))
    result = check_parity(traded, code_hash=CODE)
    assert result.passed, result.difference
    assert sum(run.unchecked for run in result.runs) > 2_000
    assert result.runs[0].why_unchecked == "events before them are lost"
    # 400 trades and what came of them.
    compared = result.events - plan.lost_events - sum(run.unchecked for run in result.runs)
    assert compared > 400 + list_journal(directory)[1].first_seq


def test_a_slice_of_a_journal_is_told_to_lack_what_came_before(traded, tmp_path):
    last = JournalReader(traded / "journal").last_seq
    cut_slice(traded / "journal", tmp_path / "cut" / "journal", last // 2, last)
    result = check_parity(tmp_path / "cut", code_hash=CODE)
    assert result.passed
    assert result.decisions == 0
    assert sum(run.unchecked for run in result.runs) > 100
