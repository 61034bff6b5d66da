"""Bodies of requests: strict JSON records, and in plain words what is wrong with a refused one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec
from aiohttp import web

from daemon.api.problems import Problem

T = TypeVar("T")

Decimal = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,19}(\.[0-9]{1,18})?\Z", max_length=38)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]*\Z", max_length=128)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

_WHERE = re.compile(r" - at `\$\.(\w+)(?:[.\[].*)?`$")
_NUMBER = re.compile(r"got `(?:int|float)`")
_ABOUT_A_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(.*?)`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Body(Generic[T]):
    """One kind of body.

    Attributes:
        record: what its JSON holds.
        name: what it is called in an error, with its article.
        expected: field to what must stand there, in words.
        decimals: fields that hold decimal text.
        code: of the problem, see `Problem`.
    """

    record: type[T]
    name: str
    expected: Mapping[str, str]
    decimals: frozenset[str] = frozenset()
    code: str = "invalid-body"

    def parse(self, body: bytes) -> T:
        """Return the record that a body holds.

        Raises:
            Problem: 400 when it is not JSON; 422 when a field is not as it must be, with what it must be.
        """
        try:
            return msgspec.json.decode(body, type=self.record)
        except msgspec.ValidationError as error:
            field, detail = self._in_words(str(error))
            extra = {"field": field} if field else {}
            raise Problem(422, detail, code=self.code, extra=extra) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(400, f"the body is not JSON: {error}", code="not-json") from None

    def _in_words(self, message: str) -> tuple[str, str]:
        """Return the field a message is about ("" for the whole body), and what people are told."""
        where = _WHERE.search(message)
        about = _ABOUT_A_FIELD.match(message)
        if about and (where is None or where[1] not in self.expected):
            field = about[2][:64]
            missing = about[1] == "missing required"
            return field, field + (" is missing" if missing else f": there is no such field in {self.name}")
        if where is None or where[1] not in self.expected:
            return "", f"the body is not an object with the fields of {self.name}"
        field = where[1]
        if field in self.decimals and _NUMBER.search(message):
            # A number of JSON would pass through a float in most programs, and lose digits on the way.
            return field, f'{field}: expected decimal text in quotes, such as "0.1", not a number'
        return field, f"{field}: expected {self.expected[field]}"


async def read_json_body(request: web.Request) -> bytes:
    """Return the body of a request that says it is JSON.

    Raises:
        Problem: 415 for another content type.
    """
    if request.content_type != "application/json":
        raise Problem(415, "the body must be application/json", code="media-type")
    return await request.read()
