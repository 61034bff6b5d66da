"""Records stored by position, with the names of the positions beside them; no files.

State that must outlive the code that wrote it is written as arrays, which are small and quick, and
once for all of them as a layout: the names of each record's fields, in order. Code that has the same
layout reads the arrays as they are. Later code finds each field by its name: one that the writer did
not know yet gets the default its record declares, one that the reader does not know is refused by
name, unless a lift tells what became of it. A record is a msgspec struct with `array_like=True`;
events inside one are read by the codec, which lifts older versions itself.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from schemas.codec import CODEC, CodecError, UnknownEvent
from schemas.errors import TapedError
from schemas.events import Event

T = TypeVar("T")

Layouts = Mapping[str, list[str]]
"""Names of the fields, in order of their positions, by name of the record."""

Lift = Callable[[dict[str, Any]], None]
"""Changes the stored fields of one record, by name and plain, to those of today."""

_encode = msgspec.msgpack.Encoder().encode


class LayoutError(TapedError):
    """A stored record has a field nobody knows, lacks one without a default, or holds what cannot be."""


def layouts_of(*kinds: Any) -> dict[str, list[str]]:
    """Return the layouts of all records in these types."""
    return {_name(kind): _fields(kind) for whole in kinds for kind in _records(whole)}


class LayoutReader(Generic[T]):
    """Reads values of one type from bytes that were written with these layouts.

    Args:
        kind: the type of a whole value.
        stored: the layouts it was written with.
        lifts: by name of the record; asked only where the layouts differ.
    """

    def __init__(self, kind: Any, stored: Layouts, lifts: Mapping[str, Lift] | None = None) -> None:
        self._kind = kind
        self._stored = stored
        self._lifts = lifts or {}
        self._same = all(stored.get(name) == fields for name, fields in layouts_of(kind).items())
        self._decoder = msgspec.msgpack.Decoder(kind)

    def read(self, data: bytes | memoryview) -> T:
        """Return the value.

        Raises:
            LayoutError: it cannot be read by today's records.
        """
        if self._same:
            try:
                value: T = self._decoder.decode(data)
            except msgspec.ValidationError:
                pass  # An event of an older version, perhaps.
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise LayoutError(f"not a record: {error}") from error
            else:
                return value
        try:
            lifted: T = self._lifted(self._kind, msgspec.msgpack.decode(data))
        except (msgspec.MsgspecError, CodecError, ValueError, TypeError, RecursionError) as error:
            raise LayoutError(f"not a record: {error}") from error
        return lifted

    def _lifted(self, kind: Any, value: Any) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if _is_record(kind):
            return self._record(kind, value)
        if _is_event(kind):
            return _event(value)
        if origin in (Union, types.UnionType):
            only = _only(kind)
            plain = value is None or get_origin(only) in (Union, types.UnionType)
            return msgspec.convert(value, kind) if plain else self._lifted(only, value)
        if origin is list:
            return [self._lifted(arguments[0], item) for item in value]
        if origin is dict:
            return {self._lifted(arguments[0], k): self._lifted(arguments[1], v) for k, v in value.items()}
        return msgspec.Raw(_encode(value)) if kind is msgspec.Raw else msgspec.convert(value, kind)

    def _record(self, kind: Any, value: Any) -> Any:
        name = _name(kind)
        names = self._stored.get(name)
        if names is None or not isinstance(value, list) or len(value) != len(names):
            raise LayoutError(f"{name}: {value!r:.200} is not what its layout {names} says")
        given = dict(zip(names, value, strict=True))
        if name in self._lifts:
            self._lifts[name](given)
        hints = get_type_hints(kind)
        unknown = sorted(given.keys() - hints.keys())
        if unknown:
            raise LayoutError(
                f"{name} has a field {unknown[0]!r} that this taped does not know",
                hint="a newer taped wrote it: upgrade taped",
            )
        missing = [field.name for field in msgspec.structs.fields(kind) if field.required]
        missing = [field for field in missing if field not in given]
        if missing:
            raise LayoutError(f"{name} lacks its field {missing[0]!r}, which has no default")
        return kind(**{field: self._lifted(hints[field], item) for field, item in given.items()})


def _name(kind: Any) -> str:
    return str(kind.__name__).lstrip("_")


def _fields(kind: Any) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not issubclass(kind, Event)


def _is_event(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Event)


def _records(kind: Any) -> Iterator[Any]:
    """Yield every record in a type."""
    if _is_record(kind):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from _records(hint)
    for argument in get_args(kind):
        yield from _records(argument)


def _only(kind: Any) -> Any:
    """Return what a value of an optional type is when it is not None."""
    found = [argument for argument in get_args(kind) if argument is not types.NoneType]
    return found[0] if len(found) == 1 else Union[tuple(found)]  # noqa: UP007  # made at run time


def _event(value: Any) -> Event:
    event = CODEC.decode(_encode([value]))[0]
    if isinstance(event, UnknownEvent):
        raise LayoutError(f"an event of type {event.type_id}, version {event.version}", hint="upgrade taped")
    return event
