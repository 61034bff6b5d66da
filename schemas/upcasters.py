"""Lifts events of older layouts to today's, one version at a time.

An upcaster takes the raw array of one version, `[type, version, ts_ns, ...]`, and returns that of
the next. Version 1 is the first, so there is none yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Upcaster = Callable[[list[Any]], list[Any]]
Upcasters = Mapping[tuple[int, int], Upcaster]
"""(type id, version it reads) -> upcaster."""

UPCASTERS: Upcasters = {}
