"""Pins of a simulated board: gpiozero's mock, with each pin's state in a file that others can read.

A pin is `ROOT/pins/GPIO18`, one line: `output 0.35 50` (function, level, frequency or 0) or `input`. The
level of an input is read from `GPIO17.level`. While `ROOT/pins/fault` exists, every use of a pin
fails with what it holds. Duty is cut to whole percent, as the library for real pins does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpiozero.pins.mock import MockFactory, MockPWMPin

from daemon.hardware.simulated import FAULT, PINS
from daemon.hardware.sysfs import read_text

PI_5 = "d04170"
"""Revision code of a Raspberry Pi 5 with 8 GB."""


class SimulatedError(Exception):
    """A simulated pin failed, as the real library fails: with an exception of no known family."""


class FolderPin(MockPWMPin):  # type: ignore[misc]  # gpiozero has no types.
    """A mock pin that mirrors what becomes of it."""

    def __init__(self, factory: FolderFactory, info: Any) -> None:
        self._folder = factory.folder
        self._check()
        super().__init__(factory, info)
        self._mirror()

    def _check(self) -> None:
        fault = read_text(self._folder / FAULT)
        if fault is not None:
            raise SimulatedError(fault)

    def _mirror(self) -> None:
        output = self._function == "output"
        line = f"output {float(self._state):.2f} {self._frequency or 0:g}" if output else "input"
        path = self._folder / str(self._info.name)
        draft = path.with_name(f"{path.name}.draft")
        draft.write_text(f"{line}\n")
        draft.replace(path)

    def _set_function(self, value: str) -> None:
        self._check()
        super()._set_function(value)
        self._mirror()

    def _get_state(self) -> Any:
        self._check()
        if self._function == "input":
            level = read_text(self._folder / f"{self._info.name}.level")
            if level is not None:
                self._change_state(level == "1")
        return super()._get_state()

    def _set_state(self, value: float) -> None:
        self._check()
        super()._set_state(int(value * 100) / 100 if self._frequency else bool(value))
        self._mirror()

    def _set_frequency(self, value: float | None) -> None:
        self._check()
        super()._set_frequency(value)
        self._mirror()


class FolderFactory(MockFactory):  # type: ignore[misc]  # gpiozero has no types.
    """Makes the pins of one simulated board.

    Args:
        root: the board's folder.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / PINS
        super().__init__(revision=PI_5, pin_class=FolderPin)
        self.folder.mkdir(parents=True, exist_ok=True)
