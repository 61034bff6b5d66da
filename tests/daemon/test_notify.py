from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.notify import ServiceManager
from daemon.progress import Progress


class Receiver:
    """What a service manager hears."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    receiver = Receiver(str(tmp_path / "notify"))
    yield receiver
    receiver.socket.close()


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}


def test_ready_status_and_stopping_are_told_in_the_words_of_the_protocol(receiver, tmp_path) -> None:
    manager = ServiceManager(environment(tmp_path))
    manager.ready("at http://127.0.0.1:1")
    manager.stopping()
    first, last = receiver.heard()
    assert first == "READY=1\nSTATUS=at http://127.0.0.1:1"
    assert last.startswith("STOPPING=1\n")


def test_without_a_service_manager_nothing_is_told_and_nothing_fails() -> None:
    manager = ServiceManager({})
    manager.ready("x")
    manager.stopping()
    assert manager.watchdog_s is None


def test_a_service_manager_that_is_gone_is_no_fault_of_the_daemon(tmp_path) -> None:
    ServiceManager(environment(tmp_path)).ready("x")


def test_an_abstract_socket_is_understood() -> None:
    name = f"taped-test-{os.getpid()}"
    receiver = Receiver(f"\0{name}")
    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready("x")
    assert receiver.heard() == ["READY=1\nSTATUS=x"]
    receiver.socket.close()


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_taken_only_where_it_waits_for_this_process(words, seconds) -> None:
    assert ServiceManager(words).watchdog_s == seconds


async def pings(manager: ServiceManager, progress: Progress, receiver: Receiver, seconds: float) -> list[str]:
    task = asyncio.create_task(manager.keep_alive(progress))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait({task})
    return receiver.heard()


async def test_pings_come_several_times_a_period_while_every_part_gets_on(receiver, tmp_path) -> None:
    manager = ServiceManager(environment(tmp_path, WATCHDOG_USEC="200000"))
    heard = await pings(manager, Progress(), receiver, 0.4)
    assert set(heard) == {"WATCHDOG=1"}
    assert len(heard) >= 4


@pytest.mark.parametrize("part", ["loop", "journal", "thermal"])
async def test_a_part_that_stands_still_ends_the_pings_and_is_named(receiver, tmp_path, part) -> None:
    manager = ServiceManager(environment(tmp_path, WATCHDOG_USEC="200000"))
    progress = Progress()
    progress.watch(part, lambda: 0)
    heard = await pings(manager, progress, receiver, 0.4)
    assert heard == [f"STATUS=no progress of {part}"]


async def test_pings_go_on_when_the_part_gets_on_again(receiver, tmp_path) -> None:
    manager = ServiceManager(environment(tmp_path, WATCHDOG_USEC="200000"))
    now = 10**9
    progress = Progress(clock_ns=lambda: now)
    last = [0]
    progress.watch("journal", lambda: last[0])
    assert "WATCHDOG=1" not in await pings(manager, progress, receiver, 0.1)
    last[0] = now
    assert "WATCHDOG=1" in await pings(manager, progress, receiver, 0.1)
