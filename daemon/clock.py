"""What the kernel knows of the clock: the time, and whether somebody keeps it right."""

from __future__ import annotations

import ctypes
import ctypes.util

_TIME_ERROR = 5
_TIMEX_BYTES = 256  # struct timex has 208 bytes on 64-bit Linux.


def synchronized() -> bool:
    """Return whether the kernel's clock is disciplined (adjtimex(2) does not return TIME_ERROR).

    A kernel that does not answer counts as not synchronised.
    """
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = int(_libc.adjtimex(buffer))
    return 0 <= state < _TIME_ERROR


_libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
