"""Commands on a journal whose oldest events are gone: they begin where it begins, and say so."""

from __future__ import annotations

import sys

from daemon.journal.reader import JournalReader


def begin_at(reader: JournalReader, first_seq: int) -> int:
    """Return the event to begin at: the one asked for, or the first one there is, told on stderr."""
    begins = reader.first_seq
    if max(1, first_seq) >= begins:
        return max(1, first_seq)
    print(
        f"taped: the journal begins at seq {begins:,}; what came before was let go of (retention)",
        file=sys.stderr,
    )
    return begins
