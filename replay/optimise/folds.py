"""Walk-forward: where a search looks, and where its winner is tried, fold after fold. Ranges of time only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal, NamedTuple

from replay.source import open_source
from replay.spec import BacktestSpec
from schemas.errors import TapedError
from schemas.events import Bar, Quote, Trade

Walk = Literal["anchored", "rolling"]
WALKS: tuple[Walk, ...] = ("anchored", "rolling")
MAX_FOLDS = 100
TRAIN_PARTS = 3
"""Unless told otherwise the first search sees three times as much as its winner is tried on."""
_SAMPLES = 4_096
_LEAST_TICKS = 2
_TICKS = frozenset({Trade, Quote, Bar})


class FoldsError(TapedError):
    """The recorded time cannot be cut like that."""


class Fold(NamedTuple):
    """A search's time and that of the trial of its winner, which begins behind it; in ns, ends included."""

    train_from_ns: int
    train_to_ns: int
    test_from_ns: int
    test_to_ns: int


def tick_times(spec: BacktestSpec) -> list[int]:
    """Return times of ticks evenly taken out of all in a spec's range, the first and the last included.

    They never fall: of venues whose clocks differ the later time counts.
    """
    times: list[int] = []
    step, number, last = 1, 0, 0
    for batch in open_source(spec).batches():
        for event in batch.events:
            if type(event) not in _TICKS:
                continue
            last = max(last, event.ts_ns)
            if not number % step:
                times.append(last)
                if len(times) >= 2 * _SAMPLES:
                    del times[1::2]
                    step *= 2
            number += 1
    return [*times, last] if number else []


def make_folds(
    times: Sequence[int], walk: Walk, *, folds: int, train_ns: int | None = None, test_ns: int | None = None
) -> list[Fold]:
    """Return the folds in order; the last one ends with the last tick.

    Without lengths the ticks are cut into `folds + TRAIN_PARTS` parts of equally many: a quiet market has
    longer parts. Each test is one part; a search sees the `TRAIN_PARTS` before it when rolling, all before
    it when anchored.

    Args:
        times: of ticks, see `tick_times`.
        walk: whether the searches' beginning moves on.
        folds: how many.
        train_ns: length of a search's time, of the first one when anchored.
        test_ns: length of a test's time.

    Raises:
        FoldsError: there are too few ticks, or the lengths do not fit.
    """
    if not 1 <= folds <= MAX_FOLDS:
        raise FoldsError(f"{folds} folds, expected 1 to {MAX_FOLDS}")
    if (train_ns is None) is not (test_ns is None):
        raise FoldsError("a length of one kind alone", hint="give --train and --test, or neither")
    if len(times) < folds + TRAIN_PARTS:
        raise FoldsError(f"{len(times)} ticks, too few for {folds} folds")
    if train_ns is None or test_ns is None:
        return _by_ticks(times, walk, folds)
    first, last = times[0], times[-1]
    begin = last + 1 - folds * test_ns
    if begin - train_ns < first:
        raise FoldsError(
            f"{folds} folds of these lengths take {_days(train_ns + folds * test_ns)} days,"
            f" the data is of {_days(last - first)}",
            hint="take fewer or shorter ones",
        )
    found = []
    for fold in range(folds):
        start = begin + fold * test_ns
        train_from = first if walk == "anchored" else start - train_ns
        found.append(Fold(train_from, start - 1, start, start + test_ns - 1))
    return [_checked(times, fold, number) for number, fold in enumerate(found, 1)]


def _by_ticks(times: Sequence[int], walk: Walk, folds: int) -> list[Fold]:
    parts = folds + TRAIN_PARTS
    edges = [times[at * (len(times) - 1) // parts] for at in range(parts)] + [times[-1] + 1]
    found = []
    for fold in range(folds):
        train_from = edges[0 if walk == "anchored" else fold]
        start, stop = edges[fold + TRAIN_PARTS], edges[fold + TRAIN_PARTS + 1]
        found.append(Fold(train_from, start - 1, start, stop - 1))
    return [_checked(times, fold, number) for number, fold in enumerate(found, 1)]


def _checked(times: Sequence[int], fold: Fold, number: int) -> Fold:
    """Refuse a fold in whose time nothing happens, such as a weekend."""
    for what, begin, end in (("search", *fold[:2]), ("test", *fold[2:])):
        if bisect_left(times, end + 1) - bisect_left(times, begin) < _LEAST_TICKS:
            raise FoldsError(
                f"fold {number}: hardly any tick in the time of its {what}", hint="take fewer or longer folds"
            )
    return fold


def _days(ns: int) -> str:
    return f"{ns / 86_400e9:,.2f}"
