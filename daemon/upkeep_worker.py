"""The process that archives: reads one job, does it when the processor is idle, reports each step, ends.

It ends at once when whoever started it is gone, because nothing may touch the journal's folder that a
new daemon does not know of.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from daemon.config import code_hash
from daemon.journal.archive import Archived, archive_journal
from daemon.journal.errors import JournalLockedError
from daemon.upkeep import Done, Failed, Job
from schemas.errors import TapedError

LOWEST = 19


def main() -> int:
    """Do the job that standard input tells; return 1 when it was given up."""
    _step_back()
    job = msgspec.json.decode(_first_line(), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(job)
    except JournalLockedError:
        return 0  # Somebody archives by hand; that is as good.
    except TapedError as error:
        report(Failed(reason=error.message))
        return 1
    return 0


def _step_back() -> None:
    """Run only when nobody else wants the processor; the disk's queue follows from that."""
    os.nice(LOWEST)
    # A container may forbid it; the lowest priority is close to it.
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        return


def _first_line() -> bytes:
    # Unbuffered: the interpreter cannot end while a thread waits inside a buffered reader.
    line = b""
    while not line.endswith(b"\n") and (more := os.read(sys.stdin.fileno(), 4096)):
        line += more
    return line


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


def work(job: Job) -> None:
    """Archive what is sealed.

    Raises:
        JournalError: a segment is damaged, or the disk refused.
        TapedError: the code on disk is not the daemon's.
    """
    if code_hash() != job.code_hash:
        raise TapedError("the code on disk is not that of the running daemon", hint="restart taped")
    archive_journal(
        Path(job.data) / "journal",
        keep=job.keep,
        rest=lambda worked_s: time.sleep(worked_s * (100 / job.load_percent - 1)),
        done=_archived,
    )


def _archived(item: Archived) -> None:
    report(
        Done(
            segment=item.name.number,
            events=item.events,
            segment_bytes=item.segment_bytes,
            archive_bytes=item.archive_bytes,
        )
    )


def report(what: Done | Failed) -> None:
    """Tell the daemon, as a line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
