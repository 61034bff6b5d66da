"""What the daemon keeps: settings, journal, read model, service."""

from __future__ import annotations

from daemon.journal.errors import JournalError
from daemon.journal.listing import list_journal
from daemon.journal.lock import holder
from daemon.journal.reader import JournalReader
from daemon.readmodel.database import ReadModelError, open_reader
from daemon.readmodel.watermark import projected_seq
from tools.doctor.finding import Check, Finding, absent, failure, ok, unknown, warning
from tools.doctor.machine import Machine

SEGMENTS = 2
"""So many of the newest segments are read byte by byte; `taped journal verify` reads all."""
_MAX_CHECKED_BYTES = 1 << 29
_NO_JOURNAL = "there is no journal yet"


def settings(machine: Machine) -> Finding:
    """Tell whether the settings can be used."""
    if machine.mistake:
        return failure(
            machine.mistake, "see `taped check-config FILE`; all else here is told by the defaults"
        )
    return ok(f"from {machine.config}" if machine.config else "the defaults and the environment")


def service(machine: Machine) -> Finding:
    """Tell whether systemd runs the daemon."""
    state = machine.command(("systemctl", "is-active", "taped.service"))
    enabled = machine.command(("systemctl", "is-enabled", "taped.service"))
    if not state or "systemd" in state:
        return absent("systemd does not run here")
    if state == "failed":
        return failure(
            "taped.service has failed", "see `journalctl -u taped`, then `systemctl restart taped`"
        )
    if enabled != "enabled":
        return warning(f"taped.service is {state}, {enabled or 'not installed'}", "sudo ./tools/install")
    if state != "active":
        return warning(f"taped.service is {state}", "systemctl start taped")
    return ok("taped.service is active, and starts with the machine")


def journal(machine: Machine) -> Finding:
    """Read the newest part of the journal."""
    directory = machine.data / "journal"
    try:
        if not directory.is_dir():
            return absent(f"{machine.data}: {_NO_JOURNAL}")
        reader = JournalReader(directory)
        first = list_journal(directory)[-SEGMENTS:][0].first_seq
        events = sum(len(batch.events) for batch in reader.batches(first))
        last_seq, held = reader.last_seq, holder(directory)
    except PermissionError:
        return unknown(f"{directory} may not be read by this user", "run it with sudo, or as the user taped")
    except JournalError as error:
        return failure(
            str(error), "see `taped journal verify`, then restore a backup or see `taped journal repair`"
        )
    by = f"process {held} writes it" if held else "nobody writes it"
    return ok(f"up to seq {last_seq:,}, the last {events:,} events read and sound; {by}")


def read_model(machine: Machine) -> Finding:
    """Compare the read model with the journal, and let SQLite look at its pages."""
    path, directory = machine.data / "readmodel.db", machine.data / "journal"
    if not path.exists():
        return absent("there is no read model yet")
    rebuild = "stop the daemon, then `taped replay rebuild`"
    try:
        applied, last = projected_seq(machine.data), JournalReader(directory).last_seq
        if path.stat().st_size <= _MAX_CHECKED_BYTES:
            connection = open_reader(path)
            try:
                said = connection.execute("PRAGMA quick_check(1)").get
            finally:
                connection.close()
            if said != "ok":
                return failure(f"{path}: {said}", rebuild)
    except ReadModelError as error:
        return failure(str(error), rebuild)
    except JournalError as error:
        return unknown(f"the journal cannot be read: {error.message}")
    seen = f"holds events up to seq {applied:,} of {last:,}"
    if applied > last:
        return failure(
            f"{seen}: acknowledged events are missing in the journal", "see `taped journal verify`"
        )
    return ok(seen)


CHECKS = (
    Check("settings", "A daemon with wrong settings does not start.", settings),
    Check("service", "What systemd does not start is not there after a power cut.", service),
    Check("journal", "It is the only truth: all else is made from it.", journal),
    Check("read model", "Dashboard and API answer from it.", read_model),
)
