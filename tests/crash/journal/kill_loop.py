"""`python -m tests.crash.journal.kill_loop --rounds 10000`: kill -9, over and over, on a real disk.

Each round forks a writer that appends to the journal and tells this process of each acknowledged
event through a pipe. After a random number of them, or within its first milliseconds, it is killed.
The next round's writer must find every event that was told of.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from schemas.frame import PAGE
from tests.crash.journal.journals import read_facts, trades
from tools.independent import compare

SEGMENT_BYTES = 24 * PAGE
ROUNDS_PER_JOURNAL = 100
_NUMBER = struct.Struct("<q")


class LossError(Exception):
    """An acknowledged event is gone, or one is there that was never submitted."""


def write_until_killed(folder: Path, pipe: int, life: int, seed: int) -> None:
    """Tell the end that was found, then the number of each event that became durable."""
    choice = random.Random(seed)
    writer = JournalWriter.open(folder, segment_bytes=SEGMENT_BYTES)
    os.write(pipe, _NUMBER.pack(-writer.next_seq))
    while True:
        count = choice.choice((1, 1, 2, 5, 40, 300))
        writer.append(trades(writer.next_seq, count, life))
        os.write(pipe, _NUMBER.pack(writer.next_seq - 1))
        if choice.random() < 0.05:
            writer.mark()


def one_round(folder: Path, life: int, choice: random.Random) -> tuple[int | None, int]:
    """Run and kill one writer; return the next_seq it found (None: killed before) and what it told."""
    end, pipe = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(end)
            write_until_killed(folder, pipe, life, choice.getrandbits(32))
        except BaseException as error:  # noqa: BLE001
            sys.stderr.write(f"the writer failed: {error!r}\n")
        os._exit(1)
    os.close(pipe)
    acknowledgements = choice.choice((1, 2, 3, 5, 8, 13, 30))
    if choice.random() < 0.3:
        time.sleep(choice.random() * 0.004)
        acknowledgements = 0
    data = b""
    while len(data) < acknowledgements * _NUMBER.size and (more := os.read(end, 4096)):
        data += more
    os.kill(pid, signal.SIGKILL)
    while more := os.read(end, 65536):
        data += more
    os.close(end)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        raise LossError(f"{folder}: the writer could not go on")
    told = [number for (number,) in _NUMBER.iter_unpack(data[: len(data) // 8 * 8])]
    found = -told[0] if told else None
    return found, max([0, *told])


def check(folder: Path, life: int, acknowledged: int, known: list[tuple[int, int]]) -> None:
    """What is on disk now: all that was acknowledged, gap-free, and nothing else than before and this life's.

    `known` becomes what is there; what only this process reads is not promised to anybody.
    """
    start = len(known) + 1
    fresh = read_facts(folder, start) if list(folder.glob("*.evl")) else []
    if fresh != [(seq, life) for seq in range(start, start + len(fresh))]:
        raise LossError(f"{folder}: life {life} left {fresh[:3]}... from seq {start} on")
    known += fresh
    if len(known) < acknowledged:
        raise LossError(f"{folder}: {acknowledged} acknowledged, {len(known)} found")


def run(folder: Path, rounds: int, seed: int) -> tuple[int, int]:
    """Run the loop; return (acknowledged events, journals verified).

    Raises:
        LossError: the journal broke its promise.
    """
    choice = random.Random(seed)
    total = journals = 0
    known: list[tuple[int, int]] = []
    acknowledged = 0
    for round_ in range(rounds):
        directory = folder / f"journal-{round_ // ROUNDS_PER_JOURNAL}"
        found, told = one_round(directory, round_ + 1, choice)
        if found is not None and found - 1 != len(known):
            raise LossError(f"{directory}: round {round_} found the end at {found - 1}, not {len(known)}")
        acknowledged = max(acknowledged, told)
        check(directory, round_ + 1, acknowledged, known)
        if round_ % ROUNDS_PER_JOURNAL == ROUNDS_PER_JOURNAL - 1 or round_ == rounds - 1:
            finish(directory, known)
            total, journals = total + acknowledged, journals + 1
            known, acknowledged = [], 0
            shutil.rmtree(directory)
    return total, journals


def finish(directory: Path, known: list[tuple[int, int]]) -> None:
    """Read all of it once more with both readers and the verifier."""
    problems = [*verify(directory).problems, *compare(directory)]
    if problems or read_facts(directory) != known:
        raise LossError(f"{directory}: {problems or 'other events than before'}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="kill_loop", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--folder", type=Path, help="where to work, on the disk to be tested")
    arguments = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="taped-kill-", dir=arguments.folder))
    started = time.monotonic()
    say(f"seed {arguments.seed}, {folder}")
    try:
        events, journals = run(folder, arguments.rounds, arguments.seed)
    except LossError as error:
        say(f"LOSS {error}; the folder is kept")
        return 1
    seconds = time.monotonic() - started
    say(
        f"{arguments.rounds} rounds of kill -9 in {seconds:.0f} s ({arguments.rounds / seconds:.0f}/s): "
        f"{events:,} events acknowledged in {journals} journals, 0 lost"
    )
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
