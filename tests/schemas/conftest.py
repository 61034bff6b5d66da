"""Strategies that build any event from the types of its fields."""

from __future__ import annotations

import types
from enum import IntEnum
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import strategies as st

from schemas.events import EVENT_TYPES, Event

INT64 = st.integers(-(2**63), 2**63 - 1)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: INT64,
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=40),
    type(None): st.none(),
}


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a field's type."""
    if kind in PLAIN:
        return PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([of_type(argument) for argument in arguments])
    if origin is list:
        return st.lists(of_type(arguments[0]), max_size=4)
    if origin is dict:
        return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=4)
    assert issubclass(kind, IntEnum), f"no strategy for {kind}"
    return st.sampled_from(kind)


def of_record(record: type[Event]) -> st.SearchStrategy[Event]:
    """Return a strategy for events of one type."""
    fields = {field.name: of_type(field.type) for field in msgspec.structs.fields(record)}
    return st.builds(record, **fields)


@pytest.fixture(scope="session")
def events_of():
    """Strategy by event type."""
    return of_record


@pytest.fixture(scope="session")
def any_event():
    """Strategy for an event of any type."""
    return st.one_of([of_record(record) for record in EVENT_TYPES])
