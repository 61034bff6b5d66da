"""Settings for the commands of the hardware: from the file, the environment and `TAPED_CONFIG`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from daemon.config import load
from daemon.settings import HardwareSettings


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the flags these commands share."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file (TAPED_CONFIG)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def settings_of(arguments: argparse.Namespace) -> HardwareSettings:
    """Return the settings of the hardware.

    Raises:
        ConfigError: the settings are wrong.
    """
    file = arguments.config
    if file is None and "TAPED_CONFIG" in os.environ:
        file = Path(os.environ["TAPED_CONFIG"])
    return load(file, os.environ).settings.hardware
