"""A daemon without feeds: real journal, core, paper venue, read model and API on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from daemon.api.access import Access
from daemon.api.app import create_app
from daemon.api.serving import serve
from daemon.backup_state import BackupWatch
from daemon.engine import Engine
from daemon.journal.writer import JournalWriter
from daemon.readmodel.projector import Projector
from daemon.readmodel.queries import ReadModelQueries
from daemon.settings import ApiSettings, BackupSettings
from daemon.trading.core import Core
from daemon.upkeep import UpkeepStatus
from daemon.venue.paper import PaperVenue
from schemas.events import AssetClass, InstrumentDefined, OperatorCommand, Quote, Trade

NOW = 1_700_000_000_000_000_000
BTC = InstrumentDefined(
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
)
DEPOSIT = OperatorCommand(
    ts_ns=NOW,
    who="test",
    role="admin",
    command="account.deposit",
    arguments={"currency": "USDT", "amount": "100000"},
)


def quote(bid: int, ask: int, *, ts_ns: int = NOW) -> Quote:
    return Quote(
        ts_ns=ts_ns,
        received_ns=ts_ns,
        instrument_id=1,
        bid_price=bid,
        bid_quantity=1_000_000,
        ask_price=ask,
        ask_quantity=1_000_000,
    )


def trade(price: int, *, ts_ns: int = NOW, quantity: int = 1000) -> Trade:
    return Trade(ts_ns=ts_ns, received_ns=ts_ns, instrument_id=1, price=price, quantity=quantity)


class Rig:
    """The parts, and a client that knows the admin's token."""

    engine: Engine
    projector: Projector
    backups: BackupWatch
    upkeep: UpkeepStatus
    access: Access
    session: ClientSession
    app: web.Application
    url: str
    token: str
    data: Path

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.get(self.url + path, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def post(self, document: Any, **options: Any) -> tuple[int, Any]:
        options.setdefault("headers", self.auth)
        async with self.session.post(f"{self.url}/api/v1/orders", json=document, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def delete(self, order_id: int) -> tuple[int, Any]:
        async with self.session.delete(f"{self.url}/api/v1/orders/{order_id}", headers=self.auth) as answer:
            return answer.status, await answer.json(content_type=None)

    async def quote(self, bid: int, ask: int) -> None:
        await self.engine.publish([quote(bid, ask)])

    async def settle(self) -> None:
        """Wait until everything taken is durable, answered by the venue and shown."""
        while True:
            seq = self.engine.next_seq - 1
            await self.engine.durable(seq)
            while self.projector.applied_seq < seq:  # noqa: ASYNC110  # a thread moves it
                await asyncio.sleep(0.002)
            if self.engine.next_seq - 1 == seq:
                return


@asynccontextmanager
async def running(data: Path, *, host: str = "127.0.0.1", max_websockets: int = 8) -> AsyncIterator[Rig]:
    data.mkdir(exist_ok=True)  # noqa: ASYNC240  # a test may block
    writer = JournalWriter.open(data / "journal", segment_bytes=1 << 20)
    core = Core(writer.journal_id)
    rig = Rig()
    rig.data = data
    rig.projector = Projector(data / "readmodel.db", data / "journal")
    rig.projector.start()
    rig.engine = Engine(core, writer, PaperVenue(maker_fee_ppm=100, taker_fee_ppm=200), linger_s=0.002)
    rig.engine.subscribe(lambda batch: rig.projector.offer(batch.first_seq, batch.events))
    queries = ReadModelQueries(data / "readmodel.db")
    rig.access = await Access.open(data)
    rig.token = (data / "admin.token").read_text().strip()
    settings = ApiSettings(host=host, port=0, max_websockets=max_websockets)
    rig.backups = BackupWatch(data, BackupSettings())
    rig.upkeep = UpkeepStatus()
    rig.upkeep.archive.enabled = rig.upkeep.retention.enabled = True
    rig.app = app = create_app(
        rig.engine,
        queries,
        rig.access,
        projection=rig.projector,
        settings=settings,
        upkeep=rig.upkeep,
        backups=rig.backups,
    )
    runner, rig.url = await serve(app, settings)
    rig.session = ClientSession(timeout=ClientTimeout(total=20))
    try:
        yield rig
    finally:
        await rig.session.close()
        await runner.cleanup()
        queries.close()
        await rig.engine.close([], timeout_s=5)
        await asyncio.sleep(0)
        await asyncio.to_thread(rig.projector.stop)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A running daemon that knows BTC-USDT at 60,000.00 / 60,000.10 and holds 100,000 USDT."""
    async with running(tmp_path / "data") as rig:
        await rig.engine.execute([BTC, DEPOSIT])
        await rig.engine.publish([quote(6_000_000, 6_000_010), trade(6_000_000)])
        await rig.settle()
        yield rig


@pytest.fixture
def limit_order() -> dict[str, Any]:
    """A limit order far below the market, which rests."""
    return {
        "instrument": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "quantity": "0.5",
        "price": "50000.10",
    }
