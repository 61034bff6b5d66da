"""A search on all cores beside one on one core: the same command, the same trials, in turn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from daemon.journal.writer import JournalWriter
from replay.optimise.pool import all_cores
from tools.bench.report import Result, in_turn
from tools.bench.samples import bitcoin, trades

EVENTS = 1_000_000
TRIALS = 24
_BATCH = 4096


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `replay.optimise`: trials a second of a whole command, from its start to its end."""
    del market_data
    data = scratch / "search"
    count = EVENTS // 10 if quick else EVENTS
    with JournalWriter.open(data / "journal") as writer:
        writer.append([bitcoin()])
        events = trades(count)
        for at in range(0, count, _BATCH):
            writer.append(events[at : at + _BATCH])
    del events
    cores = all_cores()
    bodies: list[dict[str, Any]] = []
    rates = in_turn(
        {"all": lambda: _search(data, cores, bodies), "one": lambda: _search(data, 1, bodies)}, rounds=3
    )
    return [
        Result(
            name="replay.optimise",
            unit="trials/s",
            value=rates["all"],
            ratios={"1 worker": rates["all"] / rates["one"]},
            detail={
                "workers": cores,
                "trials": TRIALS,
                "events": count,
                "first_trial_s": max(body["first_trial_s"] for body in bodies),
            },
        )
    ]


def _search(data: Path, workers: int, bodies: list[dict[str, Any]]) -> float:
    """Return trials a second of one whole search."""
    words = ["--strategy", "ma_cross", "--param", "quantity=0.001", "--search", "random", "--seed", "1"]
    space = ["--range", "fast=50:200", "--range", "slow=400:2000", "--trials", str(TRIALS)]
    command = [sys.executable, "-m", "tools.cli", "replay", "optimise", str(data), *words, *space]
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603  # Our own command.
        [*command, "--workers", str(workers), "--json", "--no-record"],
        capture_output=True,
        check=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    bodies.append(json.loads(done.stdout))
    return TRIALS / seconds
