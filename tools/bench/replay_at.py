"""Parity of ten million events, and a look at any moment of them: the nearest snapshot, then a replay.

The journal is one that a daemon leaves: a moving-average cross trades on every tick's price, its orders
go to the paper venue, and a snapshot is left every so many events. Moments are drawn at random.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from statistics import quantiles

from daemon.config import code_hash
from daemon.journal.writer import JournalWriter
from daemon.past import past
from daemon.snapshots import EVERY_EVENTS, Snapshots
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue, VenueOptions
from daemon.venue.paper.dump import dump
from daemon.venue.paper.options import recorded
from replay.parity import check_parity
from schemas.events import DaemonStarted, Event, OperatorCommand, Scalar
from tools.bench.report import Result
from tools.bench.samples import bitcoin, trades

EVENTS = 10_000_000
LOOKS = 200
_FRAME = 64
_FRAMES_A_WRITE = 64
_VENUE = VenueOptions(maker_fee_ppm=1000, taker_fee_ppm=1000)
_PARAMETERS: dict[str, Scalar | list[Scalar]] = {
    "param.fast": 200,
    "param.slow": 2_000,
    "param.quantity": "0.001",
}


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `replay.parity`, and `replay.at` in milliseconds."""
    del market_data
    events = EVENTS // 10 if quick else EVENTS
    data = scratch / "at"
    orders = _record(data, events)
    chance, code = random.Random(1), code_hash()  # noqa: S311  # places, not secrets
    taken_ms, replayed = [], []
    for _ in range(LOOKS):
        seq = chance.randint(1, events)
        started = time.perf_counter()
        found = past(data, seq, code_hash=code, any_code=True)
        taken_ms.append((time.perf_counter() - started) * 1e3)
        replayed.append(seq - found.from_seq)
    steps = quantiles(taken_ms, n=20)
    snapshots = list((data / "snapshots").glob("*.snap"))
    parity = check_parity(data, code_hash=code)
    assert parity.passed, "what was recorded here is made again"
    return [
        Result(
            name="replay.parity",
            unit="events/s",
            value=parity.events_per_second,
            detail={"events": parity.events, "decisions": parity.decisions},
        ),
        Result(
            name="replay.at",
            unit="ms (p95)",
            value=steps[18],
            detail={
                "events": events,
                "orders": orders,
                "p50_ms": steps[9],
                "worst_ms": max(taken_ms),
                "replayed_mean": sum(replayed) / len(replayed),
                "snapshots": len(snapshots),
                "snapshots_mb": sum(path.stat().st_size for path in snapshots) / 1e6,
            },
        ),
    ]


def _record(data: Path, events: int) -> int:
    """Write the journal and its snapshots; return how many orders it holds."""
    with JournalWriter.open(data / "journal") as writer:
        core, venue = Core(writer.journal_id), PaperVenue(_VENUE)
        snapshots = Snapshots(data, code_hash(), venue_state=lambda: dump(venue))
        ticks = trades(_FRAME * 1_024)
        pending: list[Event] = [*_beginning()]
        written: list[Event] = []
        at = 0
        while core.next_seq <= events:
            inputs = pending or ticks[at : at + _FRAME]
            at = at if pending else (at + _FRAME) % len(ticks)
            seq = core.next_seq
            merged, effects = core.run(inputs)
            written += merged
            pending = venue.on_market(merged, seq) + venue.send(effects, core, inputs[-1].ts_ns)
            if len(written) >= _FRAME * _FRAMES_A_WRITE and not pending:
                writer.append(written)
                written = []
                if snapshots.due(core.next_seq - 1):
                    taken = snapshots.take(core)
                    assert taken is not None
                    assert snapshots.write(taken)
        writer.append(written)
        return len(core.orders)


def _beginning() -> list[Event]:
    started = DaemonStarted(
        ts_ns=0, daemon_version="", config_hash="", code_hash=code_hash(), settings=recorded(_VENUE)
    )
    return [
        started,
        bitcoin(),
        _command("account.deposit", {"currency": "USDT", "amount": "1000000"}),
        _command(
            "strategy.start",
            {"strategy_id": "cross", "kind": "ma_cross", "instruments": ["BTC-USDT"], **_PARAMETERS},
        ),
    ]


def _command(name: str, arguments: dict[str, Scalar | list[Scalar]]) -> OperatorCommand:
    return OperatorCommand(
        ts_ns=bitcoin().ts_ns, who="bench", role="admin", command=name, arguments=arguments
    )


assert EVERY_EVENTS > _FRAME * _FRAMES_A_WRITE, "a snapshot is looked for often enough"
