"""Hypothesis against writer, reader and recovery: long histories of appends, faults, kills and power cuts.

The model is a list of what was submitted and the number up to which somebody was told. After every
start the journal must hold a prefix of the one that reaches the other.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.journal.errors import JournalError, JournalPoisonedError
from daemon.journal.reader import JournalReader
from daemon.journal.spare import Spare
from daemon.journal.writer import JournalWriter
from tests.crash.journal.fault_disk import FaultDisk, lay_out
from tests.crash.journal.journals import TINY, assert_whole, let_go, read_facts, trades


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Fill each spare when it is taken: a thread beside the writer's makes no history twice the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spare, "prepare", lambda self: None)
        yield


class JournalMachine(RuleBasedStateMachine):
    """One journal through all that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.arena = Path(tempfile.mkdtemp(prefix="taped-model-", dir=memory if memory.is_dir() else None))
        self.folder = self.arena / "journal"
        self.disk = FaultDisk(self.folder)
        self.writer: JournalWriter | None = None
        self.submitted: list[tuple[int, int]] = []
        self.told = 0
        self.life = 0

    @initialize()
    def first_start(self) -> None:
        lay_out(self.folder, {})
        self.start()

    @precondition(lambda self: self.writer is None)
    @rule()
    def start(self) -> None:
        self.disk.reset()
        self.life += 1
        self.writer = JournalWriter.open(self.folder, segment_bytes=TINY, disk=self.disk)
        self.recovered()

    @precondition(lambda self: self.writer is None)
    @rule(call=st.integers(0, 12))
    def start_on_a_failing_disk(self, call: int) -> None:
        self.disk.reset()
        self.disk.fail_at = call
        self.life += 1
        try:
            self.writer = JournalWriter.open(self.folder, segment_bytes=TINY, disk=self.disk)
        except JournalError:
            return
        finally:
            self.disk.reset()
        self.recovered()

    def recovered(self) -> None:
        count = self.writer.next_seq - 1
        assert self.told <= count <= len(self.submitted)
        del self.submitted[count:]
        self.told = count
        assert (read_facts(self.folder) if count else []) == self.submitted

    def submit(self, count: int) -> None:
        events = trades(self.writer.next_seq, count, self.life)
        self.submitted[self.writer.next_seq - 1 :] = [(event.price, event.quantity) for event in events]
        self.writer.append(events)
        self.told = self.writer.next_seq - 1

    @precondition(lambda self: self.writer is not None)
    @rule(count=st.sampled_from((1, 2, 3, 30, 90, 250)))
    def append(self, count: int) -> None:
        self.submit(count)

    @precondition(lambda self: self.writer is not None)
    @rule()
    def mark(self) -> None:
        self.writer.mark()

    @precondition(lambda self: self.writer is not None)
    @rule(
        count=st.sampled_from((1, 90)),
        call=st.integers(0, 8),
        kind=st.sampled_from((None, "write", "sync", "sync_directory", "rename")),
    )
    def append_on_a_failing_disk(self, count: int, call: int, kind: str | None) -> None:
        self.disk.reset()
        self.disk.fail_at, self.disk.fail_on = call, kind
        try:
            self.submit(count)
        except JournalPoisonedError:
            self.kill()
        self.disk.reset()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def close(self) -> None:
        self.writer.close()
        self.writer = None

    @rule()
    def kill(self) -> None:
        if self.writer is not None:
            let_go(self.writer)
        self.writer = None

    @rule(fates=st.lists(st.booleans(), min_size=1, max_size=40))
    def power_cut(self, fates: list[bool]) -> None:
        self.kill()
        choices = iter(fates)
        self.disk.cut_power(lambda: next(choices, fates[0]))

    @precondition(lambda self: self.told > 0)
    @rule(data=st.data())
    def read_a_range(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(1, self.told))
        last = data.draw(st.integers(first, self.told))
        assert read_facts(self.folder, first, last) == self.submitted[first - 1 : last]

    @precondition(lambda self: self.told > 0)
    @invariant()
    def both_readers_agree_and_nothing_told_is_missing(self) -> None:
        assert_whole(self.folder)
        assert JournalReader(self.folder).last_seq >= self.told

    def teardown(self) -> None:
        self.kill()
        shutil.rmtree(self.arena)


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
