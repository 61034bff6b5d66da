"""`python -m tests.crash.trading.kill_loop --rounds 200`: kill -9 of a daemon whose strategies trade.

Each round starts a real `taped run` on a fast simulated market: strategies with market, limit, stop and
linked orders on the paper venue, with latency, slippage and queues. At a random moment it is killed, or
now and then stopped in good order, so that the next round begins from a snapshot. After each round what
a start makes of the data must equal an uninterrupted replay of the journal from its first event: orders,
positions, counters of risk rules, strategies, and the venue. No order may have arrived twice, and the
daemon's venue must have reported what an uninterrupted one would have.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from daemon.config import code_hash
from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.readmodel.watermark import projected_seq
from daemon.restart import rebuild
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue
from daemon.venue.paper.dump import state
from daemon.venue.paper.follow import Follower
from replay.parity import check_parity
from schemas.events import (
    DaemonStarted,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
)

ROUNDS_PER_JOURNAL = 25
START_SECONDS = 30.0
CONFIGURATION = """
[log]
level = "error"
[api]
port = 0
[journal]
segment_mib = 4
[feed]
kind = "simulated"
rate = 4000
[venue]
latency_us = 200
latency_spread_us = 3000
latency_shape = "exponential"
slippage = "proportional"
slippage_amount = 50
maker_fee_ppm = -10
[account]
cash = { USDT = "1000000", USD = "1000000" }
[strategies.cross]
kind = "ma_cross"
instruments = ["BTC-USDT"]
parameters = { fast = 3, slow = 9, quantity = "0.5", short = true, source = "quote" }
[strategies.maker]
kind = "market_maker"
instruments = ["ETH-USDT"]
parameters = { quantity = "3", spread = "0.2", step = "0.05", short = true }
[strategies.bands]
kind = "bollinger_bounce"
instruments = ["SOL-USDT"]
parameters = { bars = "9t", width = "0.7", quantity = "20", stop = "0.5", short = true }
[strategies.channel]
kind = "donchian_breakout"
instruments = ["BTC-USDT"]
parameters = { bars = "5t", length = 5, exit_length = 3, quantity = "0.2", stop = "0.3", short = true }
"""


class DivergedError(Exception):
    """A start made something else of the journal than an uninterrupted replay does."""


class Killed:
    """A daemon in a process of its own."""

    def __init__(self, data: Path, configuration: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "tools.cli",
            "run",
            "--config",
            configuration,
            "--data",
            data,
            "--json",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        text = b""
        for line in self.process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        if not text:
            raise DivergedError(f"the daemon did not start: exit code {self.process.wait()}")
        json.loads(text)

    def end(self, number: int, after_s: float) -> None:
        time.sleep(after_s)
        os.kill(self.process.pid, number)
        self.process.communicate(timeout=START_SECONDS)


def one_round(data: Path, configuration: Path, chance: random.Random) -> Counter[str]:
    """Run a daemon, end it, and compare; return what the journal holds by name of the event."""
    daemon = Killed(data, configuration)
    in_order = chance.random() < 0.2
    daemon.end(signal.SIGTERM if in_order else signal.SIGKILL, chance.random() * 1.2)
    return compare(data)


def compare(data: Path) -> Counter[str]:
    """Hold a start against an uninterrupted replay.

    Raises:
        DivergedError: they differ, or an order arrived twice.
    """
    code = code_hash()
    # Recovery as the daemon does it; closing seals what it found.
    with JournalWriter.open(data / "journal", segment_bytes=4 << 20, watermark=projected_seq(data)) as writer:
        journal_id, last_seq = writer.journal_id, writer.next_seq - 1
        core, venue, missing = rebuild(data, journal_id, code, last_seq)
    whole = Core(journal_id)
    follower = Follower(whole, PaperVenue())
    counts: Counter[str] = Counter()
    arrived: Counter[int] = Counter()
    submitted: Counter[str] = Counter()
    for batch in JournalReader(data / "journal").batches():
        follower.follow(batch.first_seq, batch.events)
        counts.update(type(event).__name__ for event in batch.events)
        for event in batch.events:
            if isinstance(event, OrderAccepted | OrderRejected):
                arrived[event.order_id] += 1
            elif isinstance(event, OrderSubmitted):
                submitted[event.client_order_id] += 1
    _must(core.state() == whole.state(), "the core")
    _must(state(venue) == state(follower.venue), "the venue")
    _must(missing == follower.pending, "the reports that are missing")
    _must(not follower.disagreements, "a report of the daemon's venue")
    _must(max(arrived.values(), default=1) == 1, "an order that arrived twice")
    _must(max(submitted.values(), default=1) == 1, "a client order id that was submitted twice")
    return counts


def compare_decisions(data: Path) -> int:
    """Make all decisions again from the inputs alone; return how many there are.

    Raises:
        DivergedError: one is another than the journal holds.
    """
    result = check_parity(data, code_hash=code_hash())
    _must(result.passed, f"decision {result.difference}")
    return result.decisions


def _must(holds: object, what: str) -> None:
    if not holds:
        raise DivergedError(f"{what} differs from an uninterrupted replay of the journal")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the data goes; a temporary folder without it")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    started = time.monotonic()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        configuration = Path(folder) / "taped.toml"
        configuration.write_text(CONFIGURATION)
        data = Path(folder) / "data"
        for number in range(1, arguments.rounds + 1):
            counts = one_round(data, configuration, chance)
            if number % ROUNDS_PER_JOURNAL == 0 or number == arguments.rounds:
                decided = compare_decisions(data)
                total += counts
                sys.stdout.write(
                    f"round {number}: {counts.total():,} events, {decided:,} decisions made again alike,"
                    f" {counts[OrderFilled.__name__]:,} fills, {counts[DaemonStarted.__name__]} starts\n"
                )
                sys.stdout.flush()
                shutil.rmtree(data)
    seconds = time.monotonic() - started
    sys.stdout.write(
        f"{arguments.rounds} rounds in {seconds:.0f} s, and each start equalled an uninterrupted replay:"
        f" {total[OrderSubmitted.__name__]:,} orders, none sent twice\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
