"""What the account was worth, on a grid of time that grows coarser with the length of the run. Pure, bounded.

A point is the state before the first event that was looked at, at its time or behind it. Where nothing was
recorded there is no point. When `MAX_POINTS` are there, the next longer step takes over and the last point
of each remains; the longest is a day, of which the time in nanoseconds has 213,504.
"""

from __future__ import annotations

import msgspec

SECOND_NS = 1_000_000_000
_SECONDS = (1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)
STEPS_NS = tuple(seconds * SECOND_NS for seconds in _SECONDS)
"""Each divides the next, so that a coarser grid is a part of the finer one."""
MAX_POINTS = 2_048


class Point(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The account at a time. Money is at 18 decimals of the reporting currency.

    Attributes:
        ts_ns: when.
        equity: cash and positions at their marks.
        flow: what was paid in since the point before, so that it is no profit.
        gross: value of all positions without their signs.
        net: the same with their signs.
        marks: price of each instrument, scaled, in the order of definition; None before the first.
    """

    ts_ns: int
    equity: int
    flow: int = 0
    gross: int = 0
    net: int = 0
    marks: tuple[int | None, ...] = ()


class Curve:
    """Points in order of time.

    Attributes:
        points: those kept.
        step_ns: their grid.
        due_ns: time of the next point; the first event is due at once.
    """

    def __init__(self, *, max_points: int = MAX_POINTS) -> None:
        self.points: list[Point] = []
        self.step_ns = STEPS_NS[0]
        self.due_ns = -(2**63)
        self._max_points = max_points

    def time_of(self, event_ns: int) -> int:
        """Return the time that a point bears which is made because of an event."""
        return self.due_ns if self.points else event_ns

    def add(self, point: Point, event_ns: int) -> None:
        """Take a point that is due, made before an event of that time."""
        if self.points and self.points[-1].ts_ns >= point.ts_ns:
            point = _later(self.points.pop(), point)
        self.points.append(point)
        while len(self.points) >= self._max_points and self.step_ns < STEPS_NS[-1]:
            self._coarsen()
        self.due_ns = (event_ns // self.step_ns + 1) * self.step_ns

    def finish(self, point: Point) -> None:
        """Take the last point, which bears the time of the last event."""
        while self.points and self.points[-1].ts_ns >= point.ts_ns:
            point = _later(self.points.pop(), point)
        self.points.append(point)

    def _coarsen(self) -> None:
        self.step_ns = step = STEPS_NS[STEPS_NS.index(self.step_ns) + 1]
        kept = self.points[:1]
        for point in self.points[1:]:
            moved = msgspec.structs.replace(point, ts_ns=-(-point.ts_ns // step) * step)
            if len(kept) > 1 and kept[-1].ts_ns == moved.ts_ns:
                moved = _later(kept.pop(), moved)
            kept.append(moved)
        self.points = kept


def _later(earlier: Point, later: Point) -> Point:
    """Return the later of two points in one place; what was paid in before both belongs to it."""
    if not earlier.flow:
        return later
    return msgspec.structs.replace(later, flow=earlier.flow + later.flow)
