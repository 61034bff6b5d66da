"""Snapshots shorten a start and change nothing else: never ahead of the journal, never needed."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.journal.disk import Disk
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.snapshots import KEEP, Snapshots, load_newest, save, sequences
from daemon.trading.core import Core
from daemon.trading.strategy import Strategy
from schemas.events import AssetClass, InstrumentDefined, OperatorCommand, Trade
from tests.daemon.test_engine import MARKET, Gate, order, running

JOURNAL = "0123456789abcdef0123456789abcdef"
CODE = "c" * 64


class Silent(Strategy):
    """Gives no dump."""

    kind = "silent"


def trades(first: int, count: int) -> list[Trade]:
    return [
        Trade(ts_ns=n, received_ns=n, instrument_id=1, price=10_000 + n * n % 97, quantity=1)
        for n in range(first, first + count)
    ]


def beginning(kind: str = "ma_cross"):
    parameters = {"param.fast": 3, "param.slow": 9, "param.quantity": "2"} if kind == "ma_cross" else {}
    start = {"strategy_id": "x", "kind": kind, "instruments": ["I"], **parameters}
    return [
        InstrumentDefined(
            ts_ns=0,
            instrument_id=1,
            symbol="I",
            venue="V",
            asset_class=AssetClass.EQUITY,
            base_currency="I",
            quote_currency="USD",
            price_scale=2,
            quantity_scale=0,
        ),
        OperatorCommand(
            ts_ns=0,
            who="t",
            role="admin",
            command="account.deposit",
            arguments={"currency": "USD", "amount": "9"},
        ),
        OperatorCommand(ts_ns=0, who="t", role="admin", command="strategy.start", arguments=start),
    ]


def a_core(events: int = 40, journal_id: str = JOURNAL) -> Core:
    core = Core(journal_id)
    core.run([*beginning(), *trades(1, events)])
    return core


def last_seq(core: Core) -> int:
    return core.next_seq - 1


def file_of(data: Path, seq: int) -> Path:
    return data / "snapshots" / f"{seq:020d}.snap"


def test_a_saved_core_is_loaded_as_it_was(data_folder):
    core = a_core()
    assert save(data_folder, core, CODE)
    loaded = load_newest(data_folder, JOURNAL, CODE, last_seq(core))
    assert loaded is not None
    assert loaded.state() == core.state()
    more = trades(100, 200)
    assert loaded.run(more) == core.run(more)


def test_without_a_snapshot_the_journal_tells_all(data_folder, caplog):
    assert load_newest(data_folder, JOURNAL, CODE, 10) is None
    assert not caplog.records


@pytest.mark.parametrize("whose", ["journal", "code"])
def test_a_snapshot_of_another_journal_or_code_is_passed_over(data_folder, caplog, whose):
    core = a_core()
    save(data_folder, core, CODE)
    caplog.clear()
    journal_id, code = ("f" * 32, CODE) if whose == "journal" else (JOURNAL, "d" * 64)
    assert load_newest(data_folder, journal_id, code, last_seq(core)) is None
    (record,) = caplog.records
    assert f"of {whose}" in record.getMessage()


def test_a_damaged_newest_leaves_the_one_before_it(data_folder, caplog):
    core = a_core()
    save(data_folder, core, CODE)
    before = last_seq(core)
    core.run(trades(100, 10))
    save(data_folder, core, CODE)
    path = file_of(data_folder, last_seq(core))
    path.write_bytes(path.read_bytes()[:-1])
    caplog.clear()
    loaded = load_newest(data_folder, JOURNAL, CODE, last_seq(core))
    assert loaded is not None
    assert last_seq(loaded) == before
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    data = tmp_path_factory.mktemp("whole")
    core = a_core(12)
    assert save(data, core, CODE)
    return data, last_seq(core), file_of(data, last_seq(core)).read_bytes()


def test_a_file_cut_anywhere_is_passed_over(whole):
    data, seq, content = whole
    for length in range(len(content)):
        file_of(data, seq).write_bytes(content[:length])
        assert load_newest(data, JOURNAL, CODE, seq) is None, length
    file_of(data, seq).write_bytes(content)
    assert load_newest(data, JOURNAL, CODE, seq) is not None


def test_a_flip_of_any_bit_is_noticed(whole):
    data, seq, content = whole
    for place, bit in itertools.product(range(len(content)), range(8)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        file_of(data, seq).write_bytes(damaged)
        assert load_newest(data, JOURNAL, CODE, seq) is None, (place, bit)
    file_of(data, seq).write_bytes(content)


@given(content=st.binary(max_size=400))
def test_any_bytes_are_passed_over(whole, content):
    data, seq, _ = whole
    before = file_of(data, seq).read_bytes()
    file_of(data, seq).write_bytes(content)
    assert load_newest(data, JOURNAL, CODE, seq) is None
    file_of(data, seq).write_bytes(before)


def test_a_snapshot_under_another_number_is_passed_over(data_folder):
    core = a_core()
    save(data_folder, core, CODE)
    seq = last_seq(core)
    file_of(data_folder, seq).rename(file_of(data_folder, seq - 1))
    assert load_newest(data_folder, JOURNAL, CODE, seq) is None


def test_a_snapshot_beyond_the_journal_is_removed_before_others_get_its_numbers(data_folder):
    core = a_core()
    save(data_folder, core, CODE)
    seq = last_seq(core)
    assert load_newest(data_folder, JOURNAL, CODE, seq - 1) is None
    assert sequences(data_folder) == []
    assert load_newest(data_folder, JOURNAL, CODE, seq) is None


def test_the_newest_three_are_kept(data_folder):
    core = a_core()
    written = []
    for n in range(5):
        core.run(trades(100 * n, 10))
        save(data_folder, core, CODE)
        written.append(last_seq(core))
    assert sequences(data_folder) == written[-KEEP:]
    assert [path.suffix for path in (data_folder / "snapshots").iterdir()] == [".snap"] * KEEP


def test_a_draft_that_a_power_cut_left_is_no_snapshot_and_goes(data_folder):
    core = a_core()
    folder = data_folder / "snapshots"
    folder.mkdir()
    (folder / f"{last_seq(core):020d}.tmp").write_bytes(b"half")
    assert load_newest(data_folder, JOURNAL, CODE, last_seq(core)) is None
    assert save(data_folder, core, CODE)
    assert [path.name for path in folder.iterdir()] == [file_of(data_folder, last_seq(core)).name]


class Traced(Disk):
    """Tells the order of operations, and fails at one of them."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[str] = []
        self.failing = failing

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.failing:
            raise OSError(28, f"no {name}")

    def create(self, path):
        self._call("create")
        return super().create(path)

    def write(self, fd, buffers, offset):
        self._call("write")
        super().write(fd, buffers, offset)

    def sync_file(self, fd):
        self._call("sync_file")
        super().sync_file(fd)

    def rename(self, old, new):
        self._call("rename")
        super().rename(old, new)

    def sync_directory(self, directory):
        self._call("sync_directory")
        super().sync_directory(directory)


def test_content_is_durable_before_the_name_and_the_name_before_anybody_is_told(data_folder):
    disk = Traced()
    assert save(data_folder, a_core(), CODE, disk=disk)
    assert disk.calls == ["create", "write", "sync_file", "rename", "sync_directory"]


@pytest.mark.parametrize("failing", ["create", "write", "sync_file", "rename"])
def test_a_disk_that_refuses_costs_the_snapshot_and_nothing_else(data_folder, caplog, failing):
    core = a_core()
    save(data_folder, core, CODE)
    before = last_seq(core)
    core.run(trades(100, 10))
    assert not save(data_folder, core, CODE, disk=Traced(failing))
    assert caplog.records[-1].levelno == logging.WARNING
    assert [path.name for path in (data_folder / "snapshots").iterdir()] == [
        file_of(data_folder, before).name
    ]


def test_a_snapshot_waits_until_its_events_are_durable(data_folder):
    core = a_core()
    snapshots = Snapshots(data_folder, CODE, every=10)
    seq = last_seq(core)
    state = core.state()
    for durable in (0, seq - 1):
        snapshots.on_durable(durable, core)
        assert snapshots._thread is None
        assert sequences(data_folder) == []
    core.run(trades(100, 5))
    snapshots.on_durable(seq, core)
    snapshots._thread.join()
    loaded = load_newest(data_folder, JOURNAL, CODE, seq)
    assert loaded is not None
    assert loaded.state() == state


def test_a_snapshot_is_due_every_so_many_events(data_folder):
    core = a_core(0)
    snapshots = Snapshots(data_folder, CODE, last_seq=last_seq(core), every=10)
    first = last_seq(core)
    for n in range(35):
        core.run(
            [OperatorCommand(ts_ns=1, who="t", role="r", command="import.end", arguments={"sha256": str(n)})]
        )
        snapshots.on_durable(last_seq(core), core)
        if snapshots._thread is not None:
            snapshots._thread.join()
    assert sequences(data_folder) == [first + 10, first + 20, first + 30]


def test_a_clean_stop_leaves_a_snapshot_of_the_end_once(data_folder):
    core = a_core()
    snapshots = Snapshots(data_folder, CODE)
    snapshots.close(core, last_seq(core))
    assert sequences(data_folder) == [last_seq(core)]
    file_of(data_folder, last_seq(core)).unlink()
    snapshots.close(core, last_seq(core))
    assert sequences(data_folder) == []


def test_a_stop_with_events_that_are_not_durable_leaves_none(data_folder):
    core = a_core()
    Snapshots(data_folder, CODE).close(core, last_seq(core) - 1)
    assert sequences(data_folder) == []


def test_while_a_strategy_gives_no_dump_there_is_no_snapshot_and_it_is_said_once(data_folder, caplog):
    core = Core(JOURNAL, kinds={"silent": Silent})
    core.run([*beginning("silent"), *trades(1, 10)])
    snapshots = Snapshots(data_folder, CODE, every=5)
    for n in range(4):
        core.run(trades(20 + 10 * n, 10))
        snapshots.on_durable(last_seq(core), core)
    snapshots.close(core, last_seq(core))
    assert sequences(data_folder) == []
    (record,) = caplog.records
    assert "x cannot be dumped: silent gives no dump" in record.getMessage()


def test_a_start_from_a_snapshot_replays_the_tail_of_two_million_events(data_folder):
    frame, frames, tail = 20_000, 100, 3
    core = Core(JOURNAL)
    with_journal = JournalWriter.open(data_folder / "journal")
    try:
        core.journal_id = with_journal.journal_id
        with_journal.append(core.run(beginning())[0])
        for n in range(frames):
            merged, _ = core.run(trades(n * frame, frame))
            assert with_journal.append(merged) + len(merged) == core.next_seq
            if n == frames - tail - 1:
                assert save(data_folder, core, CODE)
                snapshot_seq = last_seq(core)
    finally:
        with_journal.close()
    assert last_seq(core) > 2_000_000
    reader = JournalReader(data_folder / "journal")
    loaded = load_newest(data_folder, reader.journal_id, CODE, reader.last_seq)
    assert loaded is not None
    replayed = 0
    for batch in reader.batches(loaded.next_seq):
        loaded.replay(batch.first_seq, batch.events)
        replayed += len(batch.events)
    assert replayed == last_seq(core) - snapshot_seq < (tail + 1) * frame
    assert loaded.state() == core.state()


async def test_every_snapshot_of_a_live_engine_and_the_tail_equal_the_whole_journal(data_folder, monkeypatch):
    monkeypatch.setattr("daemon.snapshots.KEEP", 1_000)
    async with running(data_folder / "journal") as engine:
        snapshots = Snapshots(data_folder, CODE, every=7)
        engine.subscribe(lambda batch: snapshots.on_durable(batch.last_seq, engine.core))
        await engine.execute(MARKET)
        for n in range(40):
            await engine.execute([order(n)])
        last = await engine.execute(trades(1, 5))
    await asyncio.to_thread(snapshots.close, engine.core, engine.durable_seq)
    assert engine.durable_seq >= last.last_seq
    reader = JournalReader(data_folder / "journal")
    taken = sequences(data_folder)
    assert len(taken) > 2
    assert taken[-1] == reader.last_seq
    for seq in reversed(taken):
        core = load_newest(data_folder, reader.journal_id, CODE, reader.last_seq)
        assert core is not None
        assert last_seq(core) == seq
        for batch in reader.batches(core.next_seq):
            core.replay(batch.first_seq, batch.events)
        assert core.state() == engine.core.state()
        file_of(data_folder, seq).unlink()


async def test_a_journal_that_fails_leaves_no_snapshot_of_what_it_lost(data_folder):
    disk = Gate()
    async with running(data_folder / "journal", disk) as engine:
        snapshots = Snapshots(data_folder, CODE, every=1)
        await engine.execute(MARKET)
        kept = engine.durable_seq
        engine.subscribe(lambda batch: snapshots.on_durable(batch.last_seq, engine.core))
        disk.broken = True
        with pytest.raises(JournalPoisonedError):
            await engine.execute([order()])
        disk.broken = False
    snapshots.close(engine.core, engine.durable_seq)
    assert engine.durable_seq == kept < last_seq(engine.core)
    assert sequences(data_folder) == []
