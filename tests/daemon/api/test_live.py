from __future__ import annotations

import asyncio
import socket as sockets

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from schemas.events import Trade

NOW = 1_700_000_000_000_000_000


def trade(price: int) -> Trade:
    return Trade(ts_ns=NOW, received_ns=NOW, instrument_id=1, price=price, quantity=10)


async def until(socket, wanted):
    """Read updates until one has what is wanted; return it."""
    async with asyncio.timeout(10):
        while True:
            message = await socket.receive_json()
            if wanted(message):
                return message


async def test_the_first_message_is_a_snapshot_of_everything(rig, limit_order) -> None:
    _, order = await rig.post(limit_order)
    await rig.settle()
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        snapshot = await socket.receive_json()
    assert snapshot["type"] == "snapshot"
    assert snapshot["seq"] == rig.engine.durable_seq
    assert snapshot["journal_id"] == rig.engine.journal_id
    [price] = snapshot["prices"]
    assert (price["last"], price["bid"], price["ask"]) == ("60000.00", "60000.00", "60000.10")
    assert [each["order_id"] for each in snapshot["orders"]] == [order["order_id"]]
    assert snapshot["account"]["balances"][0]["cash"] == "100000.00"
    assert snapshot["trading"]["state"] == "active"
    assert [each["symbol"] for each in snapshot["instruments"]] == ["BTC-USDT"]


async def test_a_snapshot_holds_working_orders_that_are_older_than_the_latest(
    rig, limit_order, monkeypatch
) -> None:
    monkeypatch.setattr("daemon.api.live.SNAPSHOT_ORDERS", 3)
    _, working = await rig.post(limit_order)
    market = {"instrument": 1, "side": "buy", "type": "market", "quantity": "0.00001"}
    latest = [(await rig.post(market))[1]["order_id"] for _ in range(5)][-3:]
    await rig.settle()
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        snapshot = await socket.receive_json()
    assert [each["order_id"] for each in snapshot["orders"]] == [working["order_id"], *latest]


async def test_a_fill_is_told_with_its_order_position_and_account(rig) -> None:
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        await socket.receive_json()
        _, order = await rig.post({"instrument": 1, "side": "buy", "type": "market", "quantity": "0.1"})
        update = await until(socket, lambda message: message.get("fills"))
        assert [fill["order_id"] for fill in update["fills"]] == [order["order_id"]]
        assert update["orders"][-1]["status"] == "filled"
        assert update["positions"][0]["quantity"] == "0.10000"
        assert update["account"]["balances"][0]["fees"] == "1.200002"


async def test_updates_tell_the_last_price_at_most_five_times_a_second(rig) -> None:
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        await socket.receive_json()
        told = []

        async def listen() -> None:
            while True:
                told.append(await socket.receive_json())

        listener = asyncio.ensure_future(listen())
        for step in range(100):
            await rig.engine.publish([trade(6_000_000 + 10 * (step + 1))])
            await asyncio.sleep(0.01)
        await rig.settle()
        await asyncio.sleep(0.3)
        listener.cancel()
        prices = [price["last"] for message in told for price in message.get("prices", [])]
        assert 3 <= len(prices) <= 8
        assert prices[-1] == "60010.00"


async def test_a_quiet_daemon_still_sends_a_heartbeat(rig) -> None:
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        await socket.receive_json()
        await socket.receive_json()
        async with asyncio.timeout(3):
            message = await socket.receive_json()
    assert message.keys() == {"type", "seq", "applied_seq", "reasons", "sync"}


async def test_a_client_that_does_not_read_is_dropped_and_others_are_not(rig, monkeypatch) -> None:
    monkeypatch.setattr("daemon.api.live.UPDATE_SECONDS", 0.002)
    monkeypatch.setattr("daemon.api.live.SNAPSHOT_FILLS", 0)
    host, port = rig.url.removeprefix("http://").split(":")
    slow = sockets.socket()
    slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    slow.connect((host, int(port)))
    slow.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    try:
        async with rig.session.ws_connect(f"{rig.url}/ws") as reader:
            async with asyncio.timeout(20):
                dropped = 0.0
                step = 0
                while not dropped:
                    step += 1
                    reason = "x" * 60_000
                    rig.projector.failed = f"{reason}{step}"
                    await rig.engine.publish([trade(6_000_000 + step)])
                    while (await reader.receive_json()).get("prices") is None:
                        pass
                    async with rig.session.get(f"{rig.url}/metrics") as answer:
                        lines = (await answer.text()).splitlines()
                    [line] = [line for line in lines if line.startswith("taped_websocket_dropped_total")]
                    dropped = float(line.split()[1])
            assert dropped == 1.0
            rig.projector.failed = None
            assert not reader.closed
    finally:
        slow.close()


async def test_more_clients_than_allowed_are_refused(rig) -> None:
    opened = [await rig.session.ws_connect(f"{rig.url}/ws") for _ in range(8)]
    with pytest.raises(WSServerHandshakeError) as caught:
        await rig.session.ws_connect(f"{rig.url}/ws")
    assert caught.value.status == 503
    for socket in opened:
        await socket.close()
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        assert (await socket.receive_json())["type"] == "snapshot"


async def test_a_message_that_is_too_long_ends_the_connection(rig) -> None:
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        await socket.receive_json()
        await socket.send_str("x" * 100_000)
        async with asyncio.timeout(5):
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                pass
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)
        assert socket.close_code in (1006, 1009)


async def test_clients_hear_that_the_daemon_stops(rig) -> None:
    async with rig.session.ws_connect(f"{rig.url}/ws") as socket:
        await socket.receive_json()
        await rig.app.shutdown()
        async with asyncio.timeout(5):
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                pass
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1001, "taped is stopping")
