"""Instruments and calendars that were in force at a place of a journal, found without reading all before it.

What a sealed segment defines never changes, so it is kept in `definitions.idx` beside the journal, by the
SHA-256 in the segment's seal. The file is a help: without it, or where it cannot be written, segments
are searched again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Union

import msgspec

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader, open_segment, seal_of
from daemon.journal.segment import SegmentReader
from daemon.start import definitions
from schemas.codec import CODEC
from schemas.events import Event, InstrumentDefined, SessionCalendarDefined
from schemas.frame import FrameType
from schemas.upcasters import UPCASTERS

DEFINING = (InstrumentDefined, SessionCalendarDefined)
MAX_INDEX_BYTES = 64 << 20
_FIXED_ARRAY = 0x90
_MOST_FIXED = 15


class _Found(msgspec.Struct, array_like=True):
    """An event of a segment, with its number."""

    seq: int
    event: Union[DEFINING]  # type: ignore[valid-type]  # noqa: UP007


class _Index(msgspec.Struct):
    """What the segments of a journal define, by the hexadecimal SHA-256 of their seals."""

    journal_id: str
    segments: dict[str, list[_Found]] = {}


def in_force(journal: JournalReader, seq: int) -> list[Event]:
    """Return the definitions in force before an event: the last one of each instrument and calendar.

    Raises:
        JournalCorruptError: what the journal begins with is damaged.
    """
    found: dict[tuple[str, str | int | None], Event] = {}
    for event in definitions(journal.directory):
        found[_key(event)] = event
    for event in _before(journal, seq):
        found[_key(event)] = event
    return list(found.values())


def _key(event: Event) -> tuple[str, str | int | None]:
    assert isinstance(event, DEFINING)
    if isinstance(event, InstrumentDefined):
        return event.symbol, event.venue
    return event.venue, event.instrument_id


def _before(journal: JournalReader, seq: int) -> Iterator[Event]:
    """Yield what was defined before an event, in order."""
    path = _path(journal)
    index = _load(path, journal.journal_id)
    known = len(index.segments)
    for name in list_journal(journal.directory):
        if name.first_seq >= seq:
            break
        with open_segment(journal.directory, name) as reader:
            seal = seal_of(reader)
            if seal is None:
                found = _search(reader)
            else:
                sha256 = seal.sha256.hex()
                if sha256 not in index.segments:
                    index.segments[sha256] = _search(reader)
                found = index.segments[sha256]
        yield from (item.event for item in found if item.seq < seq)
    if path is not None and len(index.segments) > known:
        _save(path, index)


def _search(reader: SegmentReader | ArchiveReader) -> list[_Found]:
    """Return what a segment defines; frames that cannot hold a definition are not decoded."""
    if isinstance(reader, ArchiveReader):
        batches = ((seq, events) for seq, events, _ in reader.batches())
    else:
        batches = (
            (header.first_seq, CODEC.decode(body))
            for header, body in reader.frames()
            if header.type is FrameType.DATA and _may_define(bytes(body))
        )
    return [
        _Found(seq, event)
        for first_seq, events in batches
        for seq, event in enumerate(events, first_seq)
        if isinstance(event, DEFINING)
    ]


def _heads() -> tuple[bytes, ...]:
    """Return what definitions begin with on the wire: length of the array, type, version."""
    heads: list[bytes] = []
    for record in DEFINING:
        tag = record.__struct_config__.tag
        length = len(record.__struct_fields__) + 1
        assert isinstance(tag, int)
        # An older version would begin otherwise, and a longer array too.
        assert length <= _MOST_FIXED
        assert not any(type_id == tag for type_id, _ in UPCASTERS)
        heads.append(bytes((_FIXED_ARRAY | length, tag, 1)))
    return tuple(heads)


_HEADS = _heads()


def _may_define(body: bytes) -> bool:
    # 10 million trades are searched in 0.9 s and decoded in 7.2 (CPython 3.11, x86-64).
    return any(head in body for head in _HEADS)


def _path(journal: JournalReader) -> Path | None:
    """Return where the index of a data folder is; a journal that stands by itself has none."""
    directory = journal.directory
    return directory.parent / "definitions.idx" if directory.name == "journal" else None


def _load(path: Path | None, journal_id: str) -> _Index:
    if path is not None:
        with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            if path.stat().st_size <= MAX_INDEX_BYTES:
                index = msgspec.msgpack.decode(path.read_bytes(), type=_Index)
                if index.journal_id == journal_id:
                    return index
    return _Index(journal_id)


def _save(path: Path, index: _Index) -> None:
    """Put the index in its place as a whole; a folder that cannot be written has none."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        try:
            draft.write_bytes(msgspec.msgpack.encode(index))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
