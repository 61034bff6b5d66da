"""What can be wrong with a backup, as errors an operator can act on."""

from __future__ import annotations

from schemas.errors import TapedError


class BackupError(TapedError):
    """A backup cannot be made, read or put back."""


class TargetError(BackupError):
    """The place where backups are kept cannot be reached, or refused to read or write."""


class DamagedBackupError(BackupError):
    """A backup is not as it was written; nothing is ever restored from it.

    Attributes:
        backup: its name.
        objects: objects in the store that are missing or damaged, where it is they.
    """

    def __init__(self, backup: str, problem: str, *, objects: tuple[str, ...] = ()) -> None:
        super().__init__(
            f"backup {backup} is damaged: {problem}",
            hint="take another one (`taped backup list`); the next `create` makes anew what is bad",
        )
        self.backup = backup
        self.objects = objects
