"""What hardware cannot do, as errors that name the part and what to do; nobody's trading ends by one."""

from __future__ import annotations

from schemas.errors import TapedError


class HardwareError(TapedError):
    """A part of the machine is not there, is in use, or refuses."""


class WiringError(TapedError):
    """The settings wire something that cannot be.

    Attributes:
        key: the setting, without its section.
        problem: what is wrong with it.
    """

    def __init__(self, key: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"hardware.{key} {problem}", hint=hint)
        self.key = key
        self.problem = problem
