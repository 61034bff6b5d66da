"""A headless chromium, driven over its debugging WebSocket; tests are skipped where there is none."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
START_SECONDS = 30.0


class Page:
    """One tab. `errors` are uncaught exceptions, `refused` what the page's own policy blocked."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.ensure_future(self._read())
        self.errors: list[str] = []
        self.requested: list[str] = []

    async def _read(self) -> None:
        async for message in self._socket:
            document = message.json()
            if "id" in document:
                self._waiting.pop(document["id"]).set_result(document)
            elif document["method"] == "Runtime.exceptionThrown":
                details = document["params"]["exceptionDetails"]
                self.errors.append(str(details.get("exception", details)))
            elif document["method"] == "Log.entryAdded":
                entry = document["params"]["entry"]
                if entry["level"] == "error":
                    self.errors.append(f"{entry['text']} {entry.get('url', '')}")
            elif document["method"] == "Network.requestWillBeSent":
                self.requested.append(document["params"]["request"]["url"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        document = await asyncio.wait_for(answer, 20)
        assert "error" not in document, document["error"]
        return document["result"]

    async def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, expression: str, *, seconds: float = 10.0) -> Any:
        """Wait until an expression is true; return its value."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            value = await self.run(expression)
            if value:
                return value
            assert asyncio.get_running_loop().time() < end, f"not within {seconds} s: {expression}"
            await asyncio.sleep(0.05)

    async def open(self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "dark") -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def close(self) -> None:
        self._reader.cancel()
        await self._socket.close()


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A fresh tab of a fresh browser."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    profile = tmp_path / "profile"
    browser = await asyncio.create_subprocess_exec(
        program,
        *FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_SECONDS), ClientSession() as session:
            # Another process writes the file, and for a moment it is there and empty.
            while not (words := _words(profile / "DevToolsActivePort")):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            port = words[0]
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
        async with (
            ClientSession() as session,
            session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket,
        ):
            page = Page(socket)
            yield page
            await page.close()
    finally:
        browser.terminate()
        await browser.wait()
