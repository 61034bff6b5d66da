"""A small data folder with a plain, an archived and an open segment, and a target to back it up to."""

from __future__ import annotations

import argparse
import asyncio
import json

import pytest

from daemon.api.access import Access
from daemon.journal.archive import archive_journal
from daemon.journal.writer import JournalWriter
from daemon.trading.strategies import STRATEGIES
from schemas.events import Trade
from tests.daemon.journal.conftest import crash
from tests.tools.conftest import MARKET, NOW
from tools.backup import command
from tools.backup.run import Proving

SMALL = 1 << 20


def ticks(first: int, count: int) -> list[Trade]:
    return [
        Trade(
            ts_ns=NOW + n,
            received_ns=NOW + n,
            instrument_id=1,
            price=6_000_000 + 10 * (n % 50),
            quantity=1000 + n,
        )
        for n in range(first, first + count)
    ]


def fill(data, segments: int = 3, each: int = 200) -> None:
    """Write a journal: all but the last segment sealed, the first one archived, the last as after a crash."""
    writer = JournalWriter.open(data / "journal", segment_bytes=SMALL)
    writer.append(MARKET)
    for n in range(segments):
        if n:
            writer._roll()
        for at in range(0, each, 50):
            writer.append(ticks(n * each + at, 50))
    crash(writer)
    archive_journal(data / "journal", keep=segments - 1)
    asyncio.run(make_access(data))


async def make_access(data) -> None:
    await (await Access.open(data)).close()


@pytest.fixture
def data(tmp_path):
    """A data folder of 602 events in three segments."""
    folder = tmp_path / "data"
    folder.mkdir()
    fill(folder)
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.fixture
def proving(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Proving("replay", STRATEGIES, (), scratch)


class Taped:
    """`taped backup` with its target, as called in this process."""

    def __init__(self, target, capsys) -> None:
        self._target = target
        self._capsys = capsys

    def __call__(self, action, *words, data=None) -> int:
        flags = ["--target", self._target] + (["--data", data] if data else [])
        parser = argparse.ArgumentParser()
        command.add(parser.add_subparsers())
        arguments = parser.parse_args([str(word) for word in ("backup", action, *words, *flags)])
        return arguments.run(arguments)

    def json(self, action, *words, data=None):
        """Call it and return what it printed; it must say that all is well."""
        self._capsys.readouterr()
        assert self(action, *words, "--json", data=data) == 0
        return json.loads(self._capsys.readouterr().out)

    def told(self, action, *words, data=None) -> str:
        self._capsys.readouterr()
        assert self(action, *words, data=data) == 0
        return self._capsys.readouterr().out


@pytest.fixture
def taped(target, capsys):
    return Taped(target, capsys)


def tree(folder):
    """What a folder holds: relative path to content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
