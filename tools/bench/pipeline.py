"""Recorded Binance messages as bytes -> parsed -> decided -> durable -> projected, in one process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from daemon.engine import Engine
from daemon.journal.writer import JournalWriter
from daemon.readmodel.projector import Projector
from daemon.trading.core import Core
from daemon.venue.feeds.binance import BinanceParser
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.feeds.parsing import Tally
from daemon.venue.feeds.recordings import RawLines
from daemon.venue.paper import PaperVenue
from schemas.events import Event, OperatorCommand, Scalar
from tools.bench.interpreter import switching_like_the_daemon
from tools.bench.report import Result, in_turn
from tools.bench.samples import binance_lines

CHUNK_LINES = 1000
MAX_LINES = 80_000
_CROSS: dict[str, Scalar | list[Scalar]] = {
    "strategy_id": "bench",
    "kind": "ma_cross",
    "instruments": ["BTCUSDT"],
    "param.fast": 200,
    "param.slow": 1000,
    "param.quantity": "0.001",
}
_CASH: dict[str, Scalar | list[Scalar]] = {"currency": "USDT", "amount": "1000000"}


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `pipeline.binance`; events counted are trades and quotes that came out of the messages."""
    lines, source = binance_lines(market_data, MAX_LINES // 8 if quick else MAX_LINES)
    folders = iter(range(1000))
    rates = in_turn(
        {
            "pipeline": lambda: _pipeline(scratch / f"run{next(folders)}", lines),
            "parse_only": lambda: _parse_only(lines),
        },
        rounds=3,
    )
    return [
        Result(
            name="pipeline.binance",
            unit="events/s",
            value=rates["pipeline"],
            ratios={"parse_only": rates["pipeline"] / rates["parse_only"]},
            detail={"messages": len(lines), "source": source},
        )
    ]


def _chunks(lines: list[bytes]) -> list[list[bytes]]:
    return [lines[at : at + CHUNK_LINES] for at in range(0, len(lines), CHUNK_LINES)]


def _parse_only(lines: list[bytes]) -> float:
    parser, events = _parser(), 0
    started = time.perf_counter()
    for chunk in _chunks(lines):
        out: list[Event] = []
        parser.parse_lines(chunk, 1, out)
        events += len(out)
    return events / (time.perf_counter() - started)


def _parser() -> RawLines:
    tally = Tally()
    return RawLines(BinanceParser(InstrumentRegistry(), tally), tally)


def _pipeline(folder: Path, lines: list[bytes]) -> float:
    with switching_like_the_daemon():
        return asyncio.run(_run(folder, lines))


async def _run(folder: Path, lines: list[bytes]) -> float:
    writer = JournalWriter.open(folder / "journal")
    core = Core(writer.journal_id)
    projector = Projector(folder / "readmodel.db", folder / "journal")
    projector.start()
    engine = Engine(core, writer, PaperVenue(maker_fee_ppm=1000, taker_fee_ppm=1000))
    engine.subscribe(lambda batch: projector.offer(batch.first_seq, batch.events))
    parser, events = _parser(), 0
    commanded = False
    started = time.perf_counter()
    for chunk in _chunks(lines):
        out: list[Event] = []
        parser.parse_lines(chunk, 1, out)
        events += len(out)
        await engine.publish(out)
        if not commanded and core.instruments:
            engine.ingest([_command("account.deposit", _CASH), _command("strategy.start", _CROSS)])
            commanded = True
        await asyncio.sleep(0)
    last = engine.next_seq - 1
    await engine.durable(last)
    while projector.applied_seq < last:  # noqa: ASYNC110  # It has a thread, and tells no loop.
        await asyncio.sleep(0.001)
    seconds = time.perf_counter() - started
    await engine.close([], timeout_s=10)
    await asyncio.to_thread(projector.stop, timeout_s=10)
    return events / seconds


def _command(command: str, arguments: dict[str, Scalar | list[Scalar]]) -> OperatorCommand:
    return OperatorCommand(
        ts_ns=time.time_ns(), who="bench", role="admin", command=command, arguments=arguments
    )
