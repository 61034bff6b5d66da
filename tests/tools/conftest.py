"""A whole daemon in a thread of its own, for commands that talk to one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.app import Daemon
from daemon.config import load
from schemas.events import AssetClass, Event, InstrumentDefined, Quote

NOW = 1_700_000_000_000_000_000
MARKET: list[Event] = [
    InstrumentDefined(
        ts_ns=NOW,
        instrument_id=1,
        symbol="BTC-USDT",
        venue="SIM",
        asset_class=AssetClass.CRYPTO,
        base_currency="BTC",
        quote_currency="USDT",
        price_scale=2,
        quantity_scale=5,
        tick_size=10,
    ),
    Quote(
        ts_ns=NOW,
        received_ns=NOW,
        instrument_id=1,
        bid_price=6_000_000,
        bid_quantity=10**6,
        ask_price=6_000_010,
        ask_quantity=10**6,
    ),
]


class RunningDaemon:
    """The daemon and what a command must be told to find it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        flags = {
            "data": self.data,
            "feed.kind": "none",
            "api.port": 0,
            "account.cash": {"USDT": "100000"},
            "journal.segment_mib": 1,
        }
        self.daemon = Daemon(load(None, {}, flags))
        await self.daemon.run(lambda _: self._ready.set())

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)
        self.call(self.daemon.engine.execute(MARKET))
        self.settle()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.daemon.stop, "the test ends")
        self._thread.join(20)
        assert not self._thread.is_alive()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the daemon's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def settle(self) -> None:
        """Let the venue answer and the read model follow."""
        end = time.monotonic() + 10
        quiet = 0
        while quiet < 2:
            assert time.monotonic() < end
            before = self.daemon.engine.next_seq
            time.sleep(0.05)
            still = before == self.daemon.engine.next_seq == self.daemon.engine.durable_seq + 1
            quiet = quiet + 1 if still else 0

    @property
    def url(self) -> str:
        return self.daemon.url

    @property
    def flags(self) -> list[str]:
        return ["--url", self.url, "--data", str(self.data)]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon without a feed that knows BTC-USDT at 60,000.00 / 60,000.10 and holds 100,000 USDT."""
    running = RunningDaemon(tmp_path / "daemon-data")
    running.start()
    yield running
    running.stop()
