"""`python -m tests.crash.sync.kill_matrix --rounds 1000`: the sync is cut anywhere, nothing is lost or twice.

Each round ships a small journal of all kinds of events in packets, over a line that can break. At a
random place one of them goes: the line (at a byte, in either direction, at a step of a transaction, or
with the answer to the COMMIT), the server (kill -9 of it and all its children), or the process that
ships (kill -9). What is in the database then must be exactly the events up to its watermark; the next
round goes on from there, and in the end counts and content hash must be those of the journal. On
TimescaleDB what is there becomes columns after the cut, and the rest arrives beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import asyncpg

from daemon.breaker import OutsideError
from daemon.journal.writer import JournalWriter
from daemon.settings import SyncSettings
from daemon.sync.errors import DatabaseAwayError
from daemon.sync.process import SyncProcess
from daemon.sync.run import Target, ship_all
from daemon.sync.schema_features import Features
from daemon.sync.schema_server import Edition
from daemon.sync.schema_setup import set_up
from daemon.sync.shipper import Step
from daemon.sync.tables import INSTRUMENTS, TABLES
from daemon.sync.verify import Comparison, compare
from schemas.events import (
    AssetClass,
    Bar,
    BarSide,
    ClockTicked,
    Event,
    InstrumentDefined,
    Liquidity,
    OperatorCommand,
    OrderFilled,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    Quote,
    SensorsRead,
    Side,
    Trade,
)
from tests.crash.sync.line import FROM_SERVER, TO_SERVER, Line
from tools.bench.postgres import PostgresServer

FRAME = 20
FRAMES = 12
PACKET = 60
T0 = 1_700_000_000 * 10**9

LINE_BYTE, LINE_STEP, ANSWER, SERVER_BYTE, SERVER_STEP, PROCESS = (
    "line at a byte",
    "line at a step",
    "answer to the COMMIT",
    "server at a byte",
    "server at a step",
    "process at a byte",
)
OFTEN = (LINE_BYTE,) * 10 + (LINE_STEP,) * 7 + (ANSWER,) * 3
RARELY = (SERVER_BYTE, SERVER_STEP, PROCESS)
"""Each costs a start of a process; one round in eight."""


class LostError(Exception):
    """An event is missing in the database, or there twice, or another."""


def make_journal(directory: Path, chance: random.Random) -> None:
    """Write a journal of all kinds of events."""
    with JournalWriter.open(directory, segment_bytes=1 << 20) as writer:
        for frame in range(FRAMES):
            events = [_event(frame * FRAME + n, chance) for n in range(FRAME)]
            writer.append([_instrument(frame), *events] if frame % 7 == 0 else events)


def _instrument(number: int) -> InstrumentDefined:
    return InstrumentDefined(
        ts_ns=T0, instrument_id=1, symbol=f"COIN{number}", venue="demo", asset_class=AssetClass.CRYPTO,
        base_currency="COIN", quote_currency="USDT", price_scale=2 + number % 3, quantity_scale=8,
    )  # fmt: skip


def _event(number: int, chance: random.Random) -> Event:
    ts_ns = T0 + number * 10**8
    market = {"ts_ns": ts_ns, "received_ns": ts_ns + 5, "instrument_id": 1}
    return chance.choice([
        Trade(**market, price=number, quantity=7, aggressor=Side.BUY, trade_id=number),
        Trade(**market, price=number, quantity=7, aggressor=Side.SELL, trade_id=f"t{number}", exchange="X"),
        Quote(**market, bid_price=number, bid_quantity=None, ask_price=number + 1, ask_quantity=3),
        Bar(**market, interval_ns=10**9, side=BarSide.TRADE, open=1, high=9, low=1, close=number),
        OrderRequested(
            ts_ns=ts_ns, instrument_id=1, side=Side.BUY, order_type=OrderType.LIMIT, quantity=number,
            price=5, source="operator:me", client_id=f"c{number}",
        ),
        OrderSubmitted(ts_ns=ts_ns, order_id=number, client_order_id=f"{number}", venue="demo"),
        OrderFilled(
            **market, order_id=number, side=Side.BUY, price=5, quantity=1, fee=3, fee_scale=8,
            fee_currency="USDT", liquidity=Liquidity.TAKER, venue_trade_id=f"v{number}",
        ),
        SensorsRead(ts_ns=ts_ns, readings={"cpu_celsius": number / 7, "fan_rpm": None}),
        ClockTicked(ts_ns=ts_ns, synchronized=True),
        OperatorCommand(ts_ns=ts_ns, who="me", role="admin", command="x", arguments={"x": [1.5, None]}),
    ])  # fmt: skip


class Matrix:
    """A server, a line to it, a journal, and what a whole shipment of it comes to.

    Args:
        folder: scratch space that a server which is not root can reach.
        chance: where and what is cut.
        dsn: an empty database of a server that is there; it cannot be killed then.
    """

    def __init__(self, folder: Path, chance: random.Random, dsn: str | None = None) -> None:
        self._chance = chance
        self._folder = folder
        self._directory = folder / "data" / "journal"
        self._dsn_file = folder / "dsn"
        self._server = PostgresServer(folder / "postgres") if dsn is None else None
        self._dsn = self._server.dsn() if self._server is not None else dsn or ""
        self._line = Line(_port_of(self._dsn))
        self._whole = Comparison(0, 0)
        self._length: dict[str, int] = {}
        self._killed = False
        self._columnar = False
        self.done: Counter[str] = Counter()

    async def open(self) -> None:
        """Start everything, and ship once without a cut to know what is right."""
        self._folder.chmod(0o711)  # The server may be another user.
        make_journal(self._directory, self._chance)
        if self._server is not None:
            self._server.start()
        connection = await asyncpg.connect(self._dsn)
        ready = await set_up(connection, Features())
        self._columnar = ready.server.edition is Edition.COMMUNITY
        await connection.close()
        await self._line.open()
        self._dsn_file.touch(0o600)
        self._dsn_file.write_text(self._lined)
        await self._ship(self._lined)
        self._length = dict(self._line.passed)
        self._whole = await self._compared()

    @property
    def _lined(self) -> str:
        """How to reach the database over the line."""
        return self._dsn.replace(f":{_port_of(self._dsn)}/", f":{self._line.port}/")

    async def close(self) -> None:
        await self._line.close()
        if self._server is not None:
            self._server.stop()

    async def round(self) -> str:
        """Empty the database, ship with a cut, look, ship the rest, look again; return what was cut."""
        await self._empty()
        rare = RARELY if self._server is not None else (PROCESS,)
        kind = self._chance.choice(OFTEN if self._chance.random() > 1 / 8 else rare)
        self.done[kind] += 1
        place = await self._cut(kind)
        self._line.mend()
        if self._killed and self._server is not None:
            await asyncio.to_thread(self._server.start)
            self._killed = False
        await self._until_quiet()
        found = await self._compared(f"after a cut of {place}")
        if found.last_seq < self._whole.last_seq:
            if self._columnar:
                await self._make_columns()
            await self._ship(self._dsn)
            found = await self._compared(f"in the end, after a cut of {place}")
        if (found.events, found.sha256) != (self._whole.events, self._whole.sha256):
            raise LostError(f"a cut of {place}: {found}, expected {self._whole}")
        return place

    async def _cut(self, kind: str) -> str:
        match kind:
            case "line at a byte" | "server at a byte" | "process at a byte":
                way = self._chance.choice([TO_SERVER, FROM_SERVER])
                byte = self._chance.randrange(self._length[way])
                if kind == PROCESS:
                    await self._ship_by_process(way, byte)
                else:
                    self._line.break_at(way, byte, self._line.cut if kind == LINE_BYTE else self._kill)
                    await self._ship(self._lined, cut=True)
                return f"the {kind} {byte} {way}"
            case _:
                step = Step.AFTER_WATERMARK if kind == ANSWER else self._chance.choice(list(Step))
                at = self._chance.randrange(5)
                acts = {LINE_STEP: self._line.cut, SERVER_STEP: self._kill, ANSWER: self._lose_answer}
                await self._ship(self._lined, at=_at(step, at, acts[kind]), cut=True)
                return f"the {kind}: {step}, time {at}"

    def _kill(self) -> None:
        assert self._server is not None
        self._server.kill()
        self._killed = True
        self._line.cut()

    def _lose_answer(self) -> None:
        self._line.mute()
        asyncio.get_running_loop().call_later(0.03, self._line.cut)

    async def _ship_by_process(self, way: str, byte: int) -> None:
        settings = SyncSettings(enabled=True, dsn_file=self._dsn_file, batch_events=PACKET)
        process = SyncProcess(self._directory.parent, settings)
        self._line.break_at(way, byte, lambda: os.kill(process.pid or 0, signal.SIGKILL))
        try:
            await process.ship(10.0)
        except OutsideError:
            pass
        finally:
            await process.stop()

    async def _ship(
        self, dsn: str, *, at: Callable[[Step], object] = lambda _: None, cut: bool = False
    ) -> None:
        try:
            await ship_all(self._directory, Target(dsn, "", PACKET, at))
        except DatabaseAwayError:
            if not cut:
                raise

    async def _empty(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        names = [table.name for table in (*TABLES, INSTRUMENTS)]
        # Of so few rows a deletion costs a tenth of a TRUNCATE.
        for name in (*names, "watermarks"):
            await connection.execute(f"DELETE FROM taped.{name}")
        await connection.close()

    async def _make_columns(self) -> None:
        """Compress what is there, so that the rest arrives in chunks that are columns already."""
        connection = await asyncpg.connect(self._dsn)
        for table in TABLES:
            chunks = f"show_chunks('taped.{table.name}')"
            await connection.execute(f"SELECT compress_chunk(c, if_not_compressed => true) FROM {chunks} c")
        await connection.close()

    async def _until_quiet(self) -> None:
        """Wait until the server has given up what a cut line left behind: no other connection works."""
        connection = await asyncpg.connect(self._dsn)
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'taped'"
        while await connection.fetchval(query):  # noqa: ASYNC110  # Nobody tells.
            await asyncio.sleep(0.005)
        await connection.close()

    async def _compared(self, when: str = "") -> Comparison:
        connection = await asyncpg.connect(self._dsn)
        known = await connection.fetchval("SELECT count(*) FROM taped.watermarks")
        await connection.close()
        if not known:
            return Comparison(1, 0)
        found = await compare(self._dsn, self._directory)
        if not found.passed or found.events != found.last_seq:
            raise LostError(f"{when}: {found}")
        return found


def _at(step: Step, time_: int, act: Callable[[], object]) -> Callable[[Step], None]:
    seen = Counter[Step]()

    def look(reached: Step) -> None:
        if reached is step:
            if seen[step] == time_:
                act()
            seen[step] += 1

    return look


def _port_of(dsn: str) -> int:
    return int(dsn.rpartition("@")[2].partition("/")[0].rpartition(":")[2])


async def run(folder: Path, rounds: int, seed: int, dsn: str | None = None) -> Counter[str]:
    """Run so many rounds; return how many of each kind.

    Raises:
        LostError: the database did not hold what it should.
    """
    matrix = Matrix(folder, random.Random(seed), dsn)
    await matrix.open()
    try:
        for _ in range(rounds):
            await matrix.round()
    finally:
        await matrix.close()
    return matrix.done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dsn", help="an empty database of another server, which is not killed")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="taped-kill-") as folder:
        done = asyncio.run(run(Path(folder), arguments.rounds, arguments.seed, arguments.dsn))
    told = ", ".join(f"{count} {kind}" for kind, count in done.most_common())
    sys.stdout.write(
        f"{arguments.rounds} rounds in {time.monotonic() - started:.0f} s ({told}): each ended with the "
        "journal's counts and content hash\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
