"""Connections are bounded in number and in silence: each holds a file descriptor the journal may need."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from daemon.api import serving
from daemon.api.serving import ApiError, note_request, serve
from daemon.settings import ApiSettings


async def answer(request: web.Request) -> web.Response:
    note_request(request)
    return web.Response(text="here")


@pytest.fixture
async def port(monkeypatch):
    monkeypatch.setattr(serving, "FIRST_REQUEST_SECONDS", 0.3)
    app = web.Application()
    app.router.add_get("/", answer)
    runner, url = await serve(app, ApiSettings(port=0, max_connections=8))
    yield int(url.rpartition(":")[2])
    await runner.cleanup()


async def ask(reader, writer) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)


async def test_a_silent_connection_is_closed(port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_half_a_request_is_silence_too(port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b""
    writer.close()


async def test_a_connection_that_asked_stays_open(port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert b"200" in await ask(reader, writer)
    await asyncio.sleep(0.6)
    assert b"200" in (await ask(reader, writer) + await reader.readuntil(b"200"))
    writer.close()


async def test_a_connection_over_the_limit_is_told_to_come_again(port) -> None:
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
    await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert b"503" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    for _, other in held:
        other.close()
    await asyncio.sleep(0.1)
    reader, again = await asyncio.open_connection("127.0.0.1", port)
    assert b"200" in await ask(reader, again)
    writer.close()
    again.close()


async def test_a_port_in_use_is_told_with_what_to_do(port) -> None:
    with pytest.raises(ApiError, match="is another taped running"):
        await serve(web.Application(), ApiSettings(port=port))
