"""Lets old backups go: first their marks, then their manifests, then the objects that no other one needs.

Stopped at any point, what is left is whole: a backup that lost its mark does not count any more, an object
that nobody needs is found again by the next run. While any manifest cannot be read, no object goes, for it
may be needed by that one.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from tools.backup.manifest import time_of
from tools.backup.retention import AHEAD, Keep, kept, unverified_going
from tools.backup.vault import Backup, Vault


class Pruning(NamedTuple):
    """What a pruning takes, or took.

    Attributes:
        going: backups that go.
        staying: those that stay.
        objects: objects that go.
        freed_bytes: their length.
        held: why no object goes, or empty.
    """

    going: list[Backup]
    staying: list[Backup]
    objects: list[str]
    freed_bytes: int
    held: str


def plan_pruning(vault: Vault, keep: Keep, now: datetime, *, damaged: bool = False) -> Pruning:
    """Return what would go now; changes nothing.

    Args:
        vault: the backups.
        keep: which of them stay.
        now: the time.
        damaged: let go of damaged ones too. Otherwise they stay, for one may be all there is.

    Raises:
        TargetError: the store cannot be read.
    """
    backups = vault.backups()
    # What a wrong clock named stays: nobody can say how old it is.
    verified = [
        time_of(backup.name) for backup in backups if backup.counts and time_of(backup.name) <= now + AHEAD
    ]
    unverified = [time_of(backup.name) for backup in backups if not backup.counts and not backup.problem]
    stay = kept(verified, keep)
    gone = {time for time in verified if time not in stay} | unverified_going(unverified, verified, now)
    going = [backup for backup in backups if (damaged if backup.problem else time_of(backup.name) in gone)]
    staying = [backup for backup in backups if backup not in going]
    unread = [backup.name for backup in staying if backup.manifest is None]
    needed = {
        entry.object for backup in staying if backup.manifest is not None for entry in backup.manifest.files
    }
    objects = {digest: size for digest, size in vault.objects().items() if digest not in needed}
    if unread:
        held = f"no object goes while the manifest of {', '.join(unread)} cannot be read"
        return Pruning(going, staying, [], 0, held)
    return Pruning(going, staying, sorted(objects), sum(objects.values()), "")


def apply_pruning(vault: Vault, pruning: Pruning) -> None:
    """Remove what was planned. The caller holds the store since before the plan.

    Raises:
        TargetError: the store refused; it may be run again.
    """
    vault.remove([backup.name for backup in pruning.going])
    vault.store.remove([*map(vault.object_path, pruning.objects), *vault.strays()])
