"""How many bytes a journal writes in a day: read off the journal itself, and counted while it runs.

Off the journal: the seal of a segment names a frame about every mebibyte with its place and time, so
a day's frames are right to a mebibyte. The zeros that each segment is filled with ahead of need are
not on disk any more, as a segment is cut at its end; they are estimated: a whole segment for each
that was begun, and the spare of each start. How long a whole one is, an open segment tells, or
several that were ended by their length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.listing import list_journal
from daemon.journal.reader import open_segment, seal_of
from daemon.journal.segment import SegmentReader
from daemon.journal.writer import SEGMENT_BYTES
from schemas.frame import PAGE, FrameError

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS
_HOURS = 24
_MIB = 1 << 20
_ROLLED = 3
"""So many segments of about the same length did not end by chance."""


@dataclass(slots=True)
class Written:
    """What was written in a span of time: frames, and the estimate of zeros."""

    frame_bytes: int = 0
    zero_bytes: int = 0

    @property
    def bytes(self) -> int:
        """All that went to the disk."""
        return self.frame_bytes + self.zero_bytes


class _Segment(NamedTuple):
    """A segment as it was written, archived or not: its frames as `(append_ns, bytes)`."""

    length: int
    created_ns: int
    is_sealed: bool
    frames: list[tuple[int, int]]


def written(directory: Path, *, per_ns: int = DAY_NS, since_ns: int = 0) -> dict[int, Written]:
    """Return what was written in each span of time, by the number of the span since 1970 UTC.

    Args:
        directory: the folder with the segments; a daemon may be writing there.
        per_ns: length of a span.
        since_ns: segments that ended before are not looked at.

    Raises:
        JournalError: the folder cannot be read, or a segment is damaged.
    """
    spans: defaultdict[int, Written] = defaultdict(Written)
    segments = list(_newest_first(directory, since_ns))[::-1]
    full = _filled(segments)
    rolled = False
    for segment in segments:
        for append_ns, length in segment.frames:
            spans[append_ns // per_ns].frame_bytes += length
        # A segment that ends early was ended by a stop, and the next one begun by another process.
        spans[segment.created_ns // per_ns].zero_bytes += full if rolled else 2 * full
        rolled = segment.length >= full // 2
    return dict(sorted(spans.items()))


def _filled(segments: list[_Segment]) -> int:
    """Return the length that segments are filled to, as far as they tell; the default where they do not."""
    if not segments[-1].is_sealed:
        return segments[-1].length
    longest = -(-max(segment.length for segment in segments) // _MIB) * _MIB
    alike = sum(segment.length >= longest * 3 // 4 for segment in segments)
    return longest if alike >= _ROLLED else max(longest, SEGMENT_BYTES)


def _newest_first(directory: Path, since_ns: int) -> Iterator[_Segment]:
    for name in reversed(list_journal(directory)):
        with open_segment(directory, name) as reader:
            segment = _segment(reader)
        yield segment
        if segment.frames[-1][0] < since_ns:
            return


def _segment(reader: SegmentReader | ArchiveReader) -> _Segment:
    seal = seal_of(reader)
    created_ns = reader.header.created_ns
    frames = [(created_ns, PAGE)]
    if seal is None:
        assert isinstance(reader, SegmentReader), "every archive has its seal"
        return _Segment(reader.file_bytes, created_ns, False, [*frames, *_frames(reader)])
    length = reader.footer.segment_bytes if isinstance(reader, ArchiveReader) else reader.file_bytes
    places = [(entry.append_ns, entry.offset) for entry in seal.index]
    places.append((seal.last_append_ns, length))
    frames += [(append_ns, end - start) for (append_ns, start), (_, end) in pairwise(places)]
    return _Segment(length, created_ns, True, frames)


def _frames(reader: SegmentReader) -> Iterator[tuple[int, int]]:
    """Yield the frames of a segment that is being written, or was when its writer died."""
    try:
        for header, _ in reader.frames():
            yield header.append_ns, header.total_bytes
    except FrameError:
        return  # Whether it ends there or is damaged is for others to tell.


class WriteMeter:
    """Bytes written in the last 24 hours, by the hour; bounded whatever the clock does.

    Attributes:
        last_day_bytes: in this hour and the 23 before it.
    """

    def __init__(self) -> None:
        self.last_day_bytes = 0
        self._hours: dict[int, int] = {}
        self._total = 0

    def begin(self, before: Mapping[int, Written]) -> None:
        """Take what was written in the hours before this process, by their numbers since 1970."""
        for hour, found in before.items():
            self._hours[hour] = self._hours.get(hour, 0) + found.bytes

    def note(self, total_bytes: int, now_ns: int) -> None:
        """Note how much this process has written by now."""
        now = now_ns // HOUR_NS
        self._hours[now] = self._hours.get(now, 0) + total_bytes - self._total
        self._total = total_bytes
        self._hours = {hour: n for hour, n in self._hours.items() if abs(hour - now) < _HOURS}
        self.last_day_bytes = sum(n for hour, n in self._hours.items() if hour <= now)
