"""`taped backup`: what an operator, or the timer, says and is told."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.config import load
from daemon.settings import Settings
from daemon.user_strategies import load_kinds
from schemas.errors import TapedError
from tools.backup import texts
from tools.backup.create import Inputs
from tools.backup.database import dump_database
from tools.backup.errors import BackupError, DamagedBackupError
from tools.backup.packing import Keys, read_identities
from tools.backup.proof import Reading
from tools.backup.prune import apply_pruning, plan_pruning
from tools.backup.restore import Options, plan_restore, restore
from tools.backup.retention import Keep
from tools.backup.run import Proving, make, prove, put_mark, tell_failure, tell_success
from tools.backup.store import Store, locked
from tools.backup.target import open_target
from tools.backup.vault import Vault, choose_journal
from tools.output import UsageError, print_json, print_table, progress


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser("backup", help="make, list, prove, restore and let go of backups")
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    create = actions.add_parser(
        "create",
        help="back up a data folder, and prove it",
        description="Back up a data folder, also while a daemon runs on it. What is in the target already is "
        "not stored again. It counts only after it was restored into a scratch folder and found right.",
    )
    create.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="prove it now; without, it does not count until `taped backup verify`",
    )
    create.add_argument(
        "--if-target",
        action="store_true",
        help="do nothing where the settings name no target (for the timer)",
    )
    create.add_argument("--prune", action="store_true", help="then let go of old ones")
    create.set_defaults(run=_create)
    show = actions.add_parser("list", help="the backups there are, and which count")
    show.set_defaults(run=_list)
    verify = actions.add_parser("verify", help="restore a backup into a scratch folder and examine it")
    verify.set_defaults(run=_verify)
    back = actions.add_parser(
        "restore",
        help="put a backup in the place of what a data folder holds",
        description="Examine a backup, then put it in the place of what the data folder holds, which becomes "
        "a safety copy in before-restore-NAME. No daemon may run there. Says what it will do, and asks.",
    )
    back.add_argument(
        "--seen", type=int, default=0, metavar="SEQ", help="last event that a venue or database may know of"
    )
    back.add_argument("--yes", action="store_true", help="do not ask (for scripts)")
    back.set_defaults(run=_restore)
    prune = actions.add_parser("prune", help="let go of old backups: days, weeks and months stay as set")
    prune.add_argument("--dry-run", action="store_true", help="only show which")
    prune.add_argument("--damaged", action="store_true", help="let go of damaged ones too")
    prune.set_defaults(run=_prune)
    for action in (show, verify, back, prune):
        action.add_argument("--journal", default="", metavar="ID", help="id of the journal, or its beginning")
    for action in (verify, back):
        action.add_argument(
            "name", nargs="?", default="", metavar="NAME", help="default: the newest that counts"
        )
        action.add_argument(
            "--identity", type=Path, metavar="FILE", help="private key of age, for encrypted backups"
        )
    for action in (create, show, verify, back, prune):
        action.add_argument("--config", type=Path, metavar="FILE", help="TOML file (TAPED_CONFIG)")
        action.add_argument("--data", type=Path, metavar="DATA", help="data folder")
        action.add_argument("--target", metavar="TARGET", help="where backups are (backup.target)")
        action.add_argument("--json", action="store_true", help="print JSON")


def _settings(arguments: argparse.Namespace) -> tuple[Settings, Path | None]:
    """Return the settings and the file they come from."""
    file = arguments.config
    if file is None and "TAPED_CONFIG" in os.environ:
        file = Path(os.environ["TAPED_CONFIG"])
    flags = {"data": arguments.data, "backup.target": arguments.target}
    return load(file, os.environ, flags).settings, file


def _proving(settings: Settings) -> Proving:
    kinds = load_kinds(settings.strategies_folder)
    data = settings.data if settings.data.is_dir() else Path(tempfile.gettempdir())
    return Proving(
        "journal" if settings.backup.verify == "journal" else "replay",
        kinds.classes,
        tuple(kinds.sources),
        settings.backup.scratch or data,
        settings.readmodel.keep_ticks,
    )


def _dump_of(settings: Settings) -> Callable[[Path], Path | None] | None:
    """Return how the database is dumped, where that is wanted; a dump that fails is told and left out."""
    if not settings.backup.database:
        return None

    def dump(into: Path) -> Path | None:
        try:
            return dump_database(settings, into)
        except BackupError as error:
            print(f"taped: warning: the backup goes without the database: {error}", file=sys.stderr)
            return None

    return dump


def _keep(settings: Settings) -> Keep:
    return Keep(settings.backup.daily, settings.backup.weekly, settings.backup.monthly)


def _create(arguments: argparse.Namespace) -> int:
    settings, file = _settings(arguments)
    data, begun_ns = settings.data, time.time_ns()
    if arguments.if_target and not settings.backup.target:
        print("no backup was made: setting backup.target is empty", file=sys.stderr)
        return 0
    if not (data / "journal").is_dir():
        raise BackupError(f"{data}: holds no journal", hint="is this a taped data folder? --data names one")
    with locked(data, "data folder"):
        try:
            document = _make(arguments, settings, file, begun_ns)
        except TapedError as error:
            with suppress(OSError):
                tell_failure(data, error, begun_ns=begun_ns)
            raise
    if arguments.json:
        print_json(document)
    return 0


def _make(
    arguments: argparse.Namespace, settings: Settings, file: Path | None, begun_ns: int
) -> dict[str, Any]:
    data = settings.data
    keys = Keys(settings.backup.recipient, prove=True)
    proving = _proving(settings) if arguments.verify else None
    with open_target(settings.backup, data, change=True) as store:
        with progress("Backing up", total=None, unit="bytes", show=not arguments.json) as advance:
            inputs = Inputs(data, file, settings.strategies_folder, _dump_of(settings))
            done = make(inputs, store, keys=keys, proving=proving, advance=advance)
        pruned = None
        if arguments.prune and done.found is not None:
            vault = Vault(store, done.made.manifest.journal)
            pruned = plan_pruning(vault, _keep(settings), datetime.now(UTC))
            apply_pruning(vault, pruned)
        where = store.where
    tell_success(data, settings.backup.target, done, begun_ns=begun_ns)
    if not arguments.json:
        for line in texts.made(done, where):
            print(line)
        if pruned is not None:
            print(texts.pruned(pruned, applied=True))
    return {
        **texts.made_document(done, where),
        "pruned": pruned and texts.pruned_document(pruned, applied=True),
    }


def _list(arguments: argparse.Namespace) -> int:
    settings, _ = _settings(arguments)
    with _reading(arguments, settings) as vault:
        backups = vault.backups()
    rows = [texts.row(backup) for backup in backups]
    if arguments.json:
        print_json({"journal": vault.journal, "target": vault.store.where, "backups": rows})
    else:
        print(f"journal {vault.journal} in {vault.store.where}")
        columns = ["name", "state", "first_seq", "last_seq", "bytes", "stored_bytes", "taped"]
        print_table(columns, [[row[column] for column in columns] for row in rows])
        for row in rows:
            if row["problem"]:
                print(f"DAMAGED {row['name']}: {row['problem']}")
    return 0 if any(backup.counts for backup in backups) else 1


@contextmanager
def _reading(arguments: argparse.Namespace, settings: Settings, *, change: bool = False) -> Iterator[Vault]:
    with open_target(settings.backup, settings.data, change=change) as store:
        yield _vault(store, arguments)


def _vault(store: Store, arguments: argparse.Namespace) -> Vault:
    return Vault(store, choose_journal(store, arguments.journal.lower()))


def _keys(arguments: argparse.Namespace) -> Keys:
    return Keys(identities=read_identities(arguments.identity) if arguments.identity else ())


def _verify(arguments: argparse.Namespace) -> int:
    settings, _ = _settings(arguments)
    proving, keys = _proving(settings), _keys(arguments)
    with _reading(arguments, settings, change=True) as vault:
        backup = vault.find(arguments.name)
        manifest = backup.whole()
        with progress("Verifying", total=manifest.length, unit="bytes", show=not arguments.json) as advance:
            try:
                reading = Reading(keys)
                found = prove(vault, backup.name, manifest, reading=reading, proving=proving, advance=advance)
            except DamagedBackupError:
                # From now on it neither counts nor lets an older one go.
                vault.unmark(backup.name)
                raise
        put_mark(vault, backup.name, vault.digest(backup.name), proving.depth, found)
    if arguments.json:
        print_json({"backup": backup.name, "passed": True, **found._asdict()})
    else:
        print(f"backup {backup.name}: events {manifest.first_seq:,} to {manifest.last_seq:,}, whole")
        for line in texts.found(found):
            print(line)
        print("passed")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    settings, _ = _settings(arguments)
    if not arguments.yes and (arguments.json or not sys.stdin.isatty()):
        raise UsageError("restore asks before it changes anything", hint="add --yes where nobody can answer")
    proving, keys = _proving(settings), _keys(arguments)
    with _reading(arguments, settings) as vault:
        plan = plan_restore(vault.find(arguments.name), settings.data)
        if not arguments.json:
            for line in texts.plan(plan):
                print(line)
        if not arguments.yes and _answer() != "restore":
            print("nothing was changed")
            return 1
        options = Options(
            proving.depth,
            proving.kinds,
            proving.sources,
            keep_ticks=proving.keep_ticks,
            seen_seq=arguments.seen,
        )
        length = plan.manifest.length
        with progress("Restoring", total=length, unit="bytes", show=not arguments.json) as advance:
            found = restore(vault, plan, keys=keys, options=options, advance=advance)
    if arguments.json:
        print_json(texts.restored_document(plan, found, arguments.seen))
    else:
        for line in texts.restored(plan, found, arguments.seen):
            print(line)
    return 0


def _answer() -> str:
    try:
        return input("Put this backup there? Type 'restore' to go on: ").strip()
    except EOFError:
        print()
        return ""


def _prune(arguments: argparse.Namespace) -> int:
    settings, _ = _settings(arguments)
    with _reading(arguments, settings, change=not arguments.dry_run) as vault:
        pruning = plan_pruning(vault, _keep(settings), datetime.now(UTC), damaged=arguments.damaged)
        if not arguments.dry_run:
            apply_pruning(vault, pruning)
    applied = not arguments.dry_run
    if arguments.json:
        print_json(texts.pruned_document(pruning, applied=applied))
    else:
        print(texts.pruned(pruning, applied=applied))
    return 0
