"""`taped hardware status`: what sensors, fan, LEDs and button of a running daemon say, or this machine's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from daemon.hardware.sensors import Sensors
from daemon.hardware.throttling import words_of
from tools import client
from tools.hardware_config import settings_of
from tools.output import print_json, print_table

_MEBIBYTE = 1 << 20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="show sensors, fan, LEDs and button",
        description="Asks a running daemon what its sensors, fan, LEDs and button say. With --direct no"
        " daemon is asked, and this machine's sensors are read. Exit code 1: something is wrong with them.",
    )
    client.add_arguments(parser)
    parser.add_argument("--direct", action="store_true", help="read the sensors here, without a daemon")
    parser.add_argument("--config", type=Path, metavar="FILE", help="with --direct: TOML file (TAPED_CONFIG)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it; 1 when something is wrong."""
    found = _direct(arguments) if arguments.direct else _asked(arguments)
    if arguments.json:
        print_json(found)
    else:
        _print(found)
    return 1 if found.get("reasons") else 0


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    document: dict[str, Any] = client.from_arguments(arguments).get("/api/v1/hardware").document
    return document


def _direct(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(arguments)
    sample = Sensors(settings.root, data=Path(), smart_file=settings.smart_file).read()
    bits = sample.readings["throttled_bits"]
    return {
        "readings": sample.readings,
        "governor": sample.governor,
        "throttled": words_of(bits) if isinstance(bits, int) else None,
    }


def _print(found: dict[str, Any]) -> None:
    rows = [(name, _shown(name, value)) for name, value in found["readings"].items()]
    print_table(("sensor", "value"), rows)
    print(f"\ngovernor   {found['governor'] or 'not known'}")
    print(f"throttled  {found['throttled'] or 'not known'}")
    fan = found.get("fan")
    if fan is not None:
        duty = "not known" if fan["duty_percent"] is None else f"{fan['duty_percent']} %"
        print(f"fan        {fan['kind']}" + ("" if fan["kind"] == "none" else f", {duty} ({fan['reason']})"))
        for name, state in found["parts"].items():
            print(f"{name.removeprefix('hardware.'):<10} {'works' if state == 'closed' else 'does not work'}")
    for reason in found.get("reasons", []):
        print(f"! {reason}")


def _shown(name: str, value: float | None) -> str | None:
    if value is None:
        return None
    if name.endswith("_bytes"):
        return f"{value / _MEBIBYTE:,.0f} MiB"
    return f"{value:g}"
