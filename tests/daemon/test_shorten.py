"""A journal whose oldest segments went: nothing of what they came to is lost, whatever runs next."""

from __future__ import annotations

import errno
import shutil
import time

import msgspec
import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.archive_file import header_of
from daemon.journal.base_file import BaseContent, BaseFile, draft_base, first_base, put_base
from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalCorruptError, JournalError, JournalLockedError
from daemon.journal.listing import ARCHIVE, beginning, list_journal
from daemon.journal.lock import JournalLock
from daemon.journal.reader import JournalReader
from daemon.journal.repair import apply_repair
from daemon.journal.retention import Limits, Policy
from daemon.journal.verify import verify
from daemon.readmodel.beginning import open_following
from daemon.readmodel.content import content_hash
from daemon.readmodel.writer import ReadModelWriter
from daemon.shorten import limits_of, shorten
from daemon.snapshots import save
from daemon.start import core_at_end
from daemon.trading.core import Core
from daemon.trading.dump import dump
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from replay.rebuild import rebuild
from schemas.base_state import HEADER_BYTES
from schemas.events import StrategyStopped
from tests.daemon.journal.conftest import open_small
from tests.daemon.readmodel.conftest import busy_stream, command, instrument, trade

CODE, OTHER_CODE = "c" * 64, "d" * 64
SEGMENTS = 6
EVERYTHING = Policy(max_bytes=0)
STREAM = busy_stream(12, 500).stream
FREE = Limits()


def record(data, stream, segments=SEGMENTS):
    """Write a stream as a daemon would: archived segments, and the read model at the journal's end."""
    length = -(-len(stream) // segments)
    with open_small(data / "journal") as writer:
        model = ReadModelWriter(data / "readmodel.db", writer.journal_id, keep_ticks=1000)
        for start in range(0, len(stream), length):
            if start:
                writer._roll()
            for at in range(start, min(start + length, len(stream)), 37):
                part = stream[at : min(at + 37, start + length)]
                model.apply(writer.append(part), part)
        model.close()
    archive_journal(data / "journal")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    data = tmp_path_factory.mktemp("template")
    record(data, STREAM)
    return data


@pytest.fixture
def data(template, tmp_path):
    return shutil.copytree(template, tmp_path / "data")


def state_at_end(data, code=CODE):
    """Return all that the next start would know."""
    reader = JournalReader(data / "journal")
    core = core_at_end(data, reader.journal_id, code, reader.last_seq)
    return list(dump(core).parts())


def cut(data, policy=EVERYTHING, limits=FREE, **options):
    return shorten(data, policy, limits, now_ns=time.time_ns(), **options)


def first_seq_of(data, segment):
    return next(name.first_seq for name in list_journal(data / "journal") if name.number == segment)


def test_what_the_events_came_to_outlives_them_whatever_code_runs(data, template):
    before, last = state_at_end(data), JournalReader(data / "journal").last_seq
    begins = first_seq_of(data, SEGMENTS)
    (plan,) = cut(data)
    assert [item.name.number for item in plan.going] == [1, 2, 3, 4, 5]
    reader = JournalReader(data / "journal")
    assert (reader.first_seq, reader.last_seq) == (begins, last)
    assert verify(data / "journal").problems == []
    for code in (CODE, OTHER_CODE):
        assert state_at_end(data, code) == before == state_at_end(template)


def test_the_read_model_can_be_made_again_with_the_same_content(data):
    before = content_hash(data / "readmodel.db")
    cut(data)
    result = rebuild(data)
    assert result.equal is True
    assert result.hash == before
    (data / "readmodel.db").unlink()
    rebuild(data, keep_ticks=1000)
    assert content_hash(data / "readmodel.db") == before


def test_a_rebuild_that_cannot_give_all_says_so(data, monkeypatch):
    for module in ("daemon.shorten", "replay.rebuild"):
        monkeypatch.setattr(f"{module}.PRUNE_EVERY", 1)
    (data / "readmodel.db").unlink()
    rebuild(data, keep_ticks=1000)
    model = ReadModelWriter(data / "readmodel.db", JournalReader(data / "journal").journal_id)
    model._connection.execute("UPDATE meta SET value = 300 WHERE name = 'keep_ticks'")
    model.close()
    cut(data)
    gone = JournalReader(data / "journal").last_seq - 300
    result = rebuild(data, keep_ticks=1000)
    assert result.begins_at > 1
    assert result.equal is None
    assert f"tick rows of events 1 to {gone}" in result.lacking
    assert rebuild(data, keep_ticks=300, replace=False).lacking is None


def test_it_goes_on_from_where_it_was_cut_before(data):
    before, tables = state_at_end(data), content_hash(data / "readmodel.db")
    for segment in (2, 4, 6):
        begins = first_seq_of(data, segment)
        cut(data, limits=Limits(confirmed_seq=begins - 1))
        assert JournalReader(data / "journal").first_seq == begins
        assert state_at_end(data) == before
        assert rebuild(data, replace=False).hash == tables
        assert len(list((data / "journal").glob("*.base"))) == 1
    assert cut(data) == []


def test_at_most_so_many_segments_go_at_once(data, monkeypatch):
    monkeypatch.setattr("daemon.shorten.MOST_SEGMENTS", 2)
    before = state_at_end(data)
    plans = cut(data)
    assert [len(plan.going) for plan in plans] == [2, 2, 1]
    assert state_at_end(data) == before


def test_the_journal_is_written_on_and_archived_afterwards(data):
    cut(data)
    with open_small(data / "journal") as writer:
        assert writer.append([trade()]) == len(STREAM) + 1
    archive_journal(data / "journal")
    assert verify(data / "journal").problems == []
    assert cut(data)
    assert JournalReader(data / "journal").first_seq > len(STREAM) - 100


@pytest.mark.parametrize("confirmed", [0, 1])
def test_what_timescaledb_has_not_confirmed_stays(data, confirmed):
    assert cut(data, limits=Limits(confirmed_seq=confirmed)) == []
    assert beginning(data / "journal") is None


def test_limits_are_those_of_the_data_folder(data):
    reader = JournalReader(data / "journal")
    assert limits_of(data, None) == Limits(None, reader.last_seq, None)
    assert limits_of(data, 7).confirmed_seq == 7
    core = core_at_end(data, reader.journal_id, CODE, reader.last_seq)
    save(data, core, CODE)
    assert limits_of(data, None).snapshot_seq == reader.last_seq
    (data / "snapshots" / f"{9:020d}.snap").touch()
    assert limits_of(data, None).snapshot_seq == 9
    cut(data, limits=Limits(confirmed_seq=first_seq_of(data, 4) - 1))
    assert limits_of(data, None).snapshot_seq == reader.last_seq
    (data / "readmodel.db").unlink()
    assert limits_of(data, None).projected_seq is None


def test_a_loss_right_before_the_new_beginning_is_no_hole(tmp_path):
    length = len(STREAM) // 3
    with open_small(tmp_path / "journal") as writer:
        for start in (0, length, 2 * length):
            if start:
                writer._roll()
            for at in range(start, start + length, 10):
                writer.append(STREAM[at : min(at + 10, start + length)])
    path = list_journal(tmp_path / "journal")[0].path
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 2 * 4096 + 100)
        file.write(b"\xff\x00\xff")
    assert apply_repair(tmp_path / "journal").lost_events
    archive_journal(tmp_path / "journal")
    before = state_at_end(tmp_path)
    assert cut(tmp_path)
    assert state_at_end(tmp_path) == before
    assert rebuild(tmp_path).applied_seq == JournalReader(tmp_path / "journal").last_seq


class Silent(Strategy):
    kind = "silent"


class Forgetful(Strategy):
    kind = "forgetful"

    def dump(self):
        return {"learned": 1}


def with_strategy(data, kind, segments=3):
    stream = [instrument(), command("strategy.start", strategy_id="x", kind=kind, instruments=["S1-USD"])]
    events, _ = Core("0" * 32).run([*stream, *(trade(price=n + 1) for n in range(60))])
    record(data, events, segments=segments)


def test_a_strategy_that_gives_no_dump_keeps_the_history_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "silent", Silent)
    with_strategy(tmp_path, "silent")
    with pytest.raises(JournalError, match="x cannot be dumped: silent gives no dump"):
        cut(tmp_path)
    assert beginning(tmp_path / "journal") is None
    assert [path.name for path in tmp_path.iterdir() if "base" in path.name] == []


@pytest.mark.parametrize("gone", [True, False])
def test_a_strategy_whose_state_the_code_does_not_read_is_stopped_and_nothing_else(
    tmp_path, monkeypatch, gone
):
    monkeypatch.setattr(Forgetful, "load", lambda self, plain: None)
    monkeypatch.setitem(STRATEGIES, "forgetful", Forgetful)
    with_strategy(tmp_path, "forgetful")
    cut(tmp_path)
    monkeypatch.undo()
    if not gone:
        monkeypatch.setitem(STRATEGIES, "forgetful", Forgetful)
    reader = JournalReader(tmp_path / "journal")
    core = core_at_end(tmp_path, reader.journal_id, OTHER_CODE, reader.last_seq)
    assert "x" not in core.strategies
    events, _ = core.run([trade()])
    (stopped,) = [event for event in events if isinstance(event, StrategyStopped)]
    assert "its state cannot be read" in stopped.reason
    assert ("no strategy kind" if gone else "forgetful gives a dump and takes none") in stopped.reason


def test_a_kind_that_is_gone_holds_up_a_command_that_may_not_know_it_and_not_the_daemon(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Forgetful, "load", lambda self, plain: None)
    monkeypatch.setitem(STRATEGIES, "forgetful", Forgetful)
    with_strategy(tmp_path, "forgetful", segments=4)
    cut(tmp_path, limits=Limits(confirmed_seq=first_seq_of(tmp_path, 2) - 1))
    monkeypatch.undo()
    with pytest.raises(JournalError, match="x cannot be made any more"):
        cut(tmp_path)
    before = state_at_end(tmp_path, OTHER_CODE)
    assert cut(tmp_path, all_kinds=True)
    assert state_at_end(tmp_path, OTHER_CODE) == before


def rewrite_base(data, change):
    """Write the journal's base state again as other code would have."""
    base = first_base(data / "journal")
    parts, tables = change(list(base.core()), list(base.tables()))
    journal = JournalReader(data / "journal")
    header = header_of(list_journal(journal.directory)[0])
    draft = draft_base(journal.directory, header, BaseContent(parts, tables), made_ns=1, disk=DISK)
    put_base(journal.directory, draft, DISK)


def relaid(parts, change):
    layouts, head = msgspec.msgpack.decode(parts[0]), msgspec.msgpack.decode(parts[1])
    change(layouts["Head"], head)
    return [msgspec.msgpack.encode(layouts), msgspec.msgpack.encode(head), *parts[2:]]


def test_a_base_state_from_before_a_field_existed_is_read_with_its_default(data):
    before = state_at_end(data)
    cut(data)

    def without_shares(names, values):
        place = names.index("share_ppm")
        del names[place], values[place]

    rewrite_base(data, lambda core, tables: (relaid(core, without_shares), tables))
    assert state_at_end(data, OTHER_CODE) == before


def test_a_base_state_of_a_newer_taped_is_refused_by_the_name_of_what_is_not_known(data):
    cut(data)

    def with_margin(names, values):
        names.append("margin")
        values.append(5)

    rewrite_base(data, lambda core, tables: (relaid(core, with_margin), tables))
    with pytest.raises(JournalCorruptError, match=r"Head has a field 'margin'.*upgrade taped"):
        state_at_end(data)


def test_a_damaged_base_state_is_told_and_a_snapshot_still_starts(data):
    cut(data)
    reader = JournalReader(data / "journal")
    core = core_at_end(data, reader.journal_id, CODE, reader.last_seq)
    save(data, core, CODE)
    path = first_base(data / "journal").path
    whole = path.read_bytes()
    for place, why in ((40, "header crc"), (300, "SHA-256")):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        assert why in verify(data / "journal").problems[0]
        assert state_at_end(data) == list(dump(core).parts())
        open_following(data / "readmodel.db", reader).close()
        with pytest.raises(JournalCorruptError, match=why):
            state_at_end(data, OTHER_CODE)


def test_a_base_state_that_is_gone_is_missed(data):
    cut(data)
    first_base(data / "journal").path.unlink()
    with pytest.raises(JournalCorruptError, match="segments 1 to 5 are missing"):
        open_small(data / "journal")
    assert not verify(data / "journal").passed


def test_a_base_state_of_another_journal_is_refused(data, tmp_path):
    cut(data)
    record(tmp_path / "other", STREAM)
    cut(tmp_path / "other")
    theirs, ours = first_base(tmp_path / "other" / "journal"), first_base(data / "journal")
    shutil.copy(theirs.path, ours.path)
    assert "another journal" in verify(data / "journal").problems[0]
    with pytest.raises(JournalCorruptError, match="of journal"):
        state_at_end(data)


def test_one_at_a_time_shortens(data):
    with JournalLock(data / "journal" / ARCHIVE), pytest.raises(JournalLockedError):
        cut(data)
    assert beginning(data / "journal") is None


def test_what_the_device_gives_back_otherwise_lets_nothing_go(data):
    class Lying(Disk):
        def write(self, fd, buffers, offset):
            content = bytearray(b"".join(buffers))
            if offset:
                content[len(content) // 2] ^= 4
            super().write(fd, [bytes(content)], offset)

    with pytest.raises(JournalCorruptError):
        cut(data, disk=Lying())
    assert [name.number for name in list_journal(data / "journal")] == list(range(1, SEGMENTS + 1))


def test_a_state_that_does_not_come_back_lets_nothing_go(data, monkeypatch):
    monkeypatch.setattr(ReadModelWriter, "content_hash", lambda self: str(id(self)))
    with pytest.raises(JournalCorruptError, match="other tables"):
        cut(data)
    assert beginning(data / "journal") is None
    assert [path.name for path in data.iterdir() if "base" in path.name or "proof" in path.name] == []


class KilledError(BaseException):
    """The process ends here."""


class Failing(Disk):
    """A disk whose n-th change fails."""

    def __init__(self, at, error):
        self.left = at
        self.error = error

    def _step(self):
        self.left -= 1
        if self.left < 0:
            raise self.error

    def create(self, path):
        self._step()
        return super().create(path)

    def write(self, fd, buffers, offset):
        self._step()
        super().write(fd, buffers, offset)

    def sync_file(self, fd):
        self._step()
        super().sync_file(fd)

    def rename(self, old, new):
        self._step()
        super().rename(old, new)

    def unlink(self, path):
        self._step()
        super().unlink(path)

    def sync_directory(self, directory):
        self._step()
        super().sync_directory(directory)


@pytest.mark.parametrize("error", [KilledError(), OSError(errno.ENOSPC, "no space left")], ids=repr)
def test_stopped_at_any_step_it_starts_as_before_and_the_next_run_finishes(template, tmp_path, error):
    expected = state_at_end(template)
    for at in range(100):
        data = shutil.copytree(template, tmp_path / "data")
        try:
            cut(data, disk=Failing(at, error))
        except (KilledError, JournalError):
            pass
        else:
            assert at > 10
            return
        assert state_at_end(data, OTHER_CODE) == expected, at
        assert verify(data / "journal").problems == [], at
        cut(data)
        assert len(list_journal(data / "journal")) == 1
        assert len(list((data / "journal").rglob("*.evl*"))) == 1
        assert len(list((data / "journal").glob("*.base"))) == 1
        assert state_at_end(data, OTHER_CODE) == expected, at
        shutil.rmtree(data)


def test_every_flipped_byte_of_a_base_state_is_found(tmp_path):
    record(tmp_path, STREAM[:40], segments=2)
    cut(tmp_path)
    path = first_base(tmp_path / "journal").path
    whole = path.read_bytes()
    for at in [*range(HEADER_BYTES), *range(HEADER_BYTES, len(whole), 11)]:
        content = bytearray(whole)
        content[at] ^= 1 << at % 8
        path.write_bytes(content)
        with pytest.raises(JournalCorruptError):
            BaseFile(path).check()
    for length in range(0, len(whole), 17):
        path.write_bytes(whole[:length])
        with pytest.raises(JournalCorruptError):
            BaseFile(path).check()
