"""What objects have learned, as plain exact values, and back into objects made the same way.

Plain is what msgpack holds: None, booleans, integers of 64 bits, floats, texts, bytes, and lists of
these. Anything else becomes a list that begins with the name of its shape, so nothing is guessed
when it is taken back. What has no exact form here is refused by name, never approximated.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.errors import TapedError

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_ROWS = (list, tuple, deque)
_LEAST, _MOST = -(2**63), 2**63 - 1


class RecallError(TapedError):
    """A value has no plain form, or a plain form is that of something else."""


def dump(owner: object, names: Iterable[str]) -> list[Any]:
    """Return the named attributes of an object in plain form.

    Raises:
        RecallError: one of them has none.
    """
    return [pack(getattr(owner, name)) for name in names]


def load(owner: object, names: Sequence[str], plain: Any) -> None:
    """Give an object the attributes that `dump` returned of one made the same way.

    Lists, dicts, records and indicators are filled in place: whoever holds one still holds it.

    Raises:
        RecallError: the plain form has another shape.
    """
    if not isinstance(plain, list) or len(plain) != len(names):
        raise RecallError(f"{type(owner).__name__}: no list of its {len(names)} attributes")
    for name, packed in zip(names, plain, strict=True):
        setattr(owner, name, restore(getattr(owner, name), packed))


def pack(value: Any) -> Any:
    """Return the plain form of a value.

    Made of scalars, lists, tuples, deques, dicts, dataclasses that are not frozen, and objects with
    `dump` and `load` (indicators).

    Raises:
        RecallError: it has none.
    """
    kind = type(value)
    if kind in _SCALARS:
        return ["int", str(value)] if kind is int and not _LEAST <= value <= _MOST else value
    if kind in _ROWS:
        return [kind.__name__, *_items(value)]
    if kind is dict:
        return ["dict", *([pack(key), pack(item)] for key, item in value.items())]
    if hasattr(value, "dump") and hasattr(value, "load"):
        return ["object", value.dump()]
    if dataclasses.is_dataclass(kind) and not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return ["record", *(pack(getattr(value, field.name)) for field in dataclasses.fields(kind))]
    raise RecallError(
        f"a value of type {kind.__name__} cannot be remembered",
        hint="scalars, lists, tuples, deques, dicts, dataclasses and indicators can",
    )


def _items(row: Iterable[Any]) -> Iterable[Any]:
    items = list(row)
    # Windows of prices are long, and floats stand for themselves.
    return items if set(map(type, items)) == {float} else map(pack, items)


def restore(current: Any, plain: Any) -> Any:
    """Return the value of a plain form; what `current` is made of is filled in place.

    Raises:
        RecallError: the plain form is not that of such a value.
    """
    if not isinstance(plain, list):
        if type(current) in _SCALARS:
            return plain
        raise _foreign(current, type(plain).__name__)
    shape, items = plain[0], plain[1:]
    if shape == "int":
        return int(items[0])
    if shape in ("list", "tuple", "deque"):
        return _row(current, shape, items)
    if shape == "dict":
        return _dict(current, items)
    if shape == "object" and hasattr(current, "load"):
        current.load(*items)
    elif shape == "record" and dataclasses.is_dataclass(current):
        load(current, [field.name for field in dataclasses.fields(current)], items)
    else:
        raise _foreign(current, shape)
    return current


def _row(current: Any, shape: str, items: list[Any]) -> Any:
    if shape == "list":
        return _list(current, items)
    if shape == "tuple":
        return tuple(_list(list(current) if type(current) is tuple else None, items))
    most = current.maxlen if type(current) is deque else None
    return deque((restore(None, item) for item in items), most)


def _list(current: Any, items: list[Any]) -> list[Any]:
    kept: list[Any] = current if type(current) is list else []
    if set(map(type, items)) == {float}:
        kept[:] = items
    elif len(kept) == len(items):
        kept[:] = [restore(old, item) for old, item in zip(kept, items, strict=True)]
    else:
        kept[:] = [restore(None, item) for item in items]
    return kept


def _dict(current: Any, items: list[Any]) -> dict[Any, Any]:
    kept: dict[Any, Any] = current if type(current) is dict else {}
    pairs = [(restore(None, key), item) for key, item in items]
    found = {key: restore(kept.get(key), item) for key, item in pairs}
    kept.clear()
    kept.update(found)
    return kept


def _foreign(current: Any, shape: str) -> RecallError:
    return RecallError(
        f"a plain {shape} was found where {type(current).__name__} stands",
        hint="records and indicators must be there once the object is made",
    )
