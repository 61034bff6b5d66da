"""Makes the core's session calendars those of the configuration; defines and takes away by events only.

The journal remembers what was defined. A calendar of a venue is defined at the start, that of an
instrument as soon as the instrument is known; what the configuration no longer names is taken away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import msgspec

from daemon.config_calendars import calendar_event
from daemon.engine import Engine
from daemon.settings import CalendarSettings
from daemon.trading.core import Core, InstrumentError
from schemas.events import SessionCalendarDefined

log = logging.getLogger(__name__)


def changes(
    core: Core, configured: Mapping[str, CalendarSettings], now_ns: int
) -> list[SessionCalendarDefined]:
    """Return what must be defined, or taken away, so that the core's calendars are the configured ones.

    A calendar of an instrument that the core does not know is left for later.
    """
    wanted: dict[tuple[str, int | None], SessionCalendarDefined] = {}
    for name, settings in configured.items():
        key = _key(core, name)
        if key is not None:
            venue, instrument_id = key
            wanted[key] = calendar_event(settings, venue=venue, instrument_id=instrument_id, ts_ns=now_ns)
    defined = core.calendars.defined
    news = [event for key, event in wanted.items() if not _same(event, defined.get(key))]
    gone = [
        msgspec.structs.replace(event, ts_ns=now_ns, opens=[], closes=[])
        for key, event in defined.items()
        if key not in wanted
    ]
    for event in (*news, *gone):
        log.info(
            "calendar of %s%s %s",
            event.venue,
            "" if event.instrument_id is None else f", instrument {event.instrument_id},",
            f"defined in {event.zone}" if event.opens else "taken away, because the configuration changed",
        )
    return news + gone


class CalendarWatch:
    """Defines the calendars of instruments when these become known.

    Args:
        engine: takes the events.
        configured: by name.
        clock_ns: the time.
    """

    def __init__(
        self, engine: Engine, configured: Mapping[str, CalendarSettings], clock_ns: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._configured = configured
        self._clock_ns = clock_ns
        self._known = -1

    def look(self) -> None:
        """Define what can be; costs a comparison while no instrument is new."""
        core = self._engine.core
        if len(core.instruments) == self._known or self._engine.failed is not None:
            return
        self._known = len(core.instruments)
        news = changes(core, self._configured, self._clock_ns())
        if news:
            self._engine.ingest(list(news))


def _key(core: Core, name: str) -> tuple[str, int | None] | None:
    symbol, at, venue = name.rpartition("@")
    if not at:
        return name, None
    try:
        instrument = core.find_instrument(symbol, venue)
    except InstrumentError:
        return None
    return None if instrument is None else (venue, instrument.instrument_id)


def _same(event: SessionCalendarDefined, other: SessionCalendarDefined | None) -> bool:
    return other is not None and msgspec.structs.replace(event, ts_ns=other.ts_ns) == other
