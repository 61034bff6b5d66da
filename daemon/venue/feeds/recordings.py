"""Recordings of venue messages: one line each, with the time it was received.

Peels off the outer format and hands the message to the venue's parser. Three outer formats:
`<receive time> <message>` (raw), the `.0` text of websocket sessions, and their jsonl.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from daemon.venue.feeds.clock_text import seconds_to_ns
from daemon.venue.feeds.parsing import ABSENT, PARSE_ERRORS, MessageParser, RejectedError, Tally, reason_of
from schemas.events import Event

_NS_DIGITS = 19
_US_DIGITS = 16
_MAX_STAMP = 32
_BLANK = "blank line"


class RawLines:
    """`1723161254087896568 {"stream":...}`: 19 digits are nanoseconds, 16 microseconds."""

    def __init__(self, parser: MessageParser, tally: Tally, source: str = "") -> None:
        self.tally = tally
        self._parser = parser
        self._source = source

    def parse_lines(self, lines: Sequence[bytes], first_line: int, out: list[Event]) -> None:
        """See `LineParser.parse_lines`."""
        parse = self._parser.parse
        number = first_line - 1
        for line in lines:
            number += 1
            try:
                stamp, _, message = line.partition(b" ")
                if len(stamp) == _NS_DIGITS and stamp.isdigit():
                    parse(message, int(stamp), out)
                elif len(stamp) == _US_DIGITS and stamp.isdigit():
                    parse(message, int(stamp) * 1_000, out)
                elif line.strip():
                    raise RejectedError("no receive time of 19 (ns) or 16 (µs) digits and a blank in front")
                else:
                    self.tally.skip(_BLANK)
            except PARSE_ERRORS as error:
                self.tally.reject(number, reason_of(error), self._source)


class SessionText:
    """`<ts>: <message>` received, and lines about the connection, which are skipped."""

    def __init__(self, parser: MessageParser, tally: Tally, source: str = "") -> None:
        self.tally = tally
        self._parser = parser
        self._source = source

    def parse_lines(self, lines: Sequence[bytes], first_line: int, out: list[Event]) -> None:
        """See `LineParser.parse_lines`."""
        for number, line in enumerate(lines, first_line):
            try:
                if line[:1].isdigit():
                    end = line.find(b": ", 0, _MAX_STAMP)
                    if end < 0:
                        raise RejectedError("a receive time without a message")
                    self._parser.parse(line[end + 2 :], seconds_to_ns(line[:end].decode()), out)
                else:
                    self.tally.skip(_kind(line))
            except PARSE_ERRORS as error:
                self.tally.reject(number, reason_of(error), self._source)


def _kind(line: bytes) -> str:
    if not line.strip():
        return _BLANK
    if line.startswith(b"configuration: "):
        return "configuration"
    head = line[:16_384]
    for mark, kind in ((b" <-> ", "connect"), (b" <- ", "sent message"), (b" -> ", "REST answer")):
        if mark in head:
            return kind
    raise RejectedError("neither a received message nor a line about the connection")


class _Record(msgspec.Struct, gc=False):
    t: str
    ts: msgspec.Raw = ABSENT
    data: str | None = None


class SessionJson:
    """`{"t": "recv", "ts": <seconds>, "data": "<message>"}`; other kinds of records are skipped."""

    def __init__(self, parser: MessageParser, tally: Tally, source: str = "") -> None:
        self.tally = tally
        self._parser = parser
        self._source = source
        self._decode = msgspec.json.Decoder(_Record).decode

    def parse_lines(self, lines: Sequence[bytes], first_line: int, out: list[Event]) -> None:
        """See `LineParser.parse_lines`."""
        for number, line in enumerate(lines, first_line):
            try:
                if line.strip():
                    self._parse_record(line, out)
                else:
                    self.tally.skip(_BLANK)
            except PARSE_ERRORS as error:
                self.tally.reject(number, reason_of(error), self._source)

    def _parse_record(self, line: bytes, out: list[Event]) -> None:
        record = self._decode(line)
        if record.t != "recv":
            self.tally.skip({"send": "sent message", "http": "REST answer"}.get(record.t, record.t))
            return
        if record.ts is ABSENT or record.data is None:
            raise RejectedError("a received message without ts or data")
        # As text: a float would lose what lies below 0.2 µs.
        received_ns = seconds_to_ns(bytes(record.ts).decode())
        self._parser.parse(record.data, received_ns, out)
