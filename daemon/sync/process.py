"""The daemon's end of the sync process: starts it when it is needed, asks, and takes its answers."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from daemon.breaker import OutsideError
from daemon.settings import SyncSettings
from daemon.sync.messages import Report, Ship, SyncJob

MODULE = "daemon.sync.worker"
MAX_LINE = 65_536
_reports: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


class SyncProcess:
    """One process at a time; one that fails is killed, and another started for the next order.

    Args:
        data: the data folder.
        settings: where to, and how.
    """

    def __init__(self, data: Path, settings: SyncSettings) -> None:
        file = settings.dsn_file
        self._job = SyncJob(
            data=str(data.absolute()),
            dsn_file=None if file is None else str(file.absolute()),
            name=settings.name,
            batch_events=settings.batch_events,
        )
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process's number, while there is one."""
        return None if self._process is None else self._process.pid

    async def ship(self, seconds: float) -> Report:
        """Let it ship for a while.

        Raises:
            OutsideError: the process ended, or said what nobody understands.
        """
        try:
            process = self._process or await self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(Ship(seconds=seconds)) + b"\n")
            line = await process.stdout.readline()
            if not line:
                raise OutsideError(f"the sync process ended with {await process.wait()}")  # noqa: TRY301
            return _reports.decode(line)
        except (msgspec.MsgspecError, ConnectionError, ValueError) as error:
            await self.stop()
            raise OutsideError(f"the sync process cannot be talked to: {error}") from error
        except BaseException:
            # Cancelled in the midst of an order, its answer would be taken for that of the next one.
            await self.stop()
            raise

    async def _start(self) -> asyncio.subprocess.Process:
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self._job) + b"\n")
        return process

    async def stop(self) -> None:
        """End it; the database undoes what it was at."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
            # What was written in vain is told here, or as an error that nobody took.
            with suppress(OSError):
                await process.stdin.wait_closed()
