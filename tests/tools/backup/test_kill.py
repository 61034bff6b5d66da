"""kill -9 and a failing disk at every step of create, prune and restore: what was good stays good.

Before each call that changes names or makes something durable, the folders are copied as they are: the
copy is what a kill at that moment leaves.
"""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime

import pytest

from daemon.api.access import Access
from daemon.journal.disk import Disk
from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from daemon.readmodel.watermark import projected_seq
from daemon.trading.strategies import STRATEGIES
from replay.rebuild import rebuild
from tests.daemon.journal.conftest import open_small
from tests.tools.backup.conftest import ticks
from tools.backup import restore as restoring
from tools.backup.create import Inputs
from tools.backup.errors import BackupError
from tools.backup.packing import Keys
from tools.backup.proof import Reading, restore_files
from tools.backup.prune import apply_pruning, plan_pruning
from tools.backup.restore import Options, plan_restore, restore
from tools.backup.retention import Keep
from tools.backup.run import Proving, make
from tools.backup.store import FolderStore
from tools.backup.vault import Vault, choose_journal

STEPS = ("create", "sync_file", "rename", "unlink", "sync_directory")


class Steps:
    """Copies a folder before each step; or lets one of them fail."""

    def __init__(self, monkeypatch, root, copies) -> None:
        self._root = root
        self._copies = copies
        self.fail_at: int | None = None
        self.count = 0
        for name in STEPS:
            monkeypatch.setattr(Disk, name, self._wrapped(getattr(Disk, name)))
        monkeypatch.setattr(restoring, "exchange", self._wrapped(restoring.exchange))
        monkeypatch.setattr(os, "link", self._wrapped(os.link))

    def _wrapped(self, real):
        def step(*arguments, **options):
            self.count += 1
            if self.fail_at is None:
                shutil.copytree(self._root, self._copies / f"{self.count:03d}")
            elif self.count == self.fail_at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments, **options)

        return step

    def copies(self):
        """Each moment's folder, with the last one behind all steps."""
        shutil.copytree(self._root, self._copies / "end")
        return sorted(self._copies.iterdir())


@pytest.fixture
def world(tmp_path, data, target):
    """Data folder and target in one folder, with one backup that counts."""
    root = tmp_path / "world"
    root.mkdir()
    (data / "journal" / "spare.tmp").unlink(missing_ok=True)
    shutil.move(data, root / "data")
    shutil.move(target, root / "target")
    back_up(root)
    with open_small(root / "data" / "journal") as writer:
        writer.append(ticks(1000, 40))
    return root


@pytest.fixture
def copies(tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder


def back_up(root):
    proving = Proving("journal", STRATEGIES, (), root / "data")
    return make(Inputs(root / "data"), FolderStore(root / "target"), keys=Keys(), proving=proving).made.name


def vault_of(root):
    store = FolderStore(root / "target")
    return Vault(store, choose_journal(store))


def restorable(root, tmp_path):
    """Restore every backup that counts, and return their names."""
    vault, names = vault_of(root), []
    for backup in vault.backups():
        if backup.counts:
            into = tmp_path / "restorable" / backup.name
            into.mkdir(parents=True)
            restore_files(vault, backup.name, backup.manifest, into, reading=Reading(Keys()))
            assert verify(into / "journal").passed
            names.append(backup.name)
    shutil.rmtree(tmp_path / "restorable", ignore_errors=True)
    return names


def test_a_killed_create_leaves_the_backups_before_it(world, copies, monkeypatch, tmp_path):
    (first,) = restorable(world, tmp_path)
    with monkeypatch.context() as patch:
        steps = Steps(patch, world, copies)
        second = back_up(world)
    moments = steps.copies()
    assert len(moments) > 20
    seen = [restorable(moment, tmp_path) for moment in moments]
    assert seen[0] == [first]
    assert seen[-1] == [first, second]
    assert all(names in ([first], [first, second]) for names in seen)
    for moment in moments[::7]:
        assert back_up(moment) in restorable(moment, tmp_path)
        assert not (moment / "data" / "backup.tmp").exists()


def test_a_create_whose_disk_fails_leaves_the_backups_before_it(world, copies, monkeypatch, tmp_path):
    (first,) = restorable(world, tmp_path)
    for fail_at in range(1, 200, 3):
        root = copies / str(fail_at)
        shutil.copytree(world, root)
        with monkeypatch.context() as patch:
            steps = Steps(patch, root, copies)
            steps.fail_at = fail_at
            try:
                back_up(root)
            except BackupError as error:
                assert "Input/output error" in str(error)  # noqa: PT017  # The last round raises nothing.
            else:
                assert steps.count < fail_at
                break
        # The very last step makes the mark durable, which is there by then.
        assert restorable(root, tmp_path)[:1] == [first]
        shutil.rmtree(root)
    assert fail_at > 20


def test_a_killed_prune_leaves_what_stays_and_takes_nothing_that_counts_in_half(
    world, copies, monkeypatch, tmp_path
):
    (first,) = restorable(world, tmp_path)
    second = back_up(world)
    vault = vault_of(world)
    with monkeypatch.context() as patch:
        steps = Steps(patch, world, copies)
        apply_pruning(vault, plan_pruning(vault, Keep(1, 0, 0), datetime.now(UTC)))
    moments = steps.copies()
    seen = [restorable(moment, tmp_path) for moment in moments]
    assert seen[0] == [first, second]
    assert seen[-1] == [second]
    assert all(names in ([first, second], [second]) for names in seen)
    # Whatever was left over goes with the next one.
    for moment in moments:
        again = vault_of(moment)
        apply_pruning(again, plan_pruning(again, Keep(1, 0, 0), datetime.now(UTC)))
        assert again.objects() == vault.objects()
        assert len(again.backups()) == 1


async def test_a_killed_restore_leaves_the_journal_of_before_or_that_of_the_backup(
    world, copies, monkeypatch, tmp_path
):
    rebuild(world / "data")
    vault = vault_of(world)
    plan = plan_restore(vault.find(), world / "data")
    with monkeypatch.context() as patch:
        steps = Steps(patch, world, copies)
        restore(vault, plan, keys=Keys(), options=Options("replay", STRATEGIES))
    moments = steps.copies()
    seen = []
    for moment in moments:
        data = moment / "data"
        for lock in moment.rglob("LOCK"):
            lock.unlink()
        seen.append(JournalReader(data / "journal").last_seq)
        watermark = projected_seq(data)
        assert watermark in (0, seen[-1])
        with JournalWriter.open(data / "journal", segment_bytes=1 << 20, watermark=watermark) as writer:
            assert writer.next_seq == seen[-1] + 1
        assert verify(data / "journal").passed
        access = await Access.open(data)
        assert access.identify((data / "admin.token").read_text().strip()) is not None
        await access.close()
        # The journal of before is somewhere, whole.
        ends = {JournalReader(path).last_seq for path in data.rglob("journal") if list(path.glob("*.evl"))}
        assert 642 in ends
    assert seen == sorted(seen, reverse=True)
    assert (seen[0], seen[-1]) == (642, 602)
    assert len(moments) > 15


def test_a_restore_whose_disk_fails_leaves_a_whole_journal(world, copies, monkeypatch):
    rebuild(world / "data")
    for fail_at in range(1, 100, 2):
        root = copies / str(fail_at)
        shutil.copytree(world, root)
        vault = vault_of(root)
        plan = plan_restore(vault.find(), root / "data")
        with monkeypatch.context() as patch:
            steps = Steps(patch, root, copies)
            steps.fail_at = fail_at
            try:
                restore(vault, plan, keys=Keys(), options=Options("journal", STRATEGIES))
            except BackupError as error:
                assert "Input/output error" in str(error)  # noqa: PT017  # The last round raises nothing.
            else:
                assert steps.count < fail_at
                break
        assert JournalReader(root / "data" / "journal").last_seq in (642, 602)
        assert verify(root / "data" / "journal").passed
        shutil.rmtree(root)
    assert fail_at > 15
