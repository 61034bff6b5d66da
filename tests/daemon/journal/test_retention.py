"""What retention lets go of, and what it never does."""

from __future__ import annotations

import errno
import shutil

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import beginning, list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.retention import Limits, Policy, plan_retention, remove_leftovers
from daemon.journal.verify import verify
from tests.daemon.journal.conftest import begin_with, open_small, read_prices, trades

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


def plan(directory, policy, *, now_ns=100 * SECOND, most=None, **limits):
    return plan_retention(directory, policy, Limits(**limits), now_ns=now_ns, most=most)


def apply(found, disk=DISK):
    begin_with(found.directory, found.first, disk)


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


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (99, []), (100, [1]), (350, [1, 2, 3])])
@pytest.mark.parametrize(
    ("what", "why"), [("snapshot_seq", "behind the snapshot"), ("projected_seq", "read model has come to")]
)
def test_what_others_still_read_stays(journal, what, why, limit, expected):
    found = plan(journal, EVERYTHING, **{what: limit})
    assert gone(found) == expected
    assert f"{why} " in found.kept_because
    assert found.kept_because.endswith(f"seq {limit}")


def test_no_more_go_at_once_than_asked_for(journal):
    found = plan(journal, EVERYTHING, most=2)
    assert gone(found) == [1, 2]
    assert found.kept_because is None


def test_a_plan_changes_nothing(journal):
    before = sorted(path.name for path in journal.rglob("*"))
    plan(journal, EVERYTHING)
    assert sorted(path.name for path in journal.rglob("*")) == before


def test_afterwards_the_journal_begins_later_and_is_whole(journal):
    apply(plan(journal, Policy(max_age_ns=97 * SECOND)))
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
    apply(plan(journal, EVERYTHING, snapshot_seq=250))
    assert read_prices(journal, 201, 203) == [201, 202, 203]
    for first in (1, 200):
        with pytest.raises(JournalError, match="begins at seq 201"):
            read_prices(journal, first)


def test_it_may_be_done_again_and_again(journal):
    for snapshot, first in ((100, 101), (300, 301), (400, 401)):
        apply(plan(journal, EVERYTHING, snapshot_seq=snapshot))
        assert JournalReader(journal).first_seq == first
        assert verify(journal).passed
    assert len(list(journal.glob("*.base"))) == 1


def test_an_oldest_segment_removed_by_accident_is_refused(journal):
    list_journal(journal)[0].path.unlink()
    assert "missing, and retention did not" in verify(journal).problems[0]
    with pytest.raises(JournalCorruptError, match="segment 1 is missing"):
        open_small(journal)


def test_an_oldest_segment_removed_after_retention_is_refused(journal):
    apply(plan(journal, EVERYTHING, snapshot_seq=100))
    list_journal(journal)[0].path.unlink()
    assert not verify(journal).passed
    with pytest.raises(JournalCorruptError, match="should begin where"):
        open_small(journal)


def test_a_journal_of_which_only_the_base_state_is_left_is_refused(journal):
    apply(plan(journal, EVERYTHING))
    for name in list_journal(journal):
        name.path.unlink()
    with pytest.raises(JournalCorruptError, match="no segment is left"):
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

        def rename(self, old, new):
            self._step()
            super().rename(old, new)

        def unlink(self, path):
            self._step()
            super().unlink(path)

        def sync_directory(self, directory):
            self._step()
            super().sync_directory(directory)

    for at in range(8):
        shutil.copytree(template, folder)
        with pytest.raises(OSError, match="input/output"):
            apply(plan(folder, EVERYTHING), Failing(at))
        assert verify(folder).problems == [], at
        with open_small(folder) as writer:
            assert writer.next_seq == 601
        if gone(plan(folder, EVERYTHING)):
            apply(plan(folder, EVERYTHING))
        remove_leftovers(folder)
        assert list(folder.glob("archive/*.zst")) == []
        assert read_prices(folder, 401) == list(range(401, 601))
        shutil.rmtree(folder)
