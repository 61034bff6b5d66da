"""Log records to standard error or a file, as lines or JSON, without holding up the loop that logs.

Whoever logs puts the record into a bounded queue; one thread formats and writes. A full queue drops
records, and the number of those dropped is logged as soon as there is room. Tokens never reach a
log: registered ones and whatever looks like one are blotted out after formatting.
"""

from __future__ import annotations

import copy
import glob
import json
import logging
import queue
import re
import sys
import time
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any, Self

from daemon.settings import LogSettings
from schemas.errors import TapedError

QUEUE_RECORDS = 10_000
_DAY_S = 86_400
_BLOT = "[secret]"
_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_LOOKS_SECRET = re.compile(
    r"(?i)(?P<name>bearer\s+|\b(?:token|password|secret|api_?key|authorization)[\"']?\s*[=:]\s*[\"']?)"
    r"(?!bearer\b)[^\s\"',;&]+"
)


class LogError(TapedError):
    """The log file cannot be opened."""


class Secrets:
    """Texts that must not appear in a log."""

    def __init__(self) -> None:
        self._texts: tuple[str, ...] = ()

    def add(self, text: str) -> None:
        """Blot this text out of every record from here on; shorter than 8 characters is refused."""
        assert len(text) >= 8, "a short text would blot out innocent words"  # noqa: PLR2004
        self._texts = (*self._texts, text)

    def blot(self, line: str) -> str:
        """Return the line without secrets."""
        for text in self._texts:
            line = line.replace(text, _BLOT)
        return _LOOKS_SECRET.sub(lambda match: match["name"] + _BLOT, line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what was passed as `extra`, exception."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        entry = {
            "time": _utc(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._secrets.blot(record.getMessage()),
        }
        entry |= {key: self._clean(value) for key, value in _extra(record).items() if key not in entry}
        if record.exc_text:
            entry["exception"] = self._secrets.blot(record.exc_text)
        return json.dumps(entry, default=str)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, (int, float, bool, type(None))):
            return value
        return self._secrets.blot(str(value))


class ConsoleFormatter(logging.Formatter):
    """One line for people: time, level, logger, message, `extra` as key=value; then a traceback if any."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, and a traceback under it if there is one."""
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        clock = _utc(record).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        message = record.getMessage().replace("\n", "\\n")
        line = f"{clock} {record.levelname:<7} {record.name}: {message}{extra}"
        return self._secrets.blot(f"{line}\n{record.exc_text}" if record.exc_text else line)


class RotatingFile(RotatingFileHandler):
    """A log file that is closed at a length and at midnight UTC; closed ones go by count and by age."""

    def __init__(self, path: Path, *, max_bytes: int, max_files: int, max_days: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=max_files, encoding="utf-8")
        self._max_days = max_days
        self._day = int(path.stat().st_mtime) // _DAY_S if path.stat().st_size else None
        self._complained_at = float("-inf")
        self._remove_old()

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802  # the library's name
        """Return whether the file is closed before this record is written."""
        day = int(record.created) // _DAY_S
        if self._day is None:
            self._day = day
        # Only forwards: a clock that was set back must not close a file at every record.
        return int(day > self._day) or int(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802  # the library's name
        """Close the file, open the next one, remove those that are too old."""
        super().doRollover()
        self._day = None
        self._remove_old()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        """Say at most once a minute on standard error that the file cannot be written."""
        now = time.monotonic()
        if now - self._complained_at >= 60:  # noqa: PLR2004
            self._complained_at = now
            error = sys.exc_info()[1]
            print(f"taped: log file {self.baseFilename}: {error}; lost: {record.name}", file=sys.stderr)  # noqa: T201

    def _remove_old(self) -> None:
        oldest = time.time() - self._max_days * _DAY_S
        current = Path(self.baseFilename)
        for closed in current.parent.glob(f"{glob.escape(current.name)}.*"):
            number = closed.suffix[1:]
            if number.isdecimal() and (int(number) > self.backupCount or closed.stat().st_mtime < oldest):
                closed.unlink(missing_ok=True)


class BoundedQueueHandler(QueueHandler):
    """Puts records into the queue; a full queue costs the record, never the caller's time."""

    def __init__(self, records: queue.Queue[Any]) -> None:
        super().__init__(records)
        self.dropped = 0
        self._told = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Fix the text now, since arguments may change before the thread writes."""
        record = copy.copy(record)
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text = record.exc_text or _TRACEBACKS.formatException(record.exc_info)
            record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put the record in without waiting."""
        try:
            notice = self.notice_of_drops()
            if notice is not None:
                self.queue.put_nowait(notice)
                self._told = self.dropped
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def notice_of_drops(self) -> logging.LogRecord | None:
        """Return a record that says how many were dropped since the last such record, None for none."""
        count = self.dropped - self._told
        if not count:
            return None
        text = f"{count} log records were dropped: the queue was full"
        return logging.LogRecord("daemon.logs", logging.WARNING, __file__, 0, text, None, None)


class _PatientListener(QueueListener):
    """Waits for room to say stop, where the library's raises on a full queue."""

    def __init__(self, records: queue.Queue[Any], target: logging.Handler) -> None:
        super().__init__(records, target)
        self._records = records

    def enqueue_sentinel(self) -> None:
        self._records.put(None)


class Logs:
    """Logging as long as it is open; `close` writes what waits and gives the root logger back.

    Args:
        settings: where to and how.
        queue_records: records that may wait for the thread.

    Raises:
        LogError: the log file cannot be opened.
    """

    def __init__(self, settings: LogSettings, *, queue_records: int = QUEUE_RECORDS) -> None:
        self.secrets = Secrets()
        json_wanted = settings.format == "json"
        self._target = _target(settings)
        self._target.setFormatter((JsonFormatter if json_wanted else ConsoleFormatter)(self.secrets))
        records: queue.Queue[Any] = queue.Queue(queue_records)
        self._entrance = BoundedQueueHandler(records)
        self._listener = _PatientListener(records, self._target)
        root = logging.getLogger()
        self._level_before = root.level
        root.setLevel(settings.level.upper())
        root.addHandler(self._entrance)
        self._listener.start()

    @property
    def dropped(self) -> int:
        """Records that found the queue full."""
        return self._entrance.dropped

    def close(self) -> None:
        """Write all that waits; records after this go where they went before `Logs` was made."""
        root = logging.getLogger()
        root.removeHandler(self._entrance)
        root.setLevel(self._level_before)
        self._listener.stop()
        notice = self._entrance.notice_of_drops()
        if notice is not None:
            self._target.handle(notice)
        self._target.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_TRACEBACKS = logging.Formatter()


def _target(settings: LogSettings) -> logging.Handler:
    if settings.file is None:
        return logging.StreamHandler(sys.stderr)
    try:
        settings.file.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFile(
            settings.file,
            max_bytes=settings.max_bytes,
            max_files=settings.max_files,
            max_days=settings.max_days,
        )
    except OSError as error:
        raise LogError(
            f"log file {settings.file} cannot be opened: {error.strerror}",
            hint="set log.file to a place the daemon may write, or leave it empty for standard error",
        ) from error


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _PLAIN_ATTRIBUTES}


def _utc(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
