"""How long a start takes with ten million events of history and 50,000 orders that are over.

From the start of the process to its line that it is ready: the interpreter and the packages, the
journal's seals, the core from its snapshot, the read model's file, the API. Once after a clean stop,
once after kill -9 with as many events since the last snapshot as there can be and a segment that was
never sealed; and, to tell what of it is history, once with none.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from daemon.config import code_hash
from daemon.journal.writer import JournalWriter
from daemon.readmodel.writer import ReadModelWriter
from daemon.snapshots import EVERY_EVENTS, save
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue
from schemas.events import Event, OperatorCommand, OrderRequested, OrderType, Quote, Side, Trade
from tools.bench.process import running
from tools.bench.report import Result, in_turn
from tools.bench.samples import bitcoin, trades

EVENTS = 10_000_000
ORDERS = 50_000
_FRAME = 4_096
_CASH = "1000000000000"


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `start.clean_10m` and `start.killed_10m`, in seconds."""
    del market_data
    share = 10 if quick else 1
    events, orders, tail = EVENTS // share, ORDERS // share, EVERY_EVENTS // share
    _History(scratch / "clean", orders).write(events)
    _History(scratch / "killed", orders).write(events, tail=tail)
    taken = in_turn(
        {
            "clean": lambda: _start(scratch / "clean", scratch / "run"),
            "killed": lambda: _start(scratch / "killed", scratch / "run"),
            "empty": lambda: _start(None, scratch / "run"),
        },
        rounds=3 if quick else 7,
    )
    detail = {"events": events, "closed_orders": orders, "without_history_s": taken["empty"]}
    return [
        Result(
            name=f"start.{kind}_10m",
            unit="s",
            value=taken[kind],
            ratios={"empty": taken[kind] / taken["empty"]},
            detail={**detail, "history_s": taken[kind] - taken["empty"]},
        )
        for kind in ("clean", "killed")
    ]


def _start(history: Path | None, data: Path) -> float:
    """Start a daemon on a copy of the history; return the seconds until it was ready."""
    shutil.rmtree(data, ignore_errors=True)
    if history is not None:
        newest = max((history / "journal").glob("*.evl")).name
        shutil.copytree(history, data, copy_function=_copier(newest))
    started = time.perf_counter()
    with running(data, "run", "--log-level", "error", "--for", "60"):
        return time.perf_counter() - started


def _copier(newest: str) -> Callable[[str, str], None]:
    """Return what copies the files a daemon writes to, and links those it only reads."""

    def copy(source: str, target: str) -> None:
        if source.endswith(".evl") and not source.endswith(newest):
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    return copy


class _History:
    """Writes a data folder as a daemon leaves it: journal, read model, a snapshot of the core."""

    def __init__(self, data: Path, orders: int) -> None:
        self._data = data
        self._orders = orders
        self._ticks = trades(_FRAME)

    def write(self, events: int, *, tail: int = 0) -> None:
        """Write so many events, the last of them behind the snapshot; with a tail, stop as killed."""
        writer = JournalWriter.open(self._data / "journal")
        core = Core(writer.journal_id)
        self._trade(writer, core)
        while writer.next_seq < events - tail:
            self._append(writer, core)
        assert save(self._data, core, code_hash())
        while writer.next_seq < events:
            self._append(writer, core)
        self._project(writer)
        if tail:
            # As a killed process: no seal, the segment at its whole length.
            newest = max((self._data / "journal").glob("*.evl"))
            shutil.copy2(newest, newest.with_suffix(".killed"))
            writer.close()
            newest.with_suffix(".killed").replace(newest)
        else:
            writer.close()

    def _append(self, writer: JournalWriter, core: Core) -> None:
        core.replay(writer.next_seq, self._ticks)
        writer.append(self._ticks)

    def _trade(self, writer: JournalWriter, core: Core) -> None:
        """Let orders be filled at the market, one after the other."""
        first: Trade = self._ticks[0]
        quote = Quote(
            ts_ns=first.ts_ns,
            received_ns=first.ts_ns,
            instrument_id=1,
            bid_price=first.price,
            bid_quantity=10**15,
            ask_price=first.price,
            ask_quantity=10**15,
        )
        deposit = OperatorCommand(
            ts_ns=first.ts_ns,
            who="bench",
            role="admin",
            command="account.deposit",
            arguments={"currency": "USDT", "amount": _CASH},
        )
        venue = PaperVenue()
        pending: list[Event] = [bitcoin(), deposit, quote]
        recorded: list[Event] = []
        for number in range(self._orders):
            pending.append(
                OrderRequested(
                    ts_ns=first.ts_ns,
                    instrument_id=1,
                    side=Side.BUY if number % 2 else Side.SELL,
                    order_type=OrderType.MARKET,
                    quantity=10**6,
                    source="operator:bench",
                    client_id=f"bench-{number}",
                )
            )
            while pending:
                seq = core.next_seq
                merged, effects = core.run(pending)
                recorded += merged
                pending = venue.on_market(merged, seq) + venue.send(effects, core, first.ts_ns)
            if len(recorded) >= _FRAME:
                writer.append(recorded)
                recorded = []
        if recorded:
            writer.append(recorded)

    def _project(self, writer: JournalWriter) -> None:
        """Leave a read model at the journal's end; its rows are not what a start reads."""
        model = ReadModelWriter(self._data / "readmodel.db", writer.journal_id)
        model.apply(1, [bitcoin()])
        model.skip_to(writer.next_seq - 1)
        model.close()
