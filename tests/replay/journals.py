"""Journals for tests of what plays them back: those of real daemons, and copies with something changed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from daemon.journal.disk import DISK
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.rewrite import FIRST, Rewriter
from daemon.journal.salvage import Place

USER_STRATEGY = '''
"""Buys and sells in turn, every so many trades."""

from daemon.trading.strategy import Strategy
from schemas.events import OrderType, Side


class Turns(Strategy):
    kind = "turns"
    parameters = ()

    def __init__(self, context, instruments, parameters):
        self.context, self.instrument = context, instruments[0]
        self.seen = 0

    def trade_hook(self, instrument_id):
        return self.on_trade

    def on_trade(self, trade):
        self.seen += 1
        if self.seen % 40 == 0:
            side = Side.BUY if self.seen % 80 else Side.SELL
            self.context.submit(trade.instrument_id, side, 1000, order_type=OrderType.MARKET)

    def dump(self):
        return {"seen": self.seen}

    def load(self, plain):
        self.seen = plain["seen"]
'''

CONFIGURATION = """
strategies_folder = "strategies"
[log]
level = "error"
[api]
port = 0
[feed]
kind = "simulated"
rate = 2000
[venue]
latency_us = 200
latency_spread_us = 3000
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
[strategies.mine]
kind = "turns"
instruments = ["SOL-USDT"]
"""


class Session:
    """A daemon in a process of its own, on a data folder that outlives it.

    Args:
        folder: for the configuration, the strategies and the data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.strategies = folder, folder / "data", folder / "strategies"
        self.strategies.mkdir()
        (self.strategies / "turns.py").write_text(USER_STRATEGY)
        (folder / "taped.toml").write_text(CONFIGURATION)

    def begin(self) -> tuple[subprocess.Popen[bytes], str]:
        """Start a daemon; return it and its address."""
        command = [sys.executable, "-m", "tools.cli", "run", "--json"]
        command += ["--config", str(self.folder / "taped.toml"), "--data", str(self.data)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        # It prints one JSON object once it is ready.
        text = b""
        for line in process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        return process, json.loads(text)["url"]

    def run(self, seconds: float, end: signal.Signals) -> None:
        """Let a daemon trade for some seconds, then end it by a signal."""
        process, _ = self.begin()
        time.sleep(seconds)
        process.send_signal(end)
        process.communicate(timeout=30)


def copy_changed(data: Path, out: Path, change) -> None:
    """Copy a journal, with new checksums; `change(seq, event)` gives each event."""
    directory, target = data / "journal", out / "journal"
    shutil.rmtree(out, ignore_errors=True)
    target.mkdir(parents=True)
    journal = JournalReader(directory)
    end, segments = FIRST, list_journal(directory)
    for name, after in zip(segments, [*segments[1:], None], strict=True):
        place = Place(name.number, name.first_seq, None, None)
        with Rewriter(target, place, bytes.fromhex(journal.journal_id), end, DISK) as writer:
            for batch in journal.batches(name.first_seq, None if after is None else after.first_seq - 1):
                events = [change(seq, event) for seq, event in enumerate(batch.events, batch.first_seq)]
                writer.append(events, batch.append_ns)
            end = writer.finish()
