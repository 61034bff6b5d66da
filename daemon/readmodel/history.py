"""Projects the history of events, strategies, trading state, sensors, breakers and imports; no money."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import apsw
import msgspec

from daemon.readmodel.database import INT64_MAX
from daemon.readmodel.rows import RowWriter
from schemas.codec import AnyEvent, UnknownEvent
from schemas.events import (
    BreakerChanged,
    ClockTicked,
    InstrumentStateChanged,
    OperatorCommand,
    OrderRequested,
    SensorsRead,
    StrategyParametersChanged,
    StrategyStarted,
    StrategyStopped,
    TradingState,
    TradingStateChanged,
)

KEEP_EVENTS = 1_000_000
KEEP_SENSORS = 100_000
MAX_TEXT = 4_000
"""Characters of an event that are shown and searched; the journal has all of it."""

_to_json = msgspec.json.Encoder(enc_hook=repr).encode
_UNTOLD = ("version", "ts_ns")


class HistoryProjection:
    """Writes each event as it comes; the rare ones go straight to their tables."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._events: list[Any] = []
        self._texts: list[Any] = []
        self._total: int = connection.execute("SELECT value FROM meta WHERE name = 'events_total'").get
        self._write_events = RowWriter(connection, "INSERT INTO events", 8, most=64)
        self._write_texts = RowWriter(connection, "INSERT INTO events_text (rowid, text)", 2, most=64)
        self._projections: dict[type, Callable[[int, Any], None]] = {
            SensorsRead: self._sensors,
            StrategyStarted: self._strategy_started,
            StrategyStopped: self._strategy_stopped,
            StrategyParametersChanged: self._strategy_changed,
            TradingStateChanged: self._trading_state,
            InstrumentStateChanged: self._instrument_state,
            BreakerChanged: self._breaker,
            OperatorCommand: self._command,
        }

    def event(self, seq: int, event: AnyEvent) -> None:
        """Take one event."""
        if isinstance(event, ClockTicked):
            return
        projection = self._projections.get(type(event))
        if projection is not None:
            projection(seq, event)
        if not isinstance(event, SensorsRead):
            self._record(seq, event)

    def _record(self, seq: int, event: AnyEvent) -> None:
        self._total += 1
        text = describe(event)
        order_id = seq if isinstance(event, OrderRequested) else getattr(event, "order_id", None)
        type_id, name = identity(event)
        self._events += (
            self._total, seq, _clamped(event.ts_ns), _clamped(type_id), name, order_id,
            getattr(event, "instrument_id", None), text,
        )  # fmt: skip
        self._texts += (self._total, text)

    def flush(self) -> None:
        """Write what was collected."""
        if self._events:
            self._write_events.write(self._events)
            self._write_texts.write(self._texts)
            self._events, self._texts = [], []
            self._execute("UPDATE meta SET value = ? WHERE name = 'events_total'", (self._total,))

    def prune(self) -> None:
        """Delete what has fallen out of the limits; call it after `flush`."""
        last = (self._total - KEEP_EVENTS,)
        if last[0] > 0:
            self._execute(
                "INSERT INTO events_text (events_text, rowid, text) "
                "SELECT 'delete', number, text FROM events WHERE number <= ?",
                last,
            )
            self._execute("DELETE FROM events WHERE number <= ?", last)
        self._execute(
            "DELETE FROM sensors WHERE seq <= (SELECT seq FROM sensors ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (KEEP_SENSORS,),
        )

    def _sensors(self, seq: int, event: SensorsRead) -> None:
        self._execute("INSERT INTO sensors VALUES (?,?,?)", (seq, event.ts_ns, _json(event.readings)))

    def _strategy_started(self, seq: int, event: StrategyStarted) -> None:
        self._execute(
            "INSERT OR REPLACE INTO strategies VALUES (?,?,?,?,1,NULL,?,NULL,?)",
            (
                event.strategy_id, event.kind, _json(event.parameters), _json(event.instrument_ids),
                event.ts_ns, seq,
            ),
        )  # fmt: skip

    def _strategy_stopped(self, seq: int, event: StrategyStopped) -> None:
        self._execute(
            "UPDATE strategies SET running = 0, reason = ?, stopped_ns = ?, updated_seq = ?"
            " WHERE strategy_id = ?",
            (event.reason, event.ts_ns, seq, event.strategy_id),
        )

    def _strategy_changed(self, seq: int, event: StrategyParametersChanged) -> None:
        self._execute(
            "UPDATE strategies SET parameters = ?, updated_seq = ? WHERE strategy_id = ?",
            (_json(event.parameters), seq, event.strategy_id),
        )

    def _trading_state(self, seq: int, event: TradingStateChanged) -> None:
        self._execute(
            "INSERT OR REPLACE INTO trading_state VALUES (1,?,?,?,?,?)",
            (event.state, event.reason, event.source, event.ts_ns, seq),
        )

    def _instrument_state(self, seq: int, event: InstrumentStateChanged) -> None:
        self._execute("DELETE FROM instrument_states WHERE instrument_id = ?", (event.instrument_id,))
        if event.state != TradingState.ACTIVE:
            self._execute(
                "INSERT INTO instrument_states VALUES (?,?,?,?,?,?)",
                (event.instrument_id, event.state, event.reason, event.source, event.ts_ns, seq),
            )

    def _breaker(self, seq: int, event: BreakerChanged) -> None:
        self._execute(
            "INSERT OR REPLACE INTO breakers VALUES (?,?,?,?,?,?)",
            (event.breaker, event.state, event.failures, event.reason, event.ts_ns, seq),
        )

    def _command(self, seq: int, event: OperatorCommand) -> None:
        told = event.arguments
        if event.command == "import.start":
            texts = [str(told.get(name, "")) for name in ("file", "sha256", "format")]
            self._execute("INSERT INTO imports VALUES (?,?,?,?,?,NULL,NULL,0)", (seq, *texts, seq + 1))
        elif event.command == "import.end":
            events = told.get("events")
            self._execute(
                "UPDATE imports SET last_seq = ?, events = ?, finished = 1 WHERE start_seq = "
                "(SELECT max(start_seq) FROM imports WHERE sha256 = ? AND finished = 0)",
                (seq - 1, events if type(events) is int else None, str(told.get("sha256", ""))),
            )


def identity(event: AnyEvent) -> tuple[int, str]:
    """Return an event's type id and name."""
    if isinstance(event, UnknownEvent):
        return event.type_id, "Unknown"
    tag = event.__struct_config__.tag
    assert isinstance(tag, int)
    return tag, type(event).__name__


def describe(event: AnyEvent) -> str:
    """Return an event in one line: its name, then what it tells, unset fields left out."""
    if isinstance(event, UnknownEvent):
        return f"Unknown {_json(event.fields)}"[:MAX_TEXT]
    told = [
        f"{name}={_plain(value)}"
        for name in event.__struct_fields__
        if name not in _UNTOLD and (value := getattr(event, name)) is not None and value != ""
    ]
    return " ".join([type(event).__name__, *told])[:MAX_TEXT]


def _plain(value: Any) -> str:
    if isinstance(value, IntEnum):
        return value.name
    return _json(value) if isinstance(value, dict | list) else str(value)


def _json(value: Any) -> str:
    try:
        return _to_json(value).decode()
    except (TypeError, ValueError, OverflowError):
        # An unknown event may hold what JSON cannot: a map with odd keys.
        return repr(value)


def _clamped(value: int) -> int:
    """Return a number of an unknown event as near as 64 signed bits allow; its text has it whole."""
    return max(-INT64_MAX, min(value, INT64_MAX))
