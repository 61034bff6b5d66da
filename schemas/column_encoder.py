"""Writes batches of events as columns, see `schemas.columns`; tries out what suits each column."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from itertools import groupby, islice, repeat
from operator import attrgetter, sub
from typing import Any, NamedTuple

import msgspec
import zstandard

from schemas.codec import CODEC, AnyEvent, UnknownEvent
from schemas.columns import RECORDS, UNSIGNED, WIDTHS, Column, ColumnBatch, Form, Group
from schemas.events import EVENT_TYPES

LEVEL = 9
_TRIAL_LEVEL = 3
_TRY_EVERY = 16
_ROWS_BELOW = 48  # A column costs some 20 bytes of its own, so few events are smaller as rows.
_MAX_KEYS = 1 << 16
_REFERENCES = 4
_BYTES_PER_NS = 0.01  # 10 ns less for each reading of a number are worth a tenth of a byte.
_IDS = {record: type_id for type_id, record in RECORDS.items()}
_GETTERS = {
    record: [attrgetter(field.name) for field in msgspec.structs.fields(record)] for record in EVENT_TYPES
}
_pack = msgspec.msgpack.Encoder().encode


class _Written(IntEnum):
    """How numbers are written: as they are, divided by what divides all, or as indexes."""

    PLAIN = 0
    SCALED = 1
    CODED = 2


class _Plan(NamedTuple):
    """How a column of integers is written."""

    summed: bool
    reference: int
    written: _Written
    planes: bool


class ColumnEncoder:
    """Turns batches of events into columns; remembers what suited each column.

    One thread at a time may use it.
    """

    def __init__(self, level: int = LEVEL) -> None:
        self._zstd = zstandard.ZstdCompressor(level=level)
        self._trial = zstandard.ZstdCompressor(level=_TRIAL_LEVEL)
        self._plans: dict[object, tuple[_Plan, int]] = {}

    def encode(self, events: Sequence[AnyEvent]) -> bytes:
        """Return bytes from which `decode_events` makes these events."""
        by_type: dict[type, list[AnyEvent]] = {}
        for event in events:
            by_type.setdefault(type(event), []).append(event)
        common = [
            kind for kind, found in by_type.items() if kind is not UnknownEvent and len(found) >= _ROWS_BELOW
        ]
        groups = [self._group(kind, by_type[kind]) for kind in common]
        if len(common) < len(by_type):
            rows = [event for event in events if type(event) not in common]
            groups.append(Group(0, len(rows), [self._bytes(CODEC.encode(rows))]))
        place = dict(zip(common, range(len(common)), strict=True))
        order = (place.get(type(event), len(common)) for event in events) if len(groups) > 1 else ()
        runs = [(place, sum(1 for _ in run)) for place, run in groupby(order)]
        return _pack(
            ColumnBatch(
                len(events),
                groups,
                len(runs),
                self.numbers("places", [place for place, _ in runs]),
                self.numbers("lengths", [length for _, length in runs]),
            )
        )

    def _group(self, kind: type, events: list[AnyEvent]) -> Group:
        type_id = _IDS[kind]
        fields = [list(map(getter, events)) for getter in _GETTERS[kind]]
        columns: list[Column] = []
        integers: list[tuple[int, list[int]]] = []
        for n, values in enumerate(fields):
            columns.append(self._column((type_id, n), values, integers))
            if columns[-1].form in (Form.NUMBERS, Form.CODED) and type(values[0]) is int:
                integers.append((n, values))
        return Group(type_id, len(events), columns)

    def numbers(self, key: object, values: list[int]) -> Column:
        """Return a column of integers of 64 bits; `key` names it from batch to batch."""
        return self._column(key, values, [])

    def _column(self, key: object, values: list[Any], earlier: list[tuple[int, list[int]]]) -> Column:
        kinds = set(map(type, values))
        if not values:
            return Column(form=Form.CONSTANT, data=_pack(None))
        if len(kinds) == 1:
            (kind,) = kinds
            same = kind in (str, type(None), bool) or issubclass(kind, int)
            if same and values.count(values[0]) == len(values):
                return Column(form=Form.CONSTANT, data=_pack(values[0]))
            if issubclass(kind, int) and kind is not bool:
                return self._integers(key, values, earlier) or self._values(values)
            if kind is str:
                return self._texts(values)
        if kinds <= {int, str, type(None)}:
            return self._mixed(key, values)
        return self._values(values)

    def _mixed(self, key: object, values: list[Any]) -> Column:
        which = {type(None): 0, int: 1, str: 2}
        kinds = [which[type(value)] for value in values]
        integers = [value for value in values if type(value) is int]
        texts = [value for value in values if type(value) is str]
        parts = [
            self._column((key, "kinds"), kinds, []),
            self._column((key, "integers"), integers, []),
            self._column((key, "texts"), texts, []),
        ]
        return Column(form=Form.MIXED, parts=parts)

    def values(self, values: list[Any]) -> Column:
        """Return a column of anything msgpack can write."""
        return self._values(values)

    def _values(self, values: list[Any]) -> Column:
        return self._bytes(_pack(values))

    def _bytes(self, data: bytes) -> Column:
        return Column(form=Form.VALUES, data=self._zstd.compress(data), raw_bytes=len(data))

    def _texts(self, values: list[str]) -> Column:
        plain = self._values(values)
        coded = _coded(values)
        if coded is None:
            return plain
        numbers, keys = coded
        column = Column(
            form=Form.CODED,
            data=self._zstd.compress(numbers.tobytes()),
            raw_bytes=len(numbers) * numbers.itemsize,
            width=numbers.itemsize,
            keys=keys,
        )
        return min(column, plain, key=_length)

    def _integers(
        self, key: object, values: list[int], earlier: list[tuple[int, list[int]]]
    ) -> Column | None:
        """Return the column, or None when a number or a difference does not fit 64 bits."""
        references = dict(earlier[-_REFERENCES:])
        plan, uses = self._plans.get(key, (None, 0))
        if plan is not None and uses < _TRY_EVERY:
            column = _integer_column(values, plan, references, self._zstd)
            if column is not None:
                self._plans[key] = (plan, uses + 1)
                return column
        chosen = self._try(values, references)
        if chosen is None:
            return None
        self._plans[key] = (chosen, 1)
        return _integer_column(values, chosen, references, self._zstd)

    def _try(self, values: list[int], references: dict[int, list[int]]) -> _Plan | None:
        """Return the plan with the smallest outcome: first what to subtract, then how to write it."""

        def outcomes(plans: list[_Plan]) -> list[tuple[float, _Plan]]:
            columns = [(_integer_column(values, plan, references, self._trial), plan) for plan in plans]
            return sorted(
                (_length(column) + len(values) * _reading_ns(column) * _BYTES_PER_NS, plan)
                for column, plan in columns
                if column is not None
            )

        first = outcomes(
            [
                _Plan(summed, reference, written, planes=written is _Written.SCALED)
                for reference in (-1, *references)
                for summed in (False, True)
                for written in _Written
            ]
        )
        second = outcomes([plan._replace(planes=not plan.planes) for _, plan in first[:4]])
        return min(first + second)[1] if first else None


def _reading_ns(column: Column) -> int:
    """Return about what a number of the column costs to read, measured."""
    if column.width == 0:
        return 0
    written = 20 if column.form == Form.CODED else 13 if column.scale == 1 else 46
    return written + (27 if column.summed else 0) + (35 if column.reference >= 0 else 0)


def _length(column: Column) -> int:
    return len(column.data) + len(column.keys)


def _integer_column(
    values: list[int], plan: _Plan, references: dict[int, list[int]], zstd: zstandard.ZstdCompressor
) -> Column | None:
    """Write integers by a plan; None when it does not suit them."""
    numbers: list[int] = values
    if plan.reference >= 0:
        other = references.get(plan.reference)
        if other is None:
            return None
        numbers = list(map(sub, numbers, other))
    first = 0
    if plan.summed:
        first = int(numbers[0])
        numbers = list(map(sub, islice(numbers, 1, None), numbers))
    if numbers and numbers.count(numbers[0]) == len(numbers):
        return _even_column(first, numbers[0], plan)
    scale, keys = 1, b""
    narrow: array[int] | None
    if plan.written is _Written.CODED:
        coded = _coded(numbers)
        if coded is None:
            return None
        narrow, keys = coded
    else:
        scale = math.gcd(*numbers) or 1 if plan.written is _Written.SCALED else 1
        narrow = _narrowest(list(map(int.__floordiv__, numbers, repeat(scale))) if scale > 1 else numbers)
    if narrow is None or not -(2**63) <= first < 2**63:
        return None
    data = _planes(narrow) if plan.planes else narrow.tobytes()
    return Column(
        form=Form.CODED if plan.written is _Written.CODED else Form.NUMBERS,
        data=zstd.compress(data),
        raw_bytes=len(data),
        width=narrow.itemsize,
        planes=plan.planes,
        scale=scale,
        summed=plan.summed,
        first=first,
        reference=plan.reference,
        keys=keys,
    )


def _even_column(first: int, step: int, plan: _Plan) -> Column | None:
    if not (-(2**63) <= first < 2**63 and -(2**63) <= step < 2**63):
        return None
    return Column(
        form=Form.NUMBERS, scale=int(step), summed=plan.summed, first=first, reference=plan.reference
    )


def _narrowest(numbers: list[int]) -> array[int] | None:
    if not numbers:
        return array("b")
    low, high = min(numbers), max(numbers)
    for width, code in WIDTHS.items():
        limit = 1 << 8 * width - 1
        if -limit <= low and high < limit:
            return array(code, numbers)
    return None


def _coded(values: list[Any]) -> tuple[array[int], bytes] | None:
    """Return indexes into distinct values, the frequent ones first; None when they are too many."""
    counted = Counter(values)
    if len(counted) > min(_MAX_KEYS, len(values) // 2):
        return None
    keys = [value for value, _ in counted.most_common()]
    place = {value: n for n, value in enumerate(keys)}
    code = UNSIGNED[1 if len(keys) <= 1 << 8 else 2]
    try:
        return array(code, map(place.__getitem__, values)), _pack(keys)
    except OverflowError:
        return None


def _planes(numbers: array[int]) -> bytes:
    data, width = numbers.tobytes(), numbers.itemsize
    return b"".join(data[n::width] for n in range(width))
