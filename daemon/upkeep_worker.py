"""The process that archives and shortens: reads one job, does it when the processor is idle, and ends.

It ends at once when whoever started it is gone, because nothing may touch the journal's folder that a
new daemon does not know of.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from daemon.config import code_hash
from daemon.journal.archive import Archived, archive_journal
from daemon.journal.errors import JournalLockedError
from daemon.journal.retention import Policy, RetentionPlan
from daemon.shorten import limits_of, shorten
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.upkeep import ArchiveDone, ArchiveJob, Job, JobFailed, Report, RetentionDone, RetentionJob
from daemon.user_strategies import load_kinds
from schemas.errors import TapedError

LOWEST = 19


def main() -> int:
    """Do the job that standard input tells; return 1 when it was given up."""
    _step_back()
    job: Job = msgspec.json.Decoder(Job).decode(_first_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        folder = None if job.strategies_folder is None else Path(job.strategies_folder)
        kinds = load_kinds(folder)
        if code_hash(kinds.sources) != job.code_hash:
            raise TapedError("the code on disk is not that of the running daemon", hint="restart taped")  # noqa: TRY301
        work(job, kinds.classes)
    except JournalLockedError:
        return 0  # Somebody does it by hand; that is as good.
    except TapedError as error:
        report(JobFailed(reason=error.message))
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


def work(job: Job, kinds: Mapping[str, type[Strategy]] = STRATEGIES) -> None:
    """Do the job; the kinds are those of the daemon.

    Raises:
        JournalError: a segment is damaged, or the disk refused.
    """
    data, load = Path(job.data), job.load_percent / 100

    def rest(worked_s: float) -> None:
        time.sleep(worked_s * (1 / load - 1))

    match job:
        case ArchiveJob():
            archive_journal(data / "journal", keep=job.keep, rest=rest, done=_archived)
        case RetentionJob():
            shorten(
                data,
                Policy(job.max_age_ns, job.max_bytes),
                limits_of(data, job.confirmed_seq),
                now_ns=time.time_ns(),
                rest=rest,
                done=_shortened,
                kinds=kinds,
                all_kinds=True,
            )


def _archived(item: Archived) -> None:
    report(
        ArchiveDone(
            segment=item.name.number,
            events=item.events,
            segment_bytes=item.segment_bytes,
            archive_bytes=item.archive_bytes,
        )
    )


def _shortened(plan: RetentionPlan) -> None:
    report(RetentionDone(segments=len(plan.going), bytes=plan.freed_bytes, first_seq=plan.first.first_seq))


def report(what: Report) -> None:
    """Tell the daemon, as a line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
