"""Takes the names of people out of events: the same name always gets the same pseudonym.

Pseudonyms count up in order of appearance, so nothing can be worked back from them. Access tokens go
too, should one stand in a text. Names of the daemon's own parts stay. Prices, quantities and times are
not touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from daemon.journal.errors import JournalError
from schemas.codec import AnyEvent, UnknownEvent
from schemas.events import Bar, ClockTicked, Quote, Trade

_OPERATOR = "operator:"
_OWN = frozenset({"config", "backtest"})
_STRUCTURE = frozenset(
    {
        "symbol",
        "venue",
        "base_currency",
        "quote_currency",
        "exchange",
        "feed",
        "strategy_id",
        "kind",
        "command",
        "rule",
        "role",
        "client_order_id",
        "venue_order_id",
        "venue_trade_id",
        "fee_currency",
        "currency",
        "zone",
    }
)
"""Fields that replay goes by; they stay even where somebody bears such a name."""
_NAMELESS = (Trade, Quote, Bar, ClockTicked)
_TOKEN = re.compile(r"(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])")
"""An access token, should anybody have put one into a text (see `daemon.api.access`)."""


class Redaction:
    """Pseudonyms of one slice: first `learn` all events there are, then rewrite them."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._clients: dict[str, str] = {}
        self._pattern = _TOKEN

    def learn(self, events: Iterable[AnyEvent]) -> None:
        """Note the names of people that events give as such."""
        known = len(self._names)
        for event in events:
            if not isinstance(event, _NAMELESS):
                self._learn(event)
        if len(self._names) > known:
            longest_first = sorted(self._names, key=len, reverse=True)
            names = "|".join(map(re.escape, longest_first))
            # An underscore ends a name as any other sign does: `anna_2` tells who it was.
            self._pattern = re.compile(rf"(?<![^\W_])(?:{names})(?![^\W_])|{_TOKEN.pattern}", re.IGNORECASE)

    def _learn(self, event: AnyEvent) -> None:
        names = [getattr(event, "who", "")]
        source = getattr(event, "source", "")
        if source.startswith(_OPERATOR):
            names.append(source.removeprefix(_OPERATOR))
        for name in names:
            if name and name not in _OWN and not name.startswith("taped/"):
                self._names.setdefault(name.casefold(), f"operator-{len(self._names) + 1}")

    def events(self, events: Sequence[AnyEvent], first_seq: int) -> list[AnyEvent]:
        """Return events without names.

        Raises:
            JournalError: one is of a type that this version does not know.
        """
        return [self._event(event, seq) for seq, event in enumerate(events, first_seq)]

    def _event(self, event: AnyEvent, seq: int) -> AnyEvent:
        if isinstance(event, UnknownEvent):
            raise JournalError(
                f"seq {seq}: events of type {event.type_id}, version {event.version} are not known here, "
                "so names cannot be taken out of them",
                hint="use a newer taped, or cut the slice without --redact",
            )
        if isinstance(event, _NAMELESS):
            return event
        changes: dict[str, Any] = {}
        for field in event.__struct_fields__:
            if field in _STRUCTURE:
                continue
            old = getattr(event, field)
            new = self._client(old) if field == "client_id" else self._plain(old)
            if new != old:
                changes[field] = new
        return msgspec.structs.replace(event, **changes) if changes else event

    def _client(self, client_id: str | None) -> str | None:
        if client_id is None:
            return None
        return self._clients.setdefault(client_id, f"client-{len(self._clients) + 1}")

    def _plain(self, value: Any) -> Any:
        """Return a value with every known name in its texts replaced."""
        if isinstance(value, str):
            return self._pattern.sub(self._replacement, value)
        if isinstance(value, dict):
            return {key: self._plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        return value

    def _replacement(self, match: re.Match[str]) -> str:
        return self._names.get(match[0].casefold(), "token-removed")
