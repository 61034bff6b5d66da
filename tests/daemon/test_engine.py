"""The engine: nothing leaves before it is durable, and nobody waits for a journal that stopped."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from daemon.engine import Engine, EngineStoppedError
from daemon.journal.disk import Disk
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue
from schemas.codec import CodecError
from schemas.events import (
    AssetClass,
    InstrumentDefined,
    OperatorCommand,
    OrderAccepted,
    OrderDenied,
    OrderFilled,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    Quote,
    Side,
    TradingState,
    TradingStateChanged,
)

NOW = 1_700_000_000_000_000_000


class Gate(Disk):
    """A disk whose syncs wait until they are let through, or fail."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def sync(self, fd):
        self.gate.wait(10)
        if self.broken:
            raise OSError(5, "Input/output error")
        super().sync(fd)


class WatchedVenue(PaperVenue):
    """The paper venue, noting what reached it."""

    def __init__(self):
        super().__init__(maker_fee_ppm=0, taker_fee_ppm=0)
        self.sent = []

    def send(self, effects, core, now_ns):
        self.sent += [type(event) for _, event in effects]
        return super().send(effects, core, now_ns)


@asynccontextmanager
async def running(folder, disk=None):
    writer = JournalWriter.open(folder, segment_bytes=1 << 20, disk=disk or Gate())
    core = Core(writer.journal_id)
    if writer.next_seq > 1:
        for batch in JournalReader(folder).batches():
            core.replay(batch.first_seq, batch.events)
    engine = Engine(core, writer, WatchedVenue(), linger_s=0.005)
    try:
        yield engine
    finally:
        await engine.close([], timeout_s=5)


MARKET = [
    InstrumentDefined(
        ts_ns=NOW,
        instrument_id=1,
        symbol="BTC-USDT",
        venue="TEST",
        asset_class=AssetClass.CRYPTO,
        base_currency="BTC",
        quote_currency="USDT",
        price_scale=2,
        quantity_scale=4,
    ),
    OperatorCommand(
        ts_ns=NOW,
        who="test",
        role="admin",
        command="account.deposit",
        arguments={"currency": "USDT", "amount": "100000"},
    ),
    Quote(
        ts_ns=NOW,
        received_ns=NOW,
        instrument_id=1,
        bid_price=99_00,
        bid_quantity=10**6,
        ask_price=101_00,
        ask_quantity=10**6,
    ),
]


def order(n=0, **changes):
    fields = {
        "ts_ns": NOW + n,
        "instrument_id": 1,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": 10_000,
        "price": 50_00,
        "source": "operator:test",
        "client_id": f"c{n}",
    }
    return OrderRequested(**(fields | changes))


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


async def test_a_command_resolves_with_its_decisions_once_they_are_on_disk(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        batch = await engine.execute([order()])
        assert [type(event) for event in batch.events] == [OrderRequested, OrderSubmitted]
        assert engine.durable_seq >= batch.last_seq
        on_disk = [
            e for b in JournalReader(tmp_path).batches(batch.first_seq, batch.last_seq) for e in b.events
        ]
        assert on_disk == batch.events


async def test_no_order_reaches_the_venue_before_its_submission_is_durable(tmp_path):
    gate = Gate()
    async with running(tmp_path, gate) as engine:
        await engine.execute(MARKET)
        gate.gate.clear()
        task = asyncio.create_task(engine.execute([order()]))
        await asyncio.sleep(0.1)
        assert engine._venue.sent == []
        assert not task.done()
        gate.gate.set()
        await task
        await until(lambda: OrderSubmitted in engine._venue.sent)


async def test_a_send_that_must_not_be_ends_the_engine(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        batch = await engine.execute([order()])
        await until(lambda: OrderSubmitted in engine._venue.sent)
        engine._send(batch.last_seq, batch.events[-1])
        assert "has left before" in await asyncio.wait_for(engine.failure, 5)
        with pytest.raises(EngineStoppedError):
            await engine.execute([order(1)])


async def test_what_was_decided_leaves_before_the_journal_is_closed(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        engine.ingest([order(price=101_00)])
        await engine.close([], timeout_s=5)
        assert engine._venue.sent == [OrderSubmitted]
        kinds = [type(event) for batch in JournalReader(tmp_path).batches() for event in batch.events]
        assert kinds[-2:] == [OrderAccepted, OrderFilled]


async def test_a_refused_order_never_reaches_the_venue(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        batch = await engine.execute([order(quantity=0)])
        assert type(batch.events[-1]) is OrderDenied
        await asyncio.sleep(0.05)
        assert engine._venue.sent == []


def kill(*, flatten=False):
    arguments = {"reason": "fire", "flatten": flatten}
    return OperatorCommand(ts_ns=NOW, who="t", role="admin", command="trading.kill", arguments=arguments)


async def test_nothing_leaves_after_a_kill_switch_not_even_what_was_queued_before(tmp_path):
    gate = Gate()
    async with running(tmp_path, gate) as engine:
        await engine.execute(MARKET)
        gate.gate.clear()
        tasks = [asyncio.create_task(engine.execute([order(n)])) for n in range(3)]
        tasks.append(asyncio.create_task(engine.execute([kill()])))
        tasks += [asyncio.create_task(engine.execute([order(n)])) for n in range(3, 6)]
        await asyncio.sleep(0.05)
        gate.gate.set()
        await asyncio.gather(*tasks)
        await until(lambda: not engine.core.orders.working)
        assert engine._venue.sent == []
        statuses = [order.status.name for order in engine.core.orders.values()]
        assert statuses == ["CANCELED"] * 3 + ["DENIED"] * 3


async def test_an_order_that_a_crash_kept_from_leaving_does_not_leave_a_halted_core_after_the_restart(
    tmp_path,
):
    writer = JournalWriter.open(tmp_path, segment_bytes=1 << 20)
    core = Core(writer.journal_id)
    for inputs in (MARKET, [order(1)], [kill()]):
        writer.append(core.run(list(inputs))[0])
    writer.close()
    async with running(tmp_path) as engine:
        unsent = engine._venue.unsent(engine.core)
        assert [type(effect) for _, effect in unsent][:1] == [OrderSubmitted]
        engine.resume(unsent)
        await until(lambda: not engine.core.orders.working)
        assert OrderSubmitted not in engine._venue.sent
        (known,) = engine.core.orders.values()
        assert known.reason == "trading was halted before it left"


async def test_a_kill_switch_cancels_what_works_and_closes_what_is_held(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        await engine.execute([order(1, price=101_00)])
        await engine.execute([order(2, price=60_00)])
        await until(lambda: engine.core.positions and len(engine.core.orders.working) == 1)
        engine._venue.sent.clear()
        await engine.execute([kill(flatten=True)])
        await until(lambda: not engine.core.orders.working and not engine.core.positions[1].quantity)
        assert sorted(kind.__name__ for kind in engine._venue.sent) == ["CancelRequested", "OrderSubmitted"]
    async with running(tmp_path) as again:
        assert again.core.trading_state is TradingState.HALTED


async def test_fills_of_the_paper_venue_come_back_as_durable_inputs(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        heard = []
        engine.subscribe(lambda batch: heard.extend(batch.events))
        await engine.execute([order(price=101_00)])
        engine.ingest([MARKET[-1]])
        await until(lambda: any(isinstance(event, OrderFilled) for event in heard))
        assert any(isinstance(event, OrderAccepted) for event in heard)
        assert engine.core.positions[1].quantity == 10_000


async def test_a_failed_sync_fails_every_waiter_and_takes_nothing_more(tmp_path):
    gate = Gate()
    async with running(tmp_path, gate) as engine:
        await engine.execute(MARKET)
        gate.gate.clear()
        tasks = [asyncio.create_task(engine.execute([order(n)])) for n in range(3)]
        await asyncio.sleep(0.05)
        gate.broken = True
        gate.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, JournalPoisonedError) for result in results)
        assert "Input/output error" in await asyncio.wait_for(engine.failure, 5)
        with pytest.raises(EngineStoppedError):
            await engine.execute([order(9)])
        assert engine._venue.sent == []


async def test_a_feed_waits_while_too_much_waits_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("daemon.engine.MAX_PENDING_EVENTS", 100)
    gate = Gate()
    async with running(tmp_path, gate) as engine:
        await engine.execute(MARKET)
        gate.gate.clear()
        await engine.publish([MARKET[-1]] * 90)
        task = asyncio.create_task(engine.publish([MARKET[-1]] * 90))
        await asyncio.sleep(0.05)
        assert not task.done()
        gate.gate.set()
        await asyncio.wait_for(task, 5)


async def test_closing_writes_what_waits_and_takes_no_new_command(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        engine.ingest([MARKET[-1]] * 50)
        last = engine.next_seq - 1
        await engine.close([], timeout_s=5)
        with pytest.raises(EngineStoppedError, match="stopping"):
            await engine.execute([order()])
    assert JournalReader(tmp_path).last_seq == last


async def test_a_restarted_core_equals_the_one_that_stopped(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        for n in range(20):
            await engine.execute([order(n, price=101_00 if n % 2 else 60_00)])
        engine.ingest([MARKET[-1]])
        await engine.execute(
            [
                OperatorCommand(
                    ts_ns=NOW, who="t", role="admin", command="trading.halt", arguments={"reason": "x"}
                )
            ]
        )
        await asyncio.sleep(0.05)
        await engine.durable(engine.next_seq - 1)
        before = engine.core.state()
        assert any(
            isinstance(e, TradingStateChanged) for b in JournalReader(tmp_path).batches() for e in b.events
        )
    async with running(tmp_path) as again:
        assert again.core.state() == before


async def test_a_command_that_cannot_be_written_is_refused_alone_and_changes_nothing(tmp_path):
    async with running(tmp_path) as engine:
        await engine.execute(MARKET)
        before = engine.core.state()
        with pytest.raises(CodecError):
            await engine.execute([order(quantity=2**70)])
        assert engine.core.state() == before
        await engine.execute([order(1)])
        assert engine.failed is None
