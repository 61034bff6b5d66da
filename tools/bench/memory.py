"""Resident memory of the demo after a minute."""

from __future__ import annotations

import time
from pathlib import Path

from tools.bench.process import demo, resident_mb
from tools.bench.report import Result


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `memory.demo_mb`."""
    del market_data
    with demo(scratch / "data") as running:
        time.sleep(6 if quick else 60)
        now, peak = resident_mb(running.pid), resident_mb(running.pid, "VmHWM")
    return [Result(name="memory.demo_mb", unit="MB", value=round(now, 1), detail={"peak_mb": round(peak, 1)})]
