"""What retention lets go of, and what it never does."""

from __future__ import annotations

import errno
import shutil

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.disk import Disk
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import beginning, list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.retention import Policy, apply_retention, plan_retention
from daemon.journal.verify import verify
from tests.daemon.journal.conftest import open_small, read_prices, trades

SECOND = 10**9
EVERYTHING = Policy(max_bytes=0)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Six segments of 100 events, a second apart; the first four archived."""
    directory = tmp_path_factory.mktemp("template") / "journal"
    now = iter(range(10**6))
    with open_small(directory, clock_ns=lambda: writer_time[0]) as writer:
        for n in now:
            if n == 6:
                break
            if n:
                writer._roll()
            writer_time[0] = (n + 1) * SECOND
            writer.append(trades(1 + n * 100, 100))
    archive_journal(directory, keep=2)
    return directory


writer_time = [SECOND]


@pytest.fixture
def journal(template, folder):
    shutil.copytree(template, folder)
    return folder


def plan(directory, policy, *, now_ns=100 * SECOND, confirmed_seq=None, snapshot_seq=10**9):
    return plan_retention(
        directory, policy, now_ns=now_ns, confirmed_seq=confirmed_seq, snapshot_seq=snapshot_seq
    )


def gone(found):
    return [item.name.number for item in found.going]


def test_nothing_goes_without_a_limit(journal):
    found = plan(journal, Policy())
    assert found.going == []
    assert found.kept_because is None


def test_by_age_what_was_last_appended_before_that_goes(journal):
    found = plan(journal, Policy(max_age_ns=97 * SECOND + SECOND // 2), now_ns=100 * SECOND)
    assert gone(found) == [1, 2]
    assert {item.why for item in found.going} == {"age"}
    assert (found.first.number, found.first.first_seq) == (3, 201)


def test_by_size_the_oldest_go_until_the_rest_fits(journal):
    sizes = [name.path.stat().st_size for name in list_journal(journal)]
    for count in range(4):
        assert gone(plan(journal, Policy(max_bytes=sum(sizes[count:])))) == list(range(1, count + 1))
    found = plan(journal, Policy(max_bytes=sum(sizes[2:])))
    assert found.total_bytes == sum(sizes)
    assert found.freed_bytes == sum(sizes[:2])


def test_a_plain_segment_never_goes(journal):
    found = plan(journal, EVERYTHING)
    assert gone(found) == [1, 2, 3, 4]
    assert "segment 5 stays: it is not archived" in found.kept_because


@pytest.mark.parametrize(("confirmed", "expected"), [(0, []), (199, [1]), (200, [1, 2]), (399, [1, 2, 3])])
def test_what_timescaledb_has_not_confirmed_stays(journal, confirmed, expected):
    found = plan(journal, EVERYTHING, confirmed_seq=confirmed)
    assert gone(found) == expected
    assert f"confirmed up to seq {confirmed}" in found.kept_because


@pytest.mark.parametrize(("snapshot", "expected"), [(None, []), (99, []), (100, [1]), (350, [1, 2, 3])])
def test_what_a_start_needs_stays(journal, snapshot, expected):
    found = plan(journal, EVERYTHING, snapshot_seq=snapshot)
    assert gone(found) == expected
    assert "snapshot" in found.kept_because


def test_a_plan_changes_nothing(journal):
    before = sorted(path.name for path in journal.rglob("*"))
    plan(journal, EVERYTHING)
    assert sorted(path.name for path in journal.rglob("*")) == before


def test_afterwards_the_journal_begins_later_and_is_whole(journal):
    apply_retention(plan(journal, Policy(max_age_ns=97 * SECOND)))
    assert [name.number for name in list_journal(journal)] == [3, 4, 5, 6]
    assert beginning(journal)[:2] == (3, 201)
    reader = JournalReader(journal)
    assert (reader.first_seq, reader.last_seq) == (201, 600)
    assert read_prices(journal, reader.first_seq) == list(range(201, 601))
    found = verify(journal)
    assert found.problems == []
    assert (found.first_seq, found.last_seq) == (201, 600)
    with open_small(journal) as writer:
        assert writer.append(trades(601, 1)) == 601


def test_events_that_went_are_asked_for_in_vain(journal):
    apply_retention(plan(journal, EVERYTHING, snapshot_seq=250))
    assert read_prices(journal, 201, 203) == [201, 202, 203]
    for first in (1, 200):
        with pytest.raises(JournalError, match="begins at seq 201"):
            read_prices(journal, first)


def test_it_may_be_done_again_and_again(journal):
    for snapshot, first in ((100, 101), (300, 301), (400, 401)):
        apply_retention(plan(journal, EVERYTHING, snapshot_seq=snapshot))
        assert JournalReader(journal).first_seq == first
        assert verify(journal).passed
    assert len(list(journal.glob("*.begin"))) == 1


def test_an_oldest_segment_removed_by_accident_is_refused(journal):
    list_journal(journal)[0].path.unlink()
    assert "missing, and retention did not" in verify(journal).problems[0]
    with pytest.raises(JournalCorruptError, match="segment 1 is missing"):
        open_small(journal)


def test_an_oldest_segment_removed_after_retention_is_refused(journal):
    apply_retention(plan(journal, EVERYTHING, snapshot_seq=100))
    list_journal(journal)[0].path.unlink()
    assert not verify(journal).passed
    with pytest.raises(JournalCorruptError, match="segments 1 to 2 are missing"):
        open_small(journal)


def test_cut_off_at_any_step_the_journal_is_whole(template, folder):
    class Failing(Disk):
        def __init__(self, at):
            self.left = at

        def _step(self):
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.EIO, "input/output error")

        def create(self, path):
            self._step()
            return super().create(path)

        def unlink(self, path):
            self._step()
            super().unlink(path)

        def sync_directory(self, directory):
            self._step()
            super().sync_directory(directory)

    for at in range(10):
        shutil.copytree(template, folder)
        with pytest.raises(JournalError, match="input/output"):
            apply_retention(plan(folder, EVERYTHING), Failing(at))
        assert verify(folder).problems == [], at
        with open_small(folder) as writer:
            assert writer.next_seq == 601
        apply_retention(plan(folder, EVERYTHING))
        assert read_prices(folder, 401) == list(range(401, 601))
        shutil.rmtree(folder)
