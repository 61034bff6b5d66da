"""Bytes that journals hold by now: what was written once is read and written the same for ever."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgpack
import msgspec
import pytest

from schemas.codec import CODEC
from schemas.events import EVENT_TYPES

FILE = Path(__file__).with_name("golden.jsonl")
LINES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
RECORDS = {record.__name__: record for record in EVENT_TYPES}

# Golden lines are never edited, only added to: the first ones must stay as they were.
FIXED_LINES = 66
FIXED_SHA256 = "61d9e4b8af753dcb847093d443a79bc6dd84e9f6259de5f95d8f1637e63d270a"


def event_of(line):
    record = RECORDS[line["event"]]
    types = {field.name: field.type for field in msgspec.structs.fields(record)}
    return record(**{name: msgspec.convert(value, types[name]) for name, value in line["fields"].items()})


def name_of(line):
    return f"{line['event']}-{line['case']}"


@pytest.mark.parametrize("line", LINES, ids=name_of)
def test_an_event_is_written_as_its_golden_bytes(line):
    assert CODEC.encode([event_of(line)]).hex() == line["hex"]


@pytest.mark.parametrize("line", LINES, ids=name_of)
def test_golden_bytes_are_read_as_their_event(line):
    assert CODEC.decode(bytes.fromhex(line["hex"])) == [event_of(line)]


@pytest.mark.parametrize("line", LINES, ids=name_of)
def test_the_second_reader_sees_the_same_fields(line):
    record = RECORDS[line["event"]]
    ((type_id, version, *values),) = msgpack.unpackb(bytes.fromhex(line["hex"]), strict_map_key=False)
    names = [field.name for field in msgspec.structs.fields(record) if field.name != "version"]
    assert (type_id, version) == (record.__struct_config__.tag, line["version"])
    found = dict(zip(names, values, strict=True))
    assert {name: found[name] for name in line["fields"]} == line["fields"]


def test_every_event_has_a_full_and_a_minimal_golden_line():
    cases = {(line["event"], line["case"]) for line in LINES}
    assert {(name, case) for name in RECORDS for case in ("full", "minimal")} <= cases


def test_a_full_golden_line_names_every_field():
    for line in LINES:
        if line["case"] == "full":
            fields = {field.name for field in msgspec.structs.fields(RECORDS[line["event"]])}
            assert set(line["fields"]) == fields - {"version"}


def test_golden_lines_are_only_added_to():
    fixed = "".join(FILE.read_text(encoding="utf-8").splitlines(keepends=True)[:FIXED_LINES])
    assert hashlib.sha256(fixed.encode()).hexdigest() == FIXED_SHA256
