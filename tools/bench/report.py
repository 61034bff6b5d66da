"""What a benchmark reports, and how rounds of competitors are taken in turn."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, and what it is in ratio to others of the same run."""

    name: str
    unit: str
    value: float
    ratios: dict[str, float] = {}
    detail: dict[str, Any] = {}


def machine(scratch: Path) -> dict[str, Any]:
    """Return what the figures depend on: processor, interpreter, kernel, file system."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_build": " ".join(platform.python_build()),
        "file_system": _file_system(scratch),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    best = ("", "unknown")
    target = str(folder.resolve()) + "/"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, kind, *_ = line.split()
        if target.startswith(mount.rstrip("/") + "/") and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def in_turn(competitors: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Run every competitor once a round and return the median of each.

    The rounds are interleaved, so a slow spell of the machine falls on all of them.
    """
    taken: dict[str, list[float]] = {name: [] for name in competitors}
    for _ in range(rounds):
        for name, competitor in competitors.items():
            taken[name].append(competitor())
    return {name: statistics.median(values) for name, values in taken.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which that share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def print_results(results: Sequence[Result]) -> None:
    """Print a line for each figure."""
    for result in results:
        ratios = ", ".join(f"{ratio:.2f} x {against}" for against, ratio in result.ratios.items())
        value = f"{result.value:,.0f}" if result.value >= 1000 else f"{result.value:.3g}"  # noqa: PLR2004
        print(f"{result.name:24} {value:>14} {result.unit:12} {ratios}".rstrip())
        for name, detail in result.detail.items():
            shown = f"{detail:,.2f}" if isinstance(detail, float) else str(detail)
            print(f"{'':24} {shown:>14} {name}")
    sys.stdout.flush()
