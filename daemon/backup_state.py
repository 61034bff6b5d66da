"""How the last backups went, as `DATA/backup.json` tells: written by `taped backup`, read by the daemon.

The daemon makes no backup and reads none; it tells how old the last good one is. The file is small,
replaced as a whole, and believed only where it says what it must.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from daemon.journal.disk import DISK
from daemon.settings import BackupSettings

FILE = "backup.json"
MAX_BYTES = 65_536
LOOK_S = 5.0
AHEAD_S = 86_400.0
"""A backup from so far ahead was made while the clock was wrong: it is of unknown age, not new for ever."""
_MAX_TEXT = 2000


class GoodBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup that was restored and found right.

    Attributes:
        name: what it is called in its target.
        target: where it lies.
        journal: id of the journal.
        last_seq: the last event in it.
        made_ns: when it was begun.
        verified_ns: when it was found right.
        length: bytes of its files.
    """

    name: str
    target: str
    journal: str
    last_seq: int
    made_ns: int
    verified_ns: int
    length: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last run of `taped backup create`.

    Attributes:
        begun_ns: when.
        seconds: how long it took.
        problem: why it failed, or empty.
    """

    begun_ns: int
    seconds: float
    problem: str = ""


class BackupState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of backups of one data folder."""

    good: GoodBackup | None = None
    attempt: Attempt | None = None


def read_state(data: Path) -> BackupState | None:
    """Return the state of a data folder; None where the file says nothing that can be believed."""
    try:
        with (data / FILE).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return BackupState()
    except OSError:
        return None
    try:
        return msgspec.json.decode(content[:MAX_BYTES], type=BackupState)
    except msgspec.MsgspecError:
        return None


def write_state(data: Path, state: BackupState) -> None:
    """Replace the state of a data folder, durably.

    Raises:
        OSError: the disk refused; the former one is there.
    """
    if state.attempt is not None and len(state.attempt.problem) > _MAX_TEXT:
        attempt = msgspec.structs.replace(state.attempt, problem=state.attempt.problem[:_MAX_TEXT])
        state = msgspec.structs.replace(state, attempt=attempt)
    draft = data / f"{FILE}.tmp"
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(data / FILE)
    DISK.sync_directory(data)


class BackupWatch:
    """What the daemon tells of backups; looks at the file at most every few seconds.

    Args:
        data: the data folder.
        settings: whether backups are expected, and how old the last good one may be.
        clock_ns: the time of day.
        pace_s: a clock that never goes back.
    """

    def __init__(
        self,
        data: Path,
        settings: BackupSettings,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        pace_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._data = data
        self._settings = settings
        self._clock_ns = clock_ns
        self._pace_s = pace_s
        self._look_at = pace_s()
        self._state: BackupState | None = BackupState()

    @property
    def expected(self) -> bool:
        """Whether the settings name a place for backups."""
        return bool(self._settings.target)

    @property
    def state(self) -> BackupState | None:
        """The state of a few seconds ago at most; None where the file cannot be believed."""
        now_s = self._pace_s()
        if now_s >= self._look_at:
            self._look_at = now_s + LOOK_S
            self._state = read_state(self._data)
        return self._state

    @property
    def age_s(self) -> float | None:
        """How old the last good backup is; None where there is none, or the clock was wrong."""
        state = self.state
        if state is None or state.good is None:
            return None
        age_s = (self._clock_ns() - state.good.made_ns) / 1e9
        return max(0.0, age_s) if age_s > -AHEAD_S else None

    @property
    def old(self) -> bool:
        """Whether there should be a newer one, or a first one."""
        age_s = self.age_s
        return self.expected and (age_s is None or age_s > self._settings.max_age_hours * 3600)

    @property
    def failed(self) -> str:
        """Why the last attempt failed, or empty."""
        state = self.state
        return "" if state is None or state.attempt is None else state.attempt.problem

    def reasons(self) -> list[str]:
        """Return what is wrong, for /health."""
        if not self.expected:
            return []
        found = []
        if self.state is None:
            found.append(f"{self._data / FILE} cannot be read: nobody knows how old the last backup is")
        elif self.old:
            found.append(self._age_told())
        if self.failed:
            found.append(f"the last backup failed: {self.failed}")
        return found

    def _age_told(self) -> str:
        age_s, most = self.age_s, self._settings.max_age_hours
        if age_s is None and self.state is not None and self.state.good is not None:
            return f"the last good backup, {self.state.good.name}, is from the future: the clock was wrong"
        if age_s is None:
            return "there is no backup yet; `taped backup create` makes one"
        return f"the last good backup is {age_s / 3600:.0f} hours old, {most:g} are allowed"

    def document(self) -> dict[str, Any]:
        """Return it as /health answers."""
        age_s = self.age_s
        good = None if self.state is None else self.state.good
        return {
            "state": self._word(),
            "age_s": None if age_s is None else round(age_s),
            "last_seq": None if good is None else good.last_seq,
        }

    def _word(self) -> str:
        if not self.expected:
            return "off"
        if self.failed:
            return "failed"
        return "old" if self.state is None or self.old else "ok"
