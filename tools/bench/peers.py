"""Other backtest engines beside ours: their environment, the ticks they are given, and runs of them.

They live in an environment of their own in the user's cache folder, made by the first run with
`--peers`, and each run is a process of its own. Nothing of them is ever imported here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec

from schemas.errors import TapedError
from schemas.events import Trade

PEERS = {"nautilus": "nautilus_trader==1.221.0", "backtrader": "backtrader==1.9.78.123"}
"""Their names and what is installed: the versions whose figures stand in `replay/README.md`."""
_INSTALL_S, _RUN_S = 900, 600


class Figures(msgspec.Struct, frozen=True):
    """What a run in a process of its own came to; `filled` counts orders, or fills where it is ours."""

    version: str
    seconds: float
    events: int
    orders: int
    filled: int
    peak_mb: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class PeersError(TapedError):
    """The peers cannot be had or do not run."""


def environment() -> Path:
    """Return the interpreter of the peers' environment; makes it when it is not there.

    Raises:
        PeersError: it cannot be made, for want of a network for example.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "taped" / f"peers-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    wanted = "\n".join(PEERS.values())
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    _call([sys.executable, "-m", "venv", "--clear", str(folder)], _INSTALL_S)
    _call([str(python), "-m", "pip", "install", "--quiet", *PEERS.values()], _INSTALL_S)
    done.write_text(wanted, encoding="utf-8")
    return python


def write_ticks(path: Path, trades: Sequence[Trade]) -> None:
    """Append the columns that peers read; prices at two decimals, quantities at four, of eight."""
    times = array("q", [trade.ts_ns for trade in trades])
    prices = array("q", [trade.price // 10**6 for trade in trades])
    quantities = array("q", [trade.quantity // 10**4 for trade in trades])
    path.write_bytes(times.tobytes() + prices.tobytes() + quantities.tobytes())


def run_peer(python: Path, name: str, ticks: Path, terms: Sequence[str]) -> Figures:
    """Run a peer in a process of its own.

    Raises:
        PeersError: it failed.
    """
    program = Path(__file__).with_name(f"peer_{name}.py")
    return figures(_call([str(python), str(program), str(ticks), *terms], _RUN_S))


def figures(output: str) -> Figures:
    """Read the last line of a run."""
    return msgspec.json.decode(output.strip().rpartition("\n")[2], type=Figures)


def _call(words: Sequence[str], timeout_s: float) -> str:
    try:
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=timeout_s)  # noqa: S603  # our own words
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().rpartition("\n")[2]
        raise PeersError(
            f"{' '.join(words[:4])} ... failed: {said[:300]}",
            hint="the peers come from PyPI, which needs a network; without --peers taped is measured alone",
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeersError(f"{' '.join(words[:4])} ...: {error}"[:300]) from error
    return done.stdout
