"""Tells the service manager how the daemon is, over the socket it names; silent where there is none.

The protocol is that of sd_notify(3): datagrams of lines `NAME=VALUE` to the socket in NOTIFY_SOCKET.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

from daemon.progress import Progress

log = logging.getLogger(__name__)

PINGS_PER_PERIOD = 4
"""A ping may be late by a scheduling hiccup or two before the service manager kills the process."""


class ServiceManager:
    """The way to the service manager; every call does nothing where there is none.

    Args:
        environment: holds NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID where a service manager started us.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with @ for the zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environment)

    def ready(self, status: str) -> None:
        """Say that the start is done."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say in one line what is going on, for `systemctl status`."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1\nSTATUS=draining orders, sealing the journal")

    async def keep_alive(self, progress: Progress) -> None:
        """Ping the watchdog as long as every part gets on; run on the loop, until cancelled.

        A ping is no timer's: this loop has to run for it, and a part that did nothing for a whole
        period of the watchdog stops it.
        """
        if self.watchdog_s is None or not self._address:
            return
        told: list[str] = []
        while True:
            stalled = progress.stalled(self.watchdog_s / 2)
            if not stalled:
                self._send("WATCHDOG=1")
            elif stalled != told:
                log.error("no progress of %s: the watchdog is no longer told to wait", ", ".join(stalled))
                self.status(f"no progress of {', '.join(stalled)}")
            told = stalled
            await asyncio.sleep(self.watchdog_s / PINGS_PER_PERIOD)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            # One socket for each of a few messages a second: 6 us.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                # A service manager that does not read must never hold the loop up.
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("the service manager was not told %s: %s", message.splitlines()[0], error)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's period where one waits for this very process."""
    text = environment.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(text) / 1e6
