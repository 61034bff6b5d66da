"""`taped hardware failsafe`: fan to full speed and error LEDs lit, for when no daemon runs."""

from __future__ import annotations

import argparse
import sys

from daemon.hardware.failsafe import failsafe
from tools.hardware_config import add_config, settings_of
from tools.output import print_json


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "failsafe",
        help="set the fan to full speed and light the error LEDs",
        description="Drives the fan to full speed and lights the error LEDs, then ends and leaves them so:"
        " what a service does when its daemon has ended. While a daemon runs, its pins are in use.",
    )
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Drive each part; 1 when one could not be."""
    found = failsafe(settings_of(arguments))
    if arguments.json:
        print_json({part: {"done": problem is None, "problem": problem} for part, problem in found.items()})
    else:
        for part, problem in found.items():
            print(f"{part}: {problem or 'done'}", file=sys.stderr if problem else sys.stdout)
        if not found:
            print("no fan and no LED is driven by these settings")
    return 1 if any(found.values()) else 0
