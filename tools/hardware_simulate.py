"""`taped hardware simulate`: the board in a terminal, without any hardware."""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.hardware.leds import ALL, pattern_of
from schemas.events import BreakerState
from tools.output import UsageError, print_json
from tools.simulation import FAN_PIN, LED_PINS, SCRIPT, Simulation

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = 30
_COLOURS = {
    (1, 0, 0): "red",
    (1, 1, 0): "yellow",
    (0, 1, 0): "green",
    (0, 0, 1): "blue",
    (1, 0, 1): "magenta",
    (1, 1, 1): "white",
}
_EVENT_ROWS = 10


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    lap = sum(step.seconds for step in SCRIPT)
    parser = commands.add_parser(
        "simulate",
        help="show the board in a terminal, without any hardware",
        description="Plays heat, a lost sensor, failing pins, a weak supply and the button on a simulated"
        " board, with the daemon's own code, and shows temperature, fan, LEDs and events. Ctrl-C ends it.",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=float,
        metavar="SECONDS",
        help=f"stop after this time (default: {lap:g})",
    )
    parser.add_argument("--speed", type=float, default=1.0, help="play the script so many times faster")
    parser.add_argument("--json", action="store_true", help="show nothing, print the events at the end")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Play the script once, or for the time that was asked for."""
    lap = sum(step.seconds for step in SCRIPT)
    if not 0.1 <= arguments.speed <= 100:  # noqa: PLR2004
        raise UsageError(f"--speed is {arguments.speed:g}, expected 0.1 to 100")
    seconds = lap / arguments.speed if arguments.seconds is None else arguments.seconds
    # What fails here is shown, and not logged beside the picture.
    logging.getLogger("daemon").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory(prefix="taped-board-") as folder:
        simulation = Simulation(Path(folder), speed=arguments.speed)
        if arguments.json:
            asyncio.run(simulation.run(seconds, lambda: None))
            print_json(
                {"events": list(simulation.told), "trading": simulation.core.trading_state.name.lower()}
            )
        else:
            _show(simulation, seconds)
    return 0


def _show(simulation: Simulation, seconds: float) -> None:
    # Imported here, because it costs 60 ms and most commands show nothing of the kind.
    from rich.live import Live  # noqa: PLC0415

    with Live(_view(simulation), refresh_per_second=8) as live:
        asyncio.run(simulation.run(seconds, lambda: live.update(_view(simulation))))


def _view(simulation: Simulation) -> RenderableType:
    """Return the picture of this moment."""
    from rich.columns import Columns  # noqa: PLC0415
    from rich.console import Group  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    readings = simulation.hardware.readings
    board = Table.grid(padding=(0, 2))
    board.add_row("processor", _thermometer(readings.get("cpu_celsius")))
    board.add_row("NVMe drive", _thermometer(readings.get("nvme_celsius")))
    board.add_row("fan", _fan(simulation))
    board.add_row("LED", _led(simulation))
    board.add_row("trading", Text(simulation.core.trading_state.name.lower()))
    board.add_row("pins", _parts(simulation))
    events = Text("\n".join(list(simulation.told)[-_EVENT_ROWS:]), overflow="ellipsis", no_wrap=True)
    reasons = Text("\n".join(f"! {reason}" for reason in simulation.hardware.reasons()), style="yellow")
    return Group(
        Panel(board, title="simulated board", subtitle=simulation.doing, expand=False),
        Columns([Panel(events, title="events", height=_EVENT_ROWS + 2, width=100)]),
        reasons,
    )


def _thermometer(celsius: Any) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    if celsius is None:
        return Text("no reading", style="red")
    lit = round(min(max(celsius - 20, 0) / 75, 1.0) * _BAR)
    style = "red" if celsius >= 80 else "yellow" if celsius >= 60 else "green"  # noqa: PLR2004
    return Text.assemble(("━" * lit, style), ("━" * (_BAR - lit), "dim"), f" {celsius:5.1f} °C")


def _parts(simulation: Simulation) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    parts = simulation.hardware.parts
    broken = [name.removeprefix("hardware.") for name in parts if parts[name] is not BreakerState.CLOSED]
    return Text(f"{', '.join(broken)} failed", style="red") if broken else Text("work")


def _fan(simulation: Simulation) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    level = simulation.board.level(FAN_PIN)
    if level is None:
        return Text("nobody drives the line: full speed", style="red")
    lit = round(level * _BAR)
    reason = simulation.hardware.document()["fan"]["reason"]
    return Text.assemble(("━" * lit, "cyan"), ("━" * (_BAR - lit), "dim"), f" {level:4.0%}  {reason}")


def _led(simulation: Simulation) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    red, green, blue = (round(simulation.board.level(pin) or 0) for pin in LED_PINS)
    style = _COLOURS.get((red, green, blue))
    pattern = pattern_of(ALL, simulation.hardware.lamp_states())
    told = "nothing is known" if pattern is None else f"{pattern.state}: {pattern.meaning}"
    return Text.assemble(("● " if style else "○ ", style or "dim"), told)
