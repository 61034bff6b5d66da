"""What is packed comes back as it was, in place; what has no exact form is refused by name."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading import memory
from daemon.trading.indicators import SMA
from daemon.trading.memory import RecallError
from schemas.events import Side

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=20),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(deque),
        st.dictionaries(st.one_of(st.integers(), st.text()), inner, max_size=4),
    ),
    max_leaves=12,
)


def over_the_wire(plain):
    return msgspec.msgpack.decode(msgspec.msgpack.encode(plain))


def is_same(left, right) -> bool:
    """Compare types too: True is no 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(is_same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple, deque)):
        return len(left) == len(right) and all(map(is_same, left, right))
    return left == right


@given(values)
def test_every_value_comes_back_as_it_was(value):
    current = None if not isinstance(value, (list, tuple, deque, dict)) else type(value)()
    assert is_same(memory.restore(current, over_the_wire(memory.pack(value))), value)


@dataclass
class Leg:
    average: SMA
    seen: dict[int, str] = field(default_factory=dict)
    last: tuple[int, float] | None = None


class Owner:
    def __init__(self) -> None:
        self.legs = {1: Leg(SMA(3)), 2: Leg(SMA(2))}
        self.queue: deque[int] = deque(maxlen=3)
        self.count = 0


NAMES = ("legs", "queue", "count")


def test_records_and_indicators_are_filled_in_place():
    old, new = Owner(), Owner()
    for price in (5, 6, 7, 8):
        old.legs[1].average.update(price)
        old.queue.append(price)
    old.legs[2].seen[2**70] = "far"
    old.legs[2].last = (1, 0.1)
    legs, average, queue = new.legs, new.legs[1].average, new.queue
    memory.load(new, NAMES, over_the_wire(memory.dump(old, NAMES)))
    assert (new.legs is legs, new.legs[1].average is average) == (True, True)
    assert average.update(9) == old.legs[1].average.update(9) == 8
    assert new.legs[2] is legs[2]
    assert (new.legs[2].seen, new.legs[2].last) == ({2**70: "far"}, (1, 0.1))
    assert list(new.queue) == [6, 7, 8]
    assert new.queue.maxlen == queue.maxlen == 3


@pytest.mark.parametrize("value", [{1, 2}, object(), Side.BUY, 1j, [Side.BUY]])
def test_what_has_no_plain_form_is_refused_by_name(value):
    with pytest.raises(RecallError, match=r"(set|object|Side|complex) cannot be remembered"):
        memory.pack(value)


@pytest.mark.parametrize(
    ("current", "plain"),
    [
        (None, ["object", [1]]),
        (None, ["record", 1]),
        (SMA(2), 5),
        (Leg(SMA(2)), ["record", 1]),
        (1, ["unheard of"]),
    ],
)
def test_a_plain_form_of_something_else_is_refused(current, plain):
    with pytest.raises(RecallError):
        memory.restore(current, plain)


def test_another_number_of_attributes_is_refused():
    with pytest.raises(RecallError, match="3 attributes"):
        memory.load(Owner(), NAMES, [1, 2])
