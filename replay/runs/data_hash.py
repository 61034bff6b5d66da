"""A hash of the events that a run took: of a range of a journal, or of files.

Segments in the middle of a range count by the hash in their seal, which an archive keeps, so a long journal
need not be read; of those at its ends the events are hashed. So the hash stays the same while the journal
goes on, rolls and is archived. Where events cannot be read any more there is none.
"""

from __future__ import annotations

import hashlib
from itertools import chain, islice
from pathlib import Path

from daemon.journal.errors import JournalError
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader, open_segment, seal_of
from daemon.journal.segment import SegmentName
from replay.runs.record import identity_sha256
from replay.source import DataIdentity, journal_folder
from schemas.codec import CODEC

_PART = 1_024


def data_sha256(data: tuple[str, ...], identity: DataIdentity) -> str:
    """Return the hash, or empty text where the events are not all there.

    Args:
        data: paths of a spec.
        identity: which events of them.
    """
    if not identity.journal_id:
        # The files' own hashes and the range asked for say it all.
        return identity_sha256(identity)
    assert identity.last_seq is not None
    try:
        return range_sha256(journal_folder(Path(data[0])), identity.first_seq, identity.last_seq)
    except (JournalError, OSError):
        return ""


def range_sha256(directory: Path, first_seq: int, last_seq: int) -> str:
    """Return the hash of a range of a journal, both ends included.

    Raises:
        JournalError: it cannot be read to its end.
    """
    reader = JournalReader(directory)
    digest = hashlib.sha256(f"{reader.journal_id} {first_seq} {last_seq}\n".encode())
    segments = list_journal(directory)
    for number, segment in enumerate(segments):
        ends = segments[number + 1].first_seq - 1 if number + 1 < len(segments) else last_seq
        if ends < first_seq or segment.first_seq > last_seq:
            continue
        if segment.first_seq >= first_seq and ends < last_seq:
            digest.update(_sealed(directory, segment))
            continue
        batches = reader.batches(max(first_seq, segment.first_seq), min(last_seq, ends))
        events = chain.from_iterable(batch.events for batch in batches)
        # In parts of one length, so that the hash does not depend on the frames.
        while part := list(islice(events, _PART)):
            digest.update(CODEC.encode(part))
    return digest.hexdigest()


def _sealed(directory: Path, segment: SegmentName) -> bytes:
    with open_segment(directory, segment) as reader:
        seal = seal_of(reader)
    if seal is None:
        raise JournalError(f"{segment.path}: has no seal, and others follow")
    return seal.sha256
