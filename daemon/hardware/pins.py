"""gpiozero devices on one pin factory that is named here; the only module that imports gpiozero.

What the libraries do by themselves, and what is done about it:

- gpiozero looks for a pin library and falls back to another one with a mere warning. Here each device
  gets the factory that the settings name, or an error.
- Importing lgpio makes a FIFO in the working directory, or in `LG_WD` and changes to it. Here it is a
  folder that is gone right after the import, and the working directory is what it was.
- Closing a device makes its pin an input: the line floats. `let_go` leaves it at a level instead.
- Closing a device whose chip fails raises, and keeps the pin reserved for ever. `discard` does not.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from daemon.hardware.errors import HardwareError

Device = Any
Factory = Any

INSTALL_HINT = "install it: pip install lgpio, on Python 3.13 adafruit-lgpio"


def import_library(name: str) -> None:
    """Import gpiozero and what drives pins, before any thread runs: lgpio changes the working directory.

    Raises:
        HardwareError: it is not installed, or does not load.
    """
    if name == "mock":
        import_module("daemon.hardware.mock_pins")
        return
    with _scratch_work_folder():
        try:
            import_module("gpiozero.pins.lgpio")
        except (ImportError, OSError) as error:
            # OSError: the FIFO could not be made, or the C library not be loaded.
            raise HardwareError(
                f"the library lgpio, which drives pins, cannot be imported: {error}", hint=INSTALL_HINT
            ) from error


@contextmanager
def _scratch_work_folder() -> Iterator[None]:
    before = os.environ.get("LG_WD")
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    folder = tempfile.mkdtemp(prefix="taped-lgpio-")
    os.environ["LG_WD"] = folder
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        # The library keeps both ends of its FIFO open, and needs the name no more.
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["LG_WD"]
        if before is not None:
            os.environ["LG_WD"] = before


def open_factory(name: str, root: Path) -> Factory:
    """Return the pin factory of that name.

    Args:
        name: `lgpio` or `mock`.
        root: of the machine; the mock's pins are files there.

    Raises:
        HardwareError: the machine has no such pins, or does not let this user drive them.
    """
    import_library(name)
    if name == "mock":
        return import_module("daemon.hardware.mock_pins").FolderFactory(root)
    chips = sorted((root / "dev").glob("gpiochip*"))
    if not chips:
        raise HardwareError(f"there is no {root / 'dev/gpiochip0'}: this machine has no pins")
    if not any(os.access(chip, os.R_OK | os.W_OK) for chip in chips):
        raise HardwareError(
            f"{chips[0]} may not be opened by this user", hint="add the user to the group gpio"
        )
    return import_module("gpiozero.pins.lgpio").LGPIOFactory()


class Pins:
    """Devices on one factory, which is opened with the first of them.

    Args:
        open_factory: opens it.
    """

    def __init__(self, open_factory: Callable[[], Factory]) -> None:
        self._open_factory = open_factory
        self._factory: Factory = None
        self._devices: set[Device] = set()

    def open(self, kind: str, pin: int, **options: Any) -> Device:
        """Return a new gpiozero device.

        Args:
            kind: name of its class.
            pin: GPIO number.
            **options: other arguments of the class.

        Raises:
            HardwareError: the pin is in use, or the chip cannot be opened.
        """
        try:
            if self._factory is None:
                self._factory = self._open_factory()
            device = getattr(import_module("gpiozero"), kind)(pin, pin_factory=self._factory, **options)
        except HardwareError:
            raise
        except Exception as error:
            # lgpio's errors have no base of their own.
            self._forget_half_made()
            self._drop_factory_if_unused()
            raise explained(error, f"GPIO{pin}") from error
        self._devices.add(device)
        return device

    def discard(self, device: Device) -> None:
        """Close a device, also one whose chip fails; its pin can be opened again."""
        self._devices.discard(device)
        pin = getattr(device, "_pin", None)
        with suppress(Exception):
            device.close()
        self._forget(device, pin)
        self._drop_factory_if_unused()

    def let_go(self, device: Device, level: bool) -> None:  # noqa: FBT001  # A level.
        """Give a device up with its pin driven to a level, which the kernel keeps when the process ends.

        Raises:
            HardwareError: the pin refuses.
        """
        pin = device.pin
        try:
            if pin.frequency is not None:
                pin.frequency = None
            pin.state = level
        except Exception as error:
            # As in `open`.
            raise explained(error, pin.info.name) from error
        self._devices.discard(device)
        self._forget(device, pin)

    def _forget(self, device: Device, pin: Any) -> None:
        """Take the pin from the device: closing it, or its end as garbage, would make the line float."""
        if self._factory is not None:
            self._factory.release_all(device)
            if pin is not None:
                self._factory.pins.pop(pin.info, None)
        device._pin = None  # noqa: SLF001  # No public way keeps the level.

    def _forget_half_made(self) -> None:
        """Take the pin from a device that failed while it was made; its end as garbage would raise."""
        if self._factory is None:
            return
        reserved = [ref() for refs in self._factory._reservations.values() for ref in refs]  # noqa: SLF001
        for device in reserved:
            if device is not None and device not in self._devices:
                self._forget(device, getattr(device, "_pin", None))

    def _drop_factory_if_unused(self) -> None:
        """Close a factory that no device uses: the next one begins with a fresh handle of the chip."""
        if self._devices or self._factory is None:
            return
        factory, self._factory = self._factory, None
        factory.pins.clear()
        with suppress(Exception):
            factory.close()


def explained(error: Exception, pin: str) -> HardwareError:
    """Return what a library said, in words that name the pin."""
    text = str(error).strip("'\"") or type(error).__name__
    if "busy" in text.lower() or getattr(error, "errno", None) == errno.EBUSY:
        return HardwareError(f"{pin} is in use by another program", hint="`gpioinfo` tells by which")
    if isinstance(error, PermissionError):
        return HardwareError(f"{pin} may not be driven by this user", hint="add it to the group gpio")
    return HardwareError(f"{pin} failed: {text}")


def whole_percent(duty: int) -> float:
    """Return a level that a library which cuts `level * 100` to an integer makes this duty of.

    0.29 * 100 is 28.999999999999996, and a fan at 29 would get 28.
    """
    level = duty / 100
    return level if int(level * 100) == duty else (duty + 0.5) / 100
