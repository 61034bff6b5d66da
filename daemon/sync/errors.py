"""What can stand between a journal and its database."""

from __future__ import annotations

from daemon.breaker import OutsideError
from schemas.errors import TapedError


class SyncError(TapedError):
    """Nothing is shipped before somebody has looked: trying again does not help."""


class DatabaseAwayError(OutsideError):
    """The database does not answer, or answered that it cannot now; trying again helps."""


class OvertakenError(SyncError):
    """Somebody else has shipped this journal meanwhile; the watermark is to be read anew."""
