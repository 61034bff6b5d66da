"""One backtest in a process of its own, so that its peak of memory is its own: figures as a line of JSON.

Run as `python -m tools.bench.one_backtest JOURNAL KIND [NAME=VALUE ...]`. The clock runs from opening
the journal to the result: reading, checking, decoding, deciding, filling and accounting.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import msgspec

from daemon.journal.reader import JournalReader
from daemon.trading.core import Core
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from replay.backtest import JOURNAL_ID, run_backtest
from schemas.events import Trade
from tools.bench.peers import Figures
from tools.bench.process import resident_mb
from tools.parameters import parse_pairs

FEE_PPM = 1_000


class Idle(Strategy):
    """Is told of each trade and does nothing."""

    kind = "idle"

    def on_trade(self, trade: Trade) -> None:
        """See `Strategy`."""


def main() -> None:
    """Run."""
    journal, kind, *pairs = sys.argv[1:]
    started = time.perf_counter()
    result = run_backtest(
        JournalReader(Path(journal)).batches(),
        strategy=kind,
        parameters=parse_pairs(pairs),
        maker_fee_ppm=FEE_PPM,
        taker_fee_ppm=FEE_PPM,
        core=Core(JOURNAL_ID, kinds={**STRATEGIES, Idle.kind: Idle}),
    )
    seconds = time.perf_counter() - started
    peak_mb = resident_mb(os.getpid(), "VmHWM")
    figures = Figures(version("taped"), seconds, result.events - 1, result.orders, result.fills, peak_mb)
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main()
