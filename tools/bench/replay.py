"""A moving-average cross over a recorded journal: read, checked, decoded, decided, filled, accounted."""

from __future__ import annotations

import time
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from replay.backtest import run_backtest
from tools.bench import replay_at
from tools.bench.report import Result, in_turn
from tools.bench.samples import bitcoin, trades

EVENTS = 1_000_000
_BATCH = 4096


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `replay.ma_cross`, beside reading and decoding alone, `replay.parity` and `replay.at`."""
    count = EVENTS // 10 if quick else EVENTS
    directory = scratch / "journal"
    with JournalWriter.open(directory) as writer:
        writer.append([bitcoin()])
        events = trades(count)
        for at in range(0, count, _BATCH):
            writer.append(events[at : at + _BATCH])
    del events
    rates = in_turn(
        {
            "ma_cross": lambda: _ma_cross(directory, count),
            "decode_only": lambda: _decode_only(directory, count),
        },
        rounds=3,
    )
    return [
        Result(
            name="replay.ma_cross",
            unit="events/s",
            value=rates["ma_cross"],
            ratios={"decode_only": rates["ma_cross"] / rates["decode_only"]},
            detail={"events": count},
        ),
        *replay_at.measure(scratch, market_data=market_data, quick=quick),
    ]


def _ma_cross(directory: Path, count: int) -> float:
    started = time.perf_counter()
    run_backtest(
        JournalReader(directory).batches(),
        strategy="ma_cross",
        parameters={"fast": 50, "slow": 200, "quantity": "0.001"},
        maker_fee_ppm=1000,
        taker_fee_ppm=1000,
    )
    return count / (time.perf_counter() - started)


def _decode_only(directory: Path, count: int) -> float:
    started = time.perf_counter()
    for _ in JournalReader(directory).batches():
        pass
    return count / (time.perf_counter() - started)
