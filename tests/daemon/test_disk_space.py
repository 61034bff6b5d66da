"""A full disk: trading stops rung by rung, nothing breaks, and freed space brings everything back."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.disk_reserve import START_BYTES, ReserveDisk, Space, StartReserve
from daemon.disk_space import SOURCE, DiskWatch, Shedder, level_of, look
from daemon.engine import Engine
from daemon.journal.disk import DISK
from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue
from schemas.events import (
    AssetClass,
    ClockTicked,
    DiskLevel,
    DiskPressure,
    FeedGap,
    InstrumentDefined,
    OperatorCommand,
    OrderDenied,
    OrderRequested,
    OrderType,
    Quote,
    Side,
    Trade,
    TradingState,
    TradingStateChanged,
)

from .conftest import fill_up

NOW = 10**18
SEGMENT = 1 << 20
PLENTY = 100 * SEGMENT

BTC = InstrumentDefined(
    ts_ns=NOW,
    instrument_id=1,
    symbol="BTC-USDT",
    venue="SIM",
    asset_class=AssetClass.CRYPTO,
    base_currency="BTC",
    quote_currency="USDT",
    price_scale=2,
    quantity_scale=5,
)
DEPOSIT = OperatorCommand(
    ts_ns=NOW,
    who="test",
    role="admin",
    command="account.deposit",
    arguments={"currency": "USDT", "amount": "1000"},
)


def quote(ts_ns=NOW):
    return Quote(
        ts_ns=ts_ns,
        received_ns=ts_ns,
        instrument_id=1,
        bid_price=99,
        bid_quantity=10**6,
        ask_price=100,
        ask_quantity=10**6,
    )


def trade(ts_ns, instrument_id=1):
    return Trade(ts_ns=ts_ns, received_ns=ts_ns, instrument_id=instrument_id, price=1, quantity=1)


def buy(client_id):
    return OrderRequested(
        ts_ns=NOW,
        instrument_id=1,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=100,
        price=90,
        source="operator:test",
        client_id=client_id,
    )


def space(free, *, rest=SEGMENT, waiting=False):
    return Space(free, rest, waiting)


# --- the rule ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (space(PLENTY), DiskLevel.OK),
        (space(SEGMENT * 13 // 8), DiskLevel.OK),
        (space(SEGMENT), DiskLevel.SPARE_USED),
        (space(SEGMENT // 2 - 1), DiskLevel.SHED_TICKS),
        (space(SEGMENT // 4 - 1), DiskLevel.REFUSE_RISK),
        (space(SEGMENT, waiting=True), DiskLevel.SHED_TICKS),
        (space(SEGMENT, rest=SEGMENT // 4 - 1, waiting=True), DiskLevel.REFUSE_RISK),
        (space(SEGMENT, rest=0), DiskLevel.SPARE_USED),
    ],
)
def test_each_rung_begins_where_it_is_documented(found, level):
    assert level_of(found, SEGMENT, DiskLevel.OK) is level


def test_space_that_swings_around_a_limit_does_not_swing_the_level():
    watch = DiskWatch(SEGMENT)
    events = []
    for turn in range(20):
        free = SEGMENT // 2 + (1000 if turn % 2 else -1000)
        events += watch.step(space(free), TradingState.ACTIVE, "", NOW)
    assert [event.level for event in events] == [DiskLevel.SHED_TICKS]


@given(st.integers(0, 4 * SEGMENT), st.integers(0, SEGMENT), st.booleans(), st.sampled_from(DiskLevel))
def test_less_space_never_means_a_better_level_and_a_level_holds_still(free, rest, waiting, previous):
    found = Space(free, rest, waiting)
    level = level_of(found, SEGMENT, previous)
    assert level_of(found, SEGMENT, level) is level
    assert level_of(found._replace(free_bytes=free // 2), SEGMENT, previous) >= level
    assert level_of(space(PLENTY), SEGMENT, level) is DiskLevel.OK


def test_the_space_that_lets_the_next_spare_be_taken_is_enough_to_stop_shedding_after_it():
    need = SEGMENT * 13 // 8
    assert level_of(space(need - SEGMENT), SEGMENT, DiskLevel.REFUSE_RISK) is DiskLevel.SPARE_USED


# --- trading ----------------------------------------------------------------------------------


def commands(events):
    return [event.command for event in events if isinstance(event, OperatorCommand)]


def test_trading_is_reduced_below_the_last_rung_and_resumed_above_it():
    watch = DiskWatch(SEGMENT)
    assert commands(watch.step(space(0), TradingState.ACTIVE, "", NOW)) == ["trading.reduce"]
    assert commands(watch.step(space(0), TradingState.REDUCING, SOURCE, NOW)) == []
    assert commands(watch.step(space(PLENTY), TradingState.REDUCING, SOURCE, NOW)) == ["trading.resume"]


@pytest.mark.parametrize(
    ("state", "source"),
    [
        (TradingState.REDUCING, "operator:anna"),
        (TradingState.HALTED, "operator:anna"),
        (TradingState.HALTED, "core"),
    ],
)
def test_what_somebody_else_restricted_is_neither_changed_nor_undone(state, source):
    watch = DiskWatch(SEGMENT)
    assert commands(watch.step(space(0), state, source, NOW)) == []
    assert commands(watch.step(space(PLENTY), state, source, NOW)) == []


def test_trading_resumed_by_an_operator_on_a_full_disk_is_reduced_again():
    watch = DiskWatch(SEGMENT)
    watch.step(space(0), TradingState.ACTIVE, "", NOW)
    assert commands(watch.step(space(0), TradingState.ACTIVE, "operator:anna", NOW)) == ["trading.reduce"]


def test_a_new_process_resumes_what_the_one_before_it_reduced():
    watch = DiskWatch(SEGMENT)
    assert commands(watch.step(space(PLENTY), TradingState.REDUCING, SOURCE, NOW)) == ["trading.resume"]


# --- shedding ---------------------------------------------------------------------------------


def test_without_pressure_events_pass_as_they_are():
    events = [BTC, quote()]
    assert Shedder().filter(events) is events


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 10**6)), max_size=40))
def test_every_tick_that_was_shed_is_told_once_and_lies_in_its_gap(ticks):
    shedder = Shedder("sim")
    shedder.shedding = True
    assert shedder.filter([trade(ts_ns, instrument) for instrument, ts_ns in ticks]) == []
    gaps = shedder.take_gaps(NOW)
    assert sum(gap.lost for gap in gaps) == len(ticks) == shedder.shed
    for gap in gaps:
        times = [ts_ns for instrument, ts_ns in ticks if instrument == gap.instrument_id]
        assert (gap.feed, gap.lost, gap.from_ns, gap.to_ns) == ("sim", len(times), min(times), max(times))
    assert shedder.take_gaps(NOW) == []


def test_only_ticks_are_shed_and_clock_ticks_in_a_pause():
    shedder = Shedder()
    shedder.shedding = True
    clock = ClockTicked(ts_ns=NOW, synchronized=True)
    assert shedder.filter([BTC, quote(), clock, DEPOSIT]) == [BTC, clock, DEPOSIT]
    shedder.paused = True
    assert shedder.filter([clock, DEPOSIT]) == [DEPOSIT]


# --- the disk ---------------------------------------------------------------------------------


class Free:
    """Free space as the test wants it."""

    def __init__(self, value=PLENTY):
        self.value = value

    def __call__(self, directory):
        return self.value


def eventually(claim, seconds=10):
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_roll_waits_for_space_and_goes_on_when_there_is_some(tmp_path):
    free = Free()
    disk = ReserveDisk(tmp_path, SEGMENT, poll_s=0.01, free_bytes=free)
    with JournalWriter.open(tmp_path / "journal", segment_bytes=SEGMENT, disk=disk) as writer:
        eventually(lambda: writer._spare._fd >= 0)
        free.value = 0
        done = []

        def write():
            for n in range(500):
                writer.append([trade(n)])
                done.append(n)

        thread = threading.Thread(target=write)
        thread.start()
        eventually(lambda: disk.space().exhausted)
        time.sleep(0.1)
        assert thread.is_alive()
        assert 300 < len(done) < 500
        free.value = PLENTY
        thread.join(10)
        assert len(done) == 500
        assert not disk.space().waiting
    found = verify(tmp_path / "journal")
    assert (found.problems, found.events) == ([], 500)


def test_a_journal_that_waits_for_space_can_be_closed_and_opened(tmp_path):
    free = Free()
    disk = ReserveDisk(tmp_path, SEGMENT, poll_s=0.01, free_bytes=free)
    with JournalWriter.open(tmp_path / "journal", segment_bytes=SEGMENT, disk=disk) as writer:
        eventually(lambda: writer._spare._fd >= 0)
        free.value = 0
        while not disk.space().waiting:
            writer.append([trade(1)])
        disk.stop()
    found = verify(tmp_path / "journal")
    assert (found.problems, found.sealed) == ([], found.segments)
    with JournalWriter.open(tmp_path / "journal", segment_bytes=SEGMENT) as writer:
        assert writer.next_seq == found.events + 1


def test_a_disk_that_is_full_at_the_start_is_told_at_once(tmp_path, monkeypatch):
    def full(fd, length, rest):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(DISK, "fill", full)
    with pytest.raises(Exception, match="No space left on device"):
        JournalWriter.open(tmp_path / "journal", segment_bytes=SEGMENT, disk=ReserveDisk(tmp_path, SEGMENT))


def test_an_error_of_the_device_is_no_lack_of_space(tmp_path, monkeypatch):
    disk = ReserveDisk(tmp_path, SEGMENT, poll_s=0.01)
    with (tmp_path / "a").open("wb") as file:
        disk.fill(file.fileno(), 4096)

        def broken(fd, length, rest):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(DISK, "fill", broken)
        with pytest.raises(OSError, match="Input/output error"):
            disk.fill(file.fileno(), 4096)


# --- all of it, on a real small file system ---------------------------------------------------


@asynccontextmanager
async def running(mount):
    """An engine on a small disk, with all that a look at the disk needs."""
    disk = ReserveDisk(mount, SEGMENT, poll_s=0.02)
    writer = JournalWriter.open(mount / "journal", segment_bytes=SEGMENT, disk=disk)
    core = Core(writer.journal_id)
    core.trading_source = ""
    engine = Engine(core, writer, PaperVenue(maker_fee_ppm=0, taker_fee_ppm=0), linger_s=0.002)
    engine.shedder = Shedder("sim")
    engine.seen = []

    def note(batch):
        engine.seen += batch.events
        for event in batch.events:
            if isinstance(event, TradingStateChanged):
                core.trading_source = event.source

    engine.subscribe(note)
    try:
        yield engine, disk
    finally:
        disk.stop()
        await engine.close([], timeout_s=5)


def of_type(engine, record):
    return [event for event in engine.seen if isinstance(event, record)]


async def looks(engine, disk, watch, until):
    end = time.monotonic() + 20
    while not until():
        assert time.monotonic() < end
        look(engine, disk, watch, NOW)
        await asyncio.sleep(0.02)


def test_a_full_disk_stops_trading_and_freed_space_brings_it_back_without_a_restart(small_disk):
    acknowledged = []

    async def order(engine, number):
        batch = await engine.execute([buy(f"order-{number}")])
        acknowledged.append((batch.first_seq, f"order-{number}"))
        return [type(event) for event in batch.events]

    async def scenario():
        watch = DiskWatch(SEGMENT)
        async with running(small_disk) as (engine, disk):
            await engine.execute([BTC, DEPOSIT, quote()])
            look(engine, disk, watch, NOW)
            assert watch.level is DiskLevel.OK
            assert OrderDenied not in await order(engine, 0)
            fill_up(small_disk / "other")

            await looks(engine, disk, watch, lambda: engine.core.trading_state is TradingState.REDUCING)
            assert watch.level is DiskLevel.REFUSE_RISK
            assert OrderDenied in await order(engine, 1)
            assert engine.shedder.filter([quote(), quote()]) == []
            while not disk.space().exhausted:
                await order(engine, len(acknowledged))
            # Whoever does not ask for the pause only waits: the journal stands still, and lives.
            late = [asyncio.ensure_future(order(engine, 10_000 + n)) for n in range(100)]
            await asyncio.sleep(0.3)
            look(engine, disk, watch, NOW)
            assert engine.shedder.paused
            assert engine.failed is None

            (small_disk / "other").unlink()
            await asyncio.gather(*late)
            await looks(engine, disk, watch, lambda: engine.core.trading_state is TradingState.ACTIVE)
            assert OrderDenied not in await order(engine, 20_000)
            await looks(engine, disk, watch, lambda: watch.level is DiskLevel.OK)
            await engine.durable(engine.next_seq - 1)
            await asyncio.sleep(0)
            levels = [event.level for event in of_type(engine, DiskPressure)]
            assert (levels[0], levels[-1]) == (DiskLevel.REFUSE_RISK, DiskLevel.OK)
            assert sum(gap.lost for gap in of_type(engine, FeedGap)) == 2

    asyncio.run(scenario())
    found = verify(small_disk / "journal")
    assert found.problems == []
    kept = {
        (seq, event.client_id)
        for batch in JournalReader(small_disk / "journal").batches()
        for seq, event in enumerate(batch.events, batch.first_seq)
        if isinstance(event, OrderRequested)
    }
    assert set(acknowledged) == kept


# --- the start --------------------------------------------------------------------------------


def test_the_first_segment_of_a_patient_disk_waits_for_space_too(tmp_path, monkeypatch):
    with JournalWriter.open(tmp_path / "journal", segment_bytes=SEGMENT) as writer:
        writer.append([trade(1)])
    fill, full = DISK.fill, threading.Event()
    full.set()

    def fill_if_there_is_space(fd, length, rest=None):
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fill(fd, length, rest)

    monkeypatch.setattr(DISK, "fill", fill_if_there_is_space)
    disk = ReserveDisk(tmp_path, SEGMENT, poll_s=0.01)
    with JournalWriter.open(tmp_path / "journal", segment_bytes=SEGMENT, disk=disk) as writer:
        disk.be_patient()
        thread = threading.Thread(target=lambda: writer.append([trade(2)]))
        thread.start()
        eventually(lambda: disk.space().exhausted)
        assert writer.next_seq == 2
        full.clear()
        thread.join(10)
        assert writer.next_seq == 3


def test_the_reserve_is_held_where_there_is_plenty_and_given_up_only_on_a_full_disk(tmp_path):
    free = Free()
    reserve = StartReserve(tmp_path, free_bytes=free)
    assert not reserve.held
    reserve.take()
    assert StartReserve(tmp_path, free_bytes=free).held
    reserve.release()
    assert reserve.held
    assert (tmp_path / "start.reserve").stat().st_size == START_BYTES
    free.value = START_BYTES - 1
    reserve.release()
    assert list(tmp_path.iterdir()) == []
    free.value = 2 * START_BYTES
    reserve.take()
    assert not reserve.held
