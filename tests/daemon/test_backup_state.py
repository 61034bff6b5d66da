"""What the daemon knows and tells of backups."""

from __future__ import annotations

import pytest

from daemon.backup_state import (
    FILE,
    LOOK_S,
    Attempt,
    BackupState,
    BackupWatch,
    GoodBackup,
    read_state,
    write_state,
)
from daemon.settings import BackupSettings

HOUR_NS = 3600 * 10**9
GOOD = GoodBackup(
    name="20261124T020000Z",
    target="/mnt",
    journal="ab" * 16,
    last_seq=9,
    made_ns=100 * HOUR_NS,
    verified_ns=101 * HOUR_NS,
    length=5,
)


def failed(problem):
    return BackupState(good=GOOD, attempt=Attempt(begun_ns=1, seconds=1, problem=problem))


MADE = BackupState(good=GOOD, attempt=Attempt(begun_ns=100 * HOUR_NS, seconds=1.5))


class Clock:
    ns = 110 * HOUR_NS
    s = 0.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(tmp_path, clock):
    settings = BackupSettings(target="/mnt", max_age_hours=26.0)
    return BackupWatch(tmp_path, settings, clock_ns=lambda: clock.ns, pace_s=lambda: clock.s)


def test_the_state_comes_back_as_it_was(tmp_path):
    assert read_state(tmp_path) == BackupState()
    write_state(tmp_path, MADE)
    assert read_state(tmp_path) == MADE
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"good": 1}', b'{"more": 1}', b" " * 100_000])
def test_a_file_that_says_something_else_is_not_believed(tmp_path, watch, content):
    (tmp_path / FILE).write_bytes(content)
    assert read_state(tmp_path) is None
    assert watch.old
    assert "cannot be read" in watch.reasons()[0]
    assert watch.document() == {"state": "old", "age_s": None, "last_seq": None}


def test_a_problem_that_is_told_at_length_is_cut(tmp_path):
    write_state(tmp_path, failed("x" * 10**6))
    assert len(read_state(tmp_path).attempt.problem) == 2000


def test_a_backup_is_well_until_it_is_older_than_the_settings_allow(tmp_path, watch, clock):
    write_state(tmp_path, MADE)
    assert watch.reasons() == []
    assert watch.document() == {"state": "ok", "age_s": 36_000, "last_seq": 9}
    clock.ns = 127 * HOUR_NS
    assert watch.old
    assert watch.reasons() == ["the last good backup is 27 hours old, 26 are allowed"]
    assert watch.document()["state"] == "old"


def test_a_backup_from_the_future_is_of_unknown_age_and_not_new_for_ever(tmp_path, watch, clock):
    write_state(tmp_path, MADE)
    clock.ns = 10 * HOUR_NS
    assert watch.age_s is None
    assert watch.old
    assert "from the future" in watch.reasons()[0]


def test_a_first_backup_is_asked_for(watch):
    assert watch.old
    assert watch.reasons() == ["there is no backup yet; `taped backup create` makes one"]


def test_a_failed_attempt_is_told_though_the_last_backup_is_young(tmp_path, watch):
    write_state(tmp_path, failed("no disk"))
    assert not watch.old
    assert watch.reasons() == ["the last backup failed: no disk"]
    assert watch.document()["state"] == "failed"


def test_the_file_is_looked_at_every_few_seconds(tmp_path, watch, clock):
    assert watch.age_s is None
    write_state(tmp_path, MADE)
    assert watch.age_s is None
    clock.s += LOOK_S
    assert watch.age_s == 36_000


def test_without_a_target_nothing_is_expected(tmp_path, clock):
    watch = BackupWatch(tmp_path, BackupSettings(), clock_ns=lambda: clock.ns)
    assert (watch.old, watch.reasons(), watch.document()["state"]) == (False, [], "off")
