"""Projects limits of risk, pauses after losses and session calendars, as the core takes them.

What the core refuses (it halts on that) changes nothing here; it is in the history all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apsw
import msgspec

from daemon.trading.calendar import CalendarError, calendar_of
from daemon.trading.commands import CommandError, ResetRisk, parse
from daemon.trading.risk.limits import Chosen, LimitError
from schemas.codec import AnyEvent
from schemas.events import (
    DaemonStarted,
    InstrumentDefined,
    OperatorCommand,
    RiskLimitsChanged,
    Scalar,
    SessionCalendarDefined,
    TradingPaused,
)

_from_json = msgspec.json.decode


class RiskProjection:
    """Writes each event as it comes: all of them are rare.

    Attributes:
        limits: what is in force.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        rows = list(connection.execute("SELECT name, configured, changed FROM risk_limits"))
        self._chosen = Chosen(
            {name: _from_json(text) for name, text, _ in rows if text is not None},
            {name: _from_json(text) for name, _, text in rows if text is not None},
        )
        self.limits = self._chosen.limits()
        self._projections: dict[type, Callable[[int, Any], None]] = {
            DaemonStarted: lambda _, event: self._choose(self._chosen.started(event.settings)),
            RiskLimitsChanged: lambda _, event: self._choose(self._chosen.set(event.limits)),
            TradingPaused: self._paused,
            OperatorCommand: self._command,
            SessionCalendarDefined: self._calendar,
        }

    def event(self, seq: int, event: AnyEvent) -> None:
        """Take one event."""
        projection = self._projections.get(type(event))
        if projection is not None:
            projection(seq, event)

    def rates(self, instrument: InstrumentDefined) -> tuple[int, int]:
        """Return the margin rates of an instrument that are in force."""
        return self.limits.margin_rates(instrument)

    def _choose(self, chosen: Chosen) -> None:
        try:
            self.limits = chosen.limits()
        except LimitError:
            return
        self._chosen = chosen
        in_force = chosen.in_force()
        self._execute("DELETE FROM risk_limits")
        for name in sorted(chosen.configured.keys() | chosen.changed.keys()):
            values = (_json(of, name) for of in (chosen.configured, chosen.changed, in_force))
            self._execute("INSERT INTO risk_limits VALUES (?, ?, ?, ?)", (name, *values))

    def _paused(self, seq: int, event: TradingPaused) -> None:
        """Take a pause; it takes the place of one for the same, and those that are over go."""
        self._execute(
            "DELETE FROM pauses WHERE until_ns <= ? OR (instrument_id IS ? AND strategy_id IS ?)",
            (event.ts_ns, event.instrument_id, event.strategy_id),
        )
        self._execute(
            "INSERT INTO pauses VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                seq, event.instrument_id, event.strategy_id, event.until_ns, event.rule, event.reason,
                event.ts_ns,
            ),
        )  # fmt: skip

    def _command(self, seq: int, event: OperatorCommand) -> None:  # noqa: ARG002
        """Take a command; only a reset lifts pauses."""
        try:
            command = parse(event)
        except CommandError:
            return
        if isinstance(command, ResetRisk):
            self._execute("DELETE FROM pauses")

    def _calendar(self, seq: int, event: SessionCalendarDefined) -> None:
        """Take a calendar; one without hours takes the former one away."""
        try:
            if event.opens:
                calendar_of(event)
        except CalendarError:
            return
        self._execute(
            "DELETE FROM calendars WHERE venue = ? AND instrument_id IS ?", (event.venue, event.instrument_id)
        )
        if event.opens:
            lists = (event.opens, event.closes, event.holidays, event.early_days, event.early_closes)
            self._execute(
                "INSERT INTO calendars VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (seq, event.venue, event.instrument_id, event.zone, *map(_text, lists)),
            )


def _json(values: Mapping[str, Scalar], name: str) -> str | None:
    return _text(values[name]) if name in values else None


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
