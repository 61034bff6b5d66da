"""What `taped backup` tells people and programs; decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.backup.proof import Found
from tools.backup.prune import Pruning
from tools.backup.restore import CONFIG, DUMP, RestorePlan
from tools.backup.run import Done
from tools.backup.vault import Backup
from tools.event_text import time_text
from tools.wording import counted


def made(done: Done, where: str) -> Iterator[str]:
    """Tell of a backup that was made."""
    manifest = done.made.manifest
    yield (
        f"backup {done.made.name}: events {manifest.first_seq:,} to {manifest.last_seq:,} of journal "
        f"{manifest.journal}, {counted(len(manifest.files), 'file')} of {manifest.length:,} bytes, in {where}"
    )
    fresh = counted(len(done.made.fresh), "new object")
    yield f"stored {fresh} of {done.made.fresh_bytes:,} bytes in {done.made.seconds:.1f} s"
    if done.healed:
        yield f"{counted(done.healed, 'object')} in the target had been damaged: stored anew"
    if done.found is None:
        yield "not verified: it does not count until `taped backup verify` says it is right"
        return
    yield f"restored into a scratch folder and examined in {done.proof_seconds:.1f} s"
    yield from found(done.found)
    yield "verified"


def made_document(done: Done, where: str) -> dict[str, Any]:
    """Return the same for programs."""
    manifest = done.made.manifest
    return {
        "backup": done.made.name,
        "target": where,
        "journal": manifest.journal,
        "first_seq": manifest.first_seq,
        "last_seq": manifest.last_seq,
        "files": len(manifest.files),
        "bytes": manifest.length,
        "new_objects": len(done.made.fresh),
        "new_bytes": done.made.fresh_bytes,
        "seconds": round(done.made.seconds, 3),
        "healed": done.healed,
        "verified": done.found is not None,
        "verify_seconds": round(done.proof_seconds, 3),
        **({} if done.found is None else done.found._asdict()),
    }


def found(what: Found) -> Iterator[str]:
    """Tell what a replay came to."""
    if what.read_model:
        yield f"read model  {what.read_model}"
    if what.core:
        yield f"core        {what.core}"


def row(backup: Backup) -> dict[str, Any]:
    """Return a line of the list of backups."""
    manifest = backup.manifest
    state = "damaged" if backup.problem else "verified" if backup.counts else "not verified"
    return {
        "name": backup.name,
        "state": state,
        "first_seq": manifest and manifest.first_seq,
        "last_seq": manifest and manifest.last_seq,
        "bytes": manifest and manifest.length,
        "stored_bytes": manifest and manifest.stored,
        "taped": manifest and manifest.taped,
        "problem": backup.problem,
    }


def plan(what: RestorePlan) -> Iterator[str]:
    """Tell what a restore will do."""
    manifest = what.manifest
    yield (
        f"backup {what.backup}, made {time_text(manifest.made_ns)} by taped {manifest.taped} on "
        f"{manifest.host}: journal {manifest.journal}, events {manifest.first_seq:,} to "
        f"{manifest.last_seq:,}, {manifest.length:,} bytes"
    )
    if what.safety is None:
        yield f"{what.data}: holds nothing; the backup goes there"
    else:
        there = (
            f"journal {what.there} up to seq {what.there_seq:,}"
            if what.there
            else "no journal that can be read"
        )
        yield f"{what.data}: holds {there}; it goes to {what.safety}, and the backup takes its place"
    if what.lost_events:
        lost = f"{counted(what.lost_events, 'event')}, {manifest.last_seq + 1:,} to {what.there_seq:,}"
        yield f"LOST {lost}, that are there and not in the backup; the safety copy keeps them"
    for path in what.leftovers:
        yield f"{path}: was left by a restore that was killed; does it hold a journal you need?"


def restored(what: RestorePlan, came_to: Found, seen: int) -> Iterator[str]:
    """Tell that it was done, and what to do next."""
    yield f"restored to {what.data}: the journal ends at seq {what.manifest.last_seq:,}"
    yield from found(came_to)
    if what.safety is not None:
        yield f"what was there is in {what.safety}: remove it when you are sure"
    if any(entry.path.startswith("config/") for entry in what.manifest.files):
        yield f"settings and strategies as they were: {what.data / CONFIG}"
    if any(entry.path.startswith("database/") for entry in what.manifest.files):
        yield f"the database's dump, for pg_restore: {what.data / DUMP}"
    last = max(seen, what.there_seq)
    if last > what.manifest.last_seq:
        yield (
            f"events up to {last:,} were seen by others: the start is refused until "
            f"`taped journal repair {what.data} --accept-loss` leaves their numbers out and halts trading"
        )
    elif not what.there_seq:
        yield (
            "if the daemon went on after this backup, venues and TimescaleDB know later numbers: then "
            "restore again with --seen SEQ before you start it"
        )


def restored_document(what: RestorePlan, came_to: Found, seen: int) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "backup": what.backup,
        "data": str(what.data),
        "journal": what.manifest.journal,
        "last_seq": what.manifest.last_seq,
        "safety_copy": what.safety and str(what.safety),
        "seen_seq": max(seen, what.there_seq),
        **came_to._asdict(),
    }


def pruned(what: Pruning, *, applied: bool) -> str:
    """Tell what went, or would go."""
    went = "went" if applied else "would go"
    names = f" ({', '.join(backup.name for backup in what.going)})" if what.going else ""
    held = f"; {what.held}" if what.held else ""
    left = "left" if applied else "would be left"
    return (
        f"{counted(len(what.going), 'backup')} {went}{names}, {counted(len(what.objects), 'object')} of "
        f"{what.freed_bytes:,} bytes; {left}: {counted(len(what.staying), 'backup')}{held}"
    )


def pruned_document(what: Pruning, *, applied: bool) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "applied": applied,
        "going": [backup.name for backup in what.going],
        "staying": [backup.name for backup in what.staying],
        "objects": len(what.objects),
        "freed_bytes": what.freed_bytes,
        "held": what.held or None,
    }
