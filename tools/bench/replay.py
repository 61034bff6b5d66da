"""Backtests over a recorded journal: read, checked, decoded, decided, filled, accounted; beside peers.

Each run is a process of its own. Ours starts its clock before it opens the journal; the peers' ticks are
objects in memory before theirs starts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from replay.source import open_source
from replay.spec import BacktestSpec
from schemas.events import Trade
from tools.bench import replay_at
from tools.bench.peers import PEERS, Figures, environment, figures, run_peer, write_ticks
from tools.bench.report import Result, in_turn
from tools.bench.samples import bitcoin, trades

EVENTS, MANY_EVENTS = 1_000_000, 10_000_000
HOUR_NS = 3_600 * 10**9
TERMS = {"fast": "50", "slow": "200", "quantity": "0.001"}
_BATCH = 4096
_ROUNDS = 3


def measure(scratch: Path, *, market_data: Path | None, quick: bool, peers: bool = False) -> list[Result]:
    """Return the figures of backtests, of parity and looks back, and of peers when asked for."""
    python = environment() if peers else None
    count = EVENTS // 10 if quick else EVENTS
    journal, ticks = scratch / "journal", scratch / "ticks.bin"
    events = trades(count)
    _write(journal, events, times=1)
    write_ticks(ticks, events)
    del events
    runs: dict[str, list[Figures]] = {}
    pairs = [f"{name}={value}" for name, value in TERMS.items()]
    competitors: dict[str, Callable[[], float]] = {
        "ma_cross": partial(_noted, runs, "ma_cross", partial(_ours, journal, "ma_cross", pairs)),
        "noop": partial(_noted, runs, "noop", partial(_ours, journal, "idle", ())),
        "decode_only": partial(_decode_only, journal, count),
    }
    if python is not None:
        for name in PEERS:
            run = partial(run_peer, python, name, ticks, list(TERMS.values()))
            competitors[name] = partial(_noted, runs, name, run)
    rates = in_turn(competitors, rounds=_ROUNDS)
    return [
        *_speeds(rates, runs),
        *_many(scratch / "many", count=MANY_EVENTS // 10 if quick else MANY_EVENTS),
        *replay_at.measure(scratch, market_data=market_data, quick=quick),
    ]


def _speeds(rates: dict[str, float], runs: dict[str, list[Figures]]) -> list[Result]:
    named = {"noop": "replay.noop", "ma_cross": "replay.ma_cross"}
    results = []
    for name, taken in runs.items():
        against = [other for other in ("decode_only", *PEERS) if other in rates and name == "ma_cross"]
        results.append(
            Result(
                name=named.get(name, f"peer.{name}"),
                unit="events/s",
                value=rates[name],
                ratios={other: rates[name] / rates[other] for other in against},
                detail={
                    "version": taken[0].version,
                    "events": taken[0].events,
                    "orders": taken[0].orders,
                    "filled": taken[0].filled,
                    "peak_mb": round(median(run.peak_mb for run in taken), 1),
                },
            )
        )
    return results


def _many(journal: Path, *, count: int) -> list[Result]:
    """Return what a long journal costs: its last hour opened, and the memory of a whole backtest."""
    times = max(1, count // EVENTS)
    _write(journal, trades(count // times), times=times)
    reader = JournalReader(journal)
    (last,) = [batch.events[-1] for batch in reader.batches(reader.last_seq)]
    spec = BacktestSpec(data=(str(journal),), strategy="ma_cross", from_ns=last.ts_ns - HOUR_NS)
    took = []
    for _ in range(1 + _ROUNDS):
        started = time.perf_counter()
        batches = open_source(spec).batches()
        next(batch for batch in batches if any(type(event) is Trade for event in batch.events))
        took.append(time.perf_counter() - started)
    peak_mb = _ours(journal, "ma_cross", [f"{name}={value}" for name, value in TERMS.items()]).peak_mb
    return [
        Result(
            name="replay.open_last_hour",
            unit="s",
            value=took[0],
            detail={"again_s": median(took[1:]), "events": count},
        ),
        Result(name="replay.peak_mb", unit="MB", value=round(peak_mb, 1), detail={"events": count}),
    ]


def _write(directory: Path, events: Sequence[Trade], *, times: int) -> None:
    """Write a journal of these trades, several times over with their times going on."""
    length_ns = events[-1].ts_ns - events[0].ts_ns + 1_000_000
    with JournalWriter.open(directory) as writer:
        writer.append([bitcoin()])
        for turn in range(times):
            for at in range(0, len(events), _BATCH):
                writer.append([_later(trade, turn * length_ns) for trade in events[at : at + _BATCH]])


def _later(trade: Trade, by_ns: int) -> Trade:
    if not by_ns:
        return trade
    return Trade(
        ts_ns=trade.ts_ns + by_ns,
        received_ns=trade.received_ns + by_ns,
        instrument_id=trade.instrument_id,
        price=trade.price,
        quantity=trade.quantity,
        aggressor=trade.aggressor,
        trade_id=trade.trade_id,
    )


def _noted(runs: dict[str, list[Figures]], name: str, run: Callable[[], Figures]) -> float:
    found = run()
    runs.setdefault(name, []).append(found)
    return found.rate


def _ours(journal: Path, kind: str, pairs: Sequence[str]) -> Figures:
    words = [sys.executable, "-m", "tools.bench.one_backtest", str(journal), kind, *pairs]
    return figures(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # noqa: S603  # our own program


def _decode_only(directory: Path, count: int) -> float:
    started = time.perf_counter()
    for _ in JournalReader(directory).batches():
        pass
    return count / (time.perf_counter() - started)
