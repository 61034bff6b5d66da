"""What the drive says of its own wear: the JSON of `smartctl`, which somebody with the right to writes.

Reading a drive's health needs root, so a timer writes the file; here it is only read. A file that is
old says nothing about the drive as it is now, and counts as missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

MAX_BYTES = 1_000_000
MAX_AGE_S = 2 * 86_400


# NVMe keeps each in a byte; a number beyond that tells of a broken report, and no event could hold it.
_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class _Log(msgspec.Struct):
    percentage_used: _Byte | None = None
    available_spare: _Byte | None = None


class _Report(msgspec.Struct):
    nvme_smart_health_information_log: _Log | None = None


class Wear(NamedTuple):
    """Percent of the drive's rated life that is used (may pass 100), and of its spare blocks left."""

    used_percent: int | None = None
    spare_percent: int | None = None


_decode = msgspec.json.Decoder(_Report).decode


def read_wear(file: Path | None, now_s: float) -> Wear:
    """Return what the file says, or nothing.

    Args:
        file: output of `smartctl --json --all DEVICE`, or None.
        now_s: wall clock.
    """
    if file is None:
        return Wear()
    try:
        with file.open("rb") as stream:
            written_s = file.stat().st_mtime
            content = stream.read(MAX_BYTES + 1)
        if now_s - written_s > MAX_AGE_S or len(content) > MAX_BYTES:
            return Wear()
        log = _decode(content).nvme_smart_health_information_log
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Wear()
    return Wear() if log is None else Wear(log.percentage_used, log.available_spare)
