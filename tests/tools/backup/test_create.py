"""What is backed up, when, and what is stored of it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from daemon.backup_state import read_state
from daemon.journal.archive import archive_journal
from daemon.journal.errors import JournalError
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.retention import Policy
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from daemon.shorten import limits_of, shorten
from tests.daemon.journal.conftest import open_small
from tests.tools.backup.conftest import Taped, fill, ticks, tree
from tools.backup.create import Inputs
from tools.backup.errors import BackupError, TargetError
from tools.backup.packing import Keys
from tools.backup.run import make
from tools.backup.source import plan_journal, without_secrets
from tools.backup.store import FolderStore, locked
from tools.backup.vault import Vault


def test_a_backup_holds_the_journal_and_what_cannot_be_made_again(data, target, taped):
    (data / "journal" / "quarantine").mkdir()
    (data / "journal" / "quarantine" / "old.tail").write_bytes(b"torn")
    (data / "readmodel.db").write_bytes(b"made again")
    (data / "snapshots").mkdir()
    (data / "snapshots" / f"{7:020d}.snap").write_bytes(b"made again")
    told = taped.json("create", data=data)
    (backup,) = Vault(FolderStore(target), told["journal"]).backups()
    assert [entry.path for entry in backup.manifest.files] == [
        "journal/archive/0000000001-00000000000000000001.evl.zst",
        "journal/0000000002-00000000000000000203.evl",
        "journal/0000000003-00000000000000000403.evl",
        "journal/quarantine/old.tail",
        "access.db",
    ]
    assert (told["first_seq"], told["last_seq"], told["verified"]) == (1, 602, True)


def test_nothing_in_a_target_holds_a_token(data, target, taped):
    token = (data / "admin.token").read_bytes().strip()
    assert len(token) == 43
    taped("create", data=data)
    with closing(sqlite3.connect(data / "access.db")) as database:
        assert database.execute("SELECT count(*) FROM tokens").fetchone() == (1,)
    assert all(token not in content for content in tree(target).values())


def test_a_second_backup_stores_only_what_is_new(data, taped):
    first = taped.json("create", data=data)
    assert first["new_objects"] == first["files"]
    again = taped.json("create", data=data)
    assert (again["new_objects"], again["new_bytes"]) == (0, 0)
    with open_small(data / "journal") as writer:
        writer.append(ticks(1000, 10))
    third = taped.json("create", data=data)
    # The segment that was open is sealed, and there is a new one.
    assert third["new_objects"] == 2
    assert third["last_seq"] == 612


def test_a_segment_that_was_archived_since_is_stored_as_an_archive(data, target, taped):
    taped("create", data=data)
    archive_journal(data / "journal")
    told = taped.json("create", data=data)
    assert told["new_objects"] == 1
    backups = Vault(FolderStore(target), told["journal"]).backups()
    assert [sum("archive/" in entry.path for entry in backup.manifest.files) for backup in backups] == [1, 2]


def test_a_backup_of_a_running_daemon_ends_where_it_had_acknowledged(tmp_path, target, proving):
    data = tmp_path / "live"
    data.mkdir()
    fill(data, each=100)
    stop, acknowledged = threading.Event(), []

    def write() -> None:
        with JournalWriter.open(data / "journal", segment_bytes=1 << 20) as writer:
            n = 10_000
            while not stop.is_set():
                writer.append(ticks(n, 20))
                acknowledged.append(writer.next_seq - 1)
                n += 20

    thread = threading.Thread(target=write)
    thread.start()
    try:
        store = FolderStore(target)
        ends = []
        for _ in range(5):
            before = acknowledged[-1] if acknowledged else 0
            done = make(Inputs(data), store, keys=Keys(), proving=proving)
            assert before <= done.made.manifest.last_seq <= acknowledged[-1]
            ends.append(done.made.manifest.last_seq)
    finally:
        stop.set()
        thread.join()
    assert ends == sorted(ends)
    assert ends[-1] > ends[0]


def test_the_last_frame_is_left_out_while_nobody_can_say_it_was_synced(data):
    directory = data / "journal"
    with JournalWriter.open(directory, segment_bytes=1 << 20) as writer:
        writer.append(ticks(1000, 10))
        writer.append(ticks(1010, 10))
        # Held by this very process, so the lock tells of a writer; no mark follows by itself here.
        assert plan_journal(directory).last_seq == 612
    assert plan_journal(directory).last_seq == 622


def test_segments_that_are_archived_while_they_are_copied_are_found_again(data, target, proving, monkeypatch):
    plans = []

    def plan(directory):
        plans.append(plan_journal(directory))
        archive_journal(directory)
        return plans[-1]

    monkeypatch.setattr("tools.backup.create.plan_journal", plan)
    done = make(Inputs(data), FolderStore(target), keys=Keys(), proving=proving)
    assert sum("archive/" in entry.path for entry in done.made.manifest.files) == 2
    assert len(plans) == 2


def test_a_database_is_copied_as_of_one_moment(data, target, taped):
    with closing(sqlite3.connect(data / "access.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO tokens (hash, role, name, created_ns) VALUES (x'00', 'viewer', 'v', 1)")
        taped("create", data=data)
        writer.execute("COMMIT")
    restored = target.parent / "restored"
    taped("restore", "--yes", data=restored)
    with closing(sqlite3.connect(restored / "access.db")) as database:
        assert database.execute("SELECT name FROM tokens").fetchall() == [("admin",)]


def test_settings_go_along_without_what_looks_like_a_secret(data, target, taped, tmp_path):
    config = tmp_path / "taped.toml"
    config.write_text(f'data = "{data}"\n[log]\nlevel = "info" # no secret\n')
    taped("create", "--config", config)
    restored = tmp_path / "restored"
    taped("restore", "--yes", data=restored)
    assert (restored / "config-of-backup" / "taped.toml").read_text() == config.read_text()


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ('dsn = "postgresql://taped:hunter2@db/taped"', 'dsn = "postgresql://taped:***@db/taped"'),
        ('password = "hunter2"', 'password = "***"'),
        ('api_key="x" # y', 'api_key="***"'),
        ("  client_secret = 'z'", '  client_secret = "***"'),
        ('dsn = "postgresql://db/taped"', 'dsn = "postgresql://db/taped"'),
        ("port = 8080", "port = 8080"),
    ],
)
def test_values_that_look_like_secrets_are_left_out(line, kept):
    assert without_secrets(f"a = 1\n{line}\nb = 2\n") == f"a = 1\n{kept}\nb = 2\n"


def test_a_target_that_is_too_full_is_refused_before_anything_is_written(data, target, taped, monkeypatch):
    monkeypatch.setattr(FolderStore, "free_bytes", lambda _self: 60 << 20)
    with pytest.raises(TargetError, match="60 MiB are free, up to 65 MiB are needed"):
        taped("create", data=data)
    assert tree(target) == {}
    assert "60 MiB are free" in read_state(data).attempt.problem


def test_a_target_that_is_not_there_is_refused_and_told_to_the_daemon(data, taped, target):
    target.rmdir()
    with pytest.raises(TargetError, match="no such folder"):
        taped("create", data=data)
    assert "no such folder" in read_state(data).attempt.problem


def test_a_target_inside_the_data_folder_is_refused(data, capsys):
    with pytest.raises(TargetError, match="lies in the data folder"):
        Taped(data / "backups", capsys)("create", data=data)


def test_without_a_target_a_command_says_how_to_name_one(data, taped, monkeypatch):
    taped._target = ""
    with pytest.raises(TargetError, match="no target is named; --target"):
        taped("create", data=data)


def test_a_timer_without_a_target_makes_nothing_and_fails_nothing(data, taped, capsys):
    taped._target = ""
    assert taped("create", "--if-target", data=data) == 0
    assert "setting backup.target is empty" in capsys.readouterr().err
    assert read_state(data).attempt is None


def test_two_runs_at_once_are_refused(data, target, taped):
    with locked(target, "target"), pytest.raises(TargetError, match="another run"):
        taped("create", data=data)
    with locked(data, "data folder"), pytest.raises(TargetError, match="another run"):
        taped("create", data=data)


def test_a_damaged_journal_gives_no_backup_that_counts(data, taped, target):
    (segment,) = [name.path for name in list_journal(data / "journal") if name.number == 2]
    content = bytearray(segment.read_bytes())
    content[9000] ^= 1
    segment.write_bytes(content)
    with pytest.raises(BackupError, match="its journal: 0000000002"):
        taped("create", data=data)
    assert read_state(data).good is None
    assert taped("list") == 1


def test_a_missing_segment_is_refused_at_once(data, taped, target):
    next((data / "journal").glob("0000000002-*")).unlink()
    with pytest.raises(JournalError, match="segment 2 is missing"):
        taped("create", data=data)
    assert tree(target) == {}


def test_a_backup_that_was_not_proven_counts_only_after_it_was(data, taped):
    told = taped.told("create", "--no-verify", data=data)
    assert "does not count until" in told
    assert read_state(data).good is None
    assert taped("list") == 1
    name = told.split()[1].rstrip(":")
    assert "passed" in taped.told("verify", name, data=data)
    assert taped("list") == 0


def test_an_object_that_rotted_in_the_target_is_stored_anew(data, taped, target):
    taped("create", data=data)
    before = tree(target)
    victim = max((target).rglob("objects/*/*"), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    told = taped.json("create", data=data)
    assert (told["healed"], told["verified"]) == (1, True)
    assert tree(target).items() >= before.items()
    taped("verify", data=data)


def test_the_daemon_is_told_of_the_last_good_backup(data, taped, target):
    told = taped.json("create", data=data)
    state = read_state(data)
    assert (state.good.name, state.good.last_seq, state.good.target) == (told["backup"], 602, str(target))
    assert state.attempt.problem == ""


def test_what_killed_runs_left_goes_with_the_next_one(data, taped, target):
    taped("create", data=data)
    (target / "partial" / "half").write_bytes(b"x")
    (data / "backup.tmp").mkdir()
    (data / "backup.tmp" / "access.db").write_bytes(b"x")
    taped("create", data=data)
    assert list((target / "partial").iterdir()) == []
    assert not (data / "backup.tmp").exists()


def test_a_journal_that_retention_shortened_is_backed_up_from_its_base_state_on(tmp_path, taped):
    data = tmp_path / "short"
    data.mkdir()
    fill(data, segments=4)
    archive_journal(data / "journal")
    assert shorten(data, Policy(None, 0), limits_of(data, None), now_ns=10**19)
    begins = JournalReader(data / "journal").first_seq
    assert begins > 1
    told = taped.json("create", data=data)
    assert told["first_seq"] == begins
    restored = tmp_path / "restored"
    assert taped.json("restore", "--yes", data=restored)["read_model"] == told["read_model"]
    assert verify(restored / "journal").passed


def test_the_folder_that_is_backed_up_is_not_changed(data, taped):
    before = {path: content for path, content in tree(data).items() if path != "journal/LOCK"}
    taped("create", data=data)
    after = {path: content for path, content in tree(data).items() if path != "journal/LOCK"}
    assert after.pop("backup.json")
    assert after == before
