"""Putting a backup back: what comes back, what is refused, what is kept of what was there."""

from __future__ import annotations

import argparse
import json

import msgspec
import pytest

from daemon.journal.errors import JournalError, JournalLockedError
from daemon.journal.lock import JournalLock
from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from daemon.readmodel.content import content_hash
from daemon.restored import read_restored, refuse_behind
from replay.rebuild import rebuild
from tests.daemon.journal.conftest import open_small
from tests.tools.backup.conftest import fill, ticks, tree
from tools import journal_repair
from tools.backup.errors import BackupError, DamagedBackupError
from tools.backup.manifest import decode_manifest, encode
from tools.output import UsageError


def test_a_restore_on_an_empty_machine_gives_the_same_read_model(data, taped, tmp_path):
    rebuild(data)
    wanted = content_hash(data / "readmodel.db")
    taped("create", data=data)
    empty = tmp_path / "new" / "machine"
    assert taped.json("restore", "--yes", data=empty)["read_model"] == wanted
    assert content_hash(empty / "readmodel.db") == wanted
    assert (empty / "access.db").is_file()
    assert JournalReader(empty / "journal").last_seq == 602
    assert not list(empty.glob("before-*"))
    assert not list(empty.glob("restore-*"))


def test_every_segment_comes_back_to_the_byte_and_can_be_appended_to(data, taped, tmp_path):
    taped("create", data=data)
    back = tmp_path / "back"
    taped("restore", "--yes", data=back)
    there = tree(data / "journal")
    for path, content in tree(back / "journal").items():
        if path != "LOCK":
            # The zeros behind the end of the open segment are left out.
            assert there[path].startswith(content)
            assert not there[path][len(content) :].strip(b"\0")
    with open_small(back / "journal") as writer:
        assert writer.append(ticks(1000, 1)) == 603
    assert verify(back / "journal").passed


def test_what_was_there_becomes_a_safety_copy(data, taped):
    told = taped.json("create", data=data)
    rebuild(data)
    (data / "snapshots").mkdir()
    (data / "snapshots" / "x.snap").write_bytes(b"x")
    with open_small(data / "journal") as writer:
        writer.append(ticks(1000, 50))
    before = tree(data)
    shown = taped.told("restore", "--yes", data=data)
    assert "LOST 50 events, 603 to 652, that are there and not in the backup" in shown
    safety = data / f"before-restore-{told['backup']}"
    kept = tree(safety)
    for path in ("readmodel.db", "snapshots/x.snap", "access.db"):
        assert kept[path] == before[path]
    assert {path for path in kept if path.startswith("journal/")} == {
        path for path in before if path.startswith("journal/")
    }
    assert JournalReader(data / "journal").last_seq == 602
    assert JournalReader(safety / "journal").last_seq == 652
    assert not (data / "snapshots").exists()
    # A second restore leaves the first safety copy as it is.
    taped("restore", "--yes", data=data)
    assert tree(safety) == kept
    assert (data / f"{safety.name}-2").is_dir()


def test_a_start_behind_what_the_world_has_seen_is_refused_and_repair_is_the_way_on(data, taped, tmp_path):
    taped("create", data=data)
    with open_small(data / "journal") as writer:
        writer.append(ticks(1000, 50))
    shown = taped.told("restore", "--yes", data=data)
    assert "events up to 652 were seen by others" in shown
    with pytest.raises(JournalError, match=r"ends at seq 602 since backup .* had come to seq 652") as error:
        refuse_behind(data)
    assert "taped journal repair" in error.value.hint
    parser = argparse.ArgumentParser()
    journal_repair.add(parser.add_subparsers())
    arguments = parser.parse_args(["repair", str(data), "--accept-loss", "--yes"])
    assert arguments.run(arguments) == 0
    refuse_behind(data)
    with JournalWriter.open(data / "journal") as writer:
        assert writer.next_seq > 652


def test_a_restore_elsewhere_may_be_told_what_the_world_has_seen(data, taped, tmp_path):
    taped("create", data=data)
    back = tmp_path / "back"
    assert "--seen SEQ" in taped.told("restore", "--yes", data=back)
    taped("restore", "--yes", "--seen", 700, data=back)
    assert read_restored(back).seen_seq == 700
    with pytest.raises(JournalError, match="seq 700"):
        refuse_behind(back)


def test_a_folder_of_another_journal_is_refused_by_its_id(data, taped, tmp_path):
    taped("create", data=data)
    other = tmp_path / "other"
    other.mkdir()
    fill(other)
    before = tree(other)
    journal = JournalReader(other / "journal").journal_id
    with pytest.raises(BackupError, match=f"holds journal {journal}, .* never mixed"):
        taped("restore", "--yes", data=other)
    assert tree(other) == before


def test_a_running_daemon_is_refused(data, taped):
    taped("create", data=data)
    with JournalLock(data / "journal"), pytest.raises(JournalLockedError):
        taped("restore", "--yes", data=data)


def test_it_asks_before_it_changes_anything(data, taped):
    taped("create", data=data)
    before = tree(data)
    with pytest.raises(UsageError, match="restore asks before it changes anything"):
        taped("restore", data=data)
    assert tree(data) == before


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "missing"])
def test_a_damaged_object_is_refused_by_name_and_changes_nothing(data, taped, target, tmp_path, damage):
    name = taped.json("create", data=data)["backup"]
    back = tmp_path / "back"
    for victim in sorted(target.rglob("objects/*/*")):
        whole = victim.read_bytes()
        spoil(victim, damage)
        with pytest.raises(DamagedBackupError, match=f"backup {name} is damaged") as error:
            taped("restore", "--yes", data=back)
        assert error.value.objects == (victim.name,)
        assert {path for path in tree(back) if path != "journal/LOCK"} == set()
        victim.write_bytes(whole)
    taped("restore", "--yes", data=back)


def spoil(path, damage) -> None:
    content = path.read_bytes()
    match damage:
        case "flip":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "cut":
            path.write_bytes(content[:-1])
        case "grow":
            path.write_bytes(content + b"\0")
        case "missing":
            path.unlink()


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "missing"])
def test_a_damaged_manifest_or_mark_is_refused_by_name(data, taped, target, tmp_path, damage):
    name = taped.json("create", data=data)["backup"]
    for suffix in ("manifest", "verified"):
        (victim,) = target.rglob(f"{name}.{suffix}")
        whole = victim.read_bytes()
        spoil(victim, damage)
        with pytest.raises(BackupError):
            taped("restore", "--yes", data=tmp_path / "back")
        told = listed(taped)
        assert (told["name"], told["state"]) == (
            name,
            "not verified" if (suffix, damage) == ("verified", "missing") else "damaged",
        )
        victim.write_bytes(whole)
    assert listed(taped)["state"] == "verified"


def listed(taped):
    taped("list", "--json")
    (row,) = json.loads(taped._capsys.readouterr().out)["backups"]
    return row


def test_a_manifest_that_was_changed_with_its_own_hash_is_not_the_one_that_was_verified(
    data, taped, target, tmp_path
):
    name = taped.json("create", data=data)["backup"]
    (file,) = target.rglob(f"{name}.manifest")
    manifest = decode_manifest(file.read_bytes())
    file.write_bytes(encode(msgspec.structs.replace(manifest, files=manifest.files[:-1])))
    with pytest.raises(DamagedBackupError, match=f"{name} is damaged: its manifest is not the one"):
        taped("restore", name, "--yes", data=tmp_path / "back")


def test_a_backup_that_is_found_damaged_counts_no_more(data, taped, target):
    old = taped.json("create", data=data)["backup"]
    before = set(target.rglob("objects/*/*"))
    (data / "journal" / "quarantine").mkdir()
    (data / "journal" / "quarantine" / "new").write_bytes(b"new")
    new = taped.json("create", data=data)["backup"]
    (fresh,) = set(target.rglob("objects/*/*")) - before
    spoil(fresh, "flip")
    with pytest.raises(DamagedBackupError, match=new):
        taped("verify", new, data=data)
    states = {row["name"]: row["state"] for row in taped.json("list")["backups"]}
    assert states == {old: "verified", new: "not verified"}


def test_several_journals_in_one_target_are_told_apart(data, taped, tmp_path):
    first = taped.json("create", data=data)["journal"]
    other = tmp_path / "other"
    other.mkdir()
    fill(other)
    second = taped.json("create", data=other)["journal"]
    with pytest.raises(BackupError, match="holds backups of several journals"):
        taped("list")
    assert taped.json("list", "--journal", first[:8])["journal"] == first
    assert taped.json("restore", "--yes", "--journal", second, data=tmp_path / "back")["journal"] == second


def test_an_encrypted_backup_needs_the_private_key_and_no_other(data, taped, tmp_path, monkeypatch, target):
    pyrage = pytest.importorskip("pyrage", reason="pyrage is not installed")
    key = pyrage.x25519.Identity.generate()
    identity = tmp_path / "key.txt"
    identity.write_text(f"{key}\n")
    other = tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    monkeypatch.setenv("TAPED_BACKUP__RECIPIENT", str(key.to_public()))
    told = taped.json("create", data=data)
    assert told["verified"]
    # What is stored already is not stored again, though this machine cannot read it.
    again = taped.json("create", data=data)
    assert again["new_objects"] <= 2
    assert again["verified"]
    for words in ((), ("--identity", other)):
        with pytest.raises(BackupError, match="--identity FILE names the private key") as error:
            taped("restore", "--yes", *words, data=tmp_path / "back")
        # A key that is not here is no damage.
        assert not isinstance(error.value, DamagedBackupError)
    back = taped.json("restore", "--yes", "--identity", identity, data=tmp_path / "back")
    assert back["read_model"] == told["read_model"]
    assert not any(b"TAPEDARC" in content for content in tree(target).values())
