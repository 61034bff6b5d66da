"""A line to a server that breaks where it is told to: a TCP proxy on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

TO_SERVER, FROM_SERVER = "to the server", "from the server"
_CHUNK = 65_536


class Line:
    """Forwards bytes both ways, until a break.

    Args:
        port: of the server.

    Attributes:
        port: where the proxy listens.
        passed: bytes that went through, by direction.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._break: tuple[str, int, Callable[[], object]] | None = None
        self._muted = False
        self.port = 0
        self.passed = {TO_SERVER: 0, FROM_SERVER: 0}

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    def break_at(self, direction: str, byte: int, action: Callable[[], object]) -> None:
        """Let so many more bytes through in that direction, then act, once."""
        self._break = (direction, self.passed[direction] + byte, action)

    def mute(self) -> None:
        """Let nothing through from the server any more."""
        self._muted = True

    def cut(self) -> None:
        """Break all connections, at once and without a goodbye."""
        self._break = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self._break, self._muted = None, False

    async def close(self) -> None:
        self.cut()
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, server_writer)
        self._writers.update(pair)
        await asyncio.gather(
            self._forward(reader, server_writer, TO_SERVER), self._forward(server_reader, writer, FROM_SERVER)
        )
        for end in pair:
            end.transport.abort()
            self._writers.discard(end)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                left = self._left(way)
                if left is not None and left < len(data):
                    data, action = data[:left], self._break[2]
                else:
                    action = None
                self.passed[way] += len(data)
                if not (self._muted and way == FROM_SERVER):
                    sink.write(data)
                    await sink.drain()
                if action is not None:
                    # What was let through must be there before the break.
                    await asyncio.sleep(0.002)
                    self._break = None
                    action()
        sink.transport.abort()

    def _left(self, way: str) -> int | None:
        if self._break is None or self._break[0] != way:
            return None
        return max(0, self._break[1] - self.passed[way])
