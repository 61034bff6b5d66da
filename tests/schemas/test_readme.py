"""The byte format as schemas/README.md draws it is the one the code has."""

from __future__ import annotations

import re
import types
from enum import IntEnum
from typing import Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

import schemas.events
from daemon.journal import archive_file
from daemon.journal.archive_file import Block, BlockEntry, Footer
from schemas import base_state, frame
from schemas.columns import Column, ColumnBatch, Form, Group
from schemas.events import EVENT_TYPES


def type_name(kind):
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("nil" if part is type(None) else type_name(part) for part in arguments)
    if origin is dict:
        return f"map of {type_name(arguments[1])}"
    if origin is list:
        return f"array of {type_name(arguments[0])}"
    return {int: "int", str: "str", bool: "bool", float: "float"}.get(kind) or kind.__name__


def field_text(position, field):
    default = f" = {field.default!r}" if field.default is not msgspec.NODEFAULT else ""
    if isinstance(field.default, IntEnum):
        default = f" = {int(field.default)}"
    if field.default_factory is not msgspec.NODEFAULT:
        default = " = {}"
    return f"{position} `{field.name}` {type_name(field.type)}{default}"


def event_table():
    lines = ["| type | event | fields from position 3 on |", "|---:|---|---|"]
    for record in EVENT_TYPES:
        fields = [field for field in msgspec.structs.fields(record) if field.name not in ("version", "ts_ns")]
        texts = [field_text(position, field) for position, field in enumerate(fields, start=3)]
        lines.append(
            f"| {record.__struct_config__.tag} | {record.__name__} | {'<br>'.join(texts) or 'none'} |"
        )
    return lines


def enum_table():
    enums = [
        value
        for value in vars(schemas.events).values()
        if isinstance(value, type) and issubclass(value, IntEnum) and value is not IntEnum
    ]
    lines = ["| name | values |", "|---|---|"]
    for enum in enums:
        values = ", ".join(f"{member.value} {member.name}" for member in enum)
        lines.append(f"| {enum.__name__} | {values} |")
    return lines


def readme_part(root, name):
    text = (root / "schemas" / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert found, f"schemas/README.md has no part marked {name}"
    return found[1].splitlines()


def test_the_readme_lists_every_event_with_the_position_of_every_field(project_root):
    assert readme_part(project_root, "events") == event_table()


def test_the_readme_lists_every_enumeration(project_root):
    assert readme_part(project_root, "enumerations") == enum_table()


def test_the_readme_draws_the_layouts_the_frame_module_draws(project_root):
    drawing = re.search(r"( {4}segment header.*?4 {2}zeros)\n", frame.__doc__, re.DOTALL)[1]
    fields = re.findall(r"(\d+)\s+(\d+)  ([A-Za-z][^\n]*?)(?:\s{2,}|$)", drawing, re.MULTILINE)
    assert len(fields) > 20
    readme = (project_root / "schemas" / "README.md").read_text(encoding="utf-8")
    rows = {tuple(row) for row in re.findall(r"^\| (\d+) \| (\d+) \| ([^|]*?) \|", readme, re.MULTILINE)}
    missing = [field for field in fields if tuple(field) not in rows]
    assert not missing


def array_table():
    lines = ["| array | positions |", "|---|---|"]
    for record in (Footer, BlockEntry, Block, ColumnBatch, Group, Column):
        hints = get_type_hints(record)
        names = [field.name for field in msgspec.structs.fields(record)]
        texts = [f"{place} `{name}` {type_name(hints[name])}" for place, name in enumerate(names)]
        lines.append(f"| {record.__name__} | {'<br>'.join(texts)} |")
    return lines


def test_the_readme_lists_the_arrays_of_an_archive(project_root):
    assert readme_part(project_root, "archive") == array_table()


@pytest.mark.parametrize(("module", "count"), [(archive_file, 7), (base_state, 15)])
def test_the_readme_draws_the_layouts_of_archives_and_base_states(project_root, module, count):
    fields = re.findall(r"^ {4,}(\d+) +(\d+)   ([A-Za-z][^\n]*?)$", module.__doc__, re.MULTILINE)
    assert len(fields) == count
    readme = (project_root / "schemas" / "README.md").read_text(encoding="utf-8")
    rows = {tuple(row) for row in re.findall(r"^\| (\d+) \| (\d+) \| ([^|]*?) \|", readme, re.MULTILINE)}
    assert [field for field in fields if tuple(field) not in rows] == []


def test_the_readme_names_the_forms_of_a_column(project_root):
    readme = (project_root / "schemas" / "README.md").read_text(encoding="utf-8")
    assert f"| Form | {', '.join(f'{form.value} {form.name}' for form in Form)} |" in readme


def test_the_limits_in_the_readme_are_those_of_the_code(project_root):
    readme = (project_root / "schemas" / "README.md").read_text(encoding="utf-8")
    assert f"at most {frame.MAX_BODY_BYTES:,} bytes" in readme
    assert f"at most {frame.MAX_EVENTS:,} events" in readme


def test_the_bytes_shown_in_the_readme_are_a_golden_line(project_root):
    text = (project_root / "schemas" / "README.md").read_text(encoding="utf-8")
    drawn = re.findall(
        r"^ +((?:[0-9a-f]{2,} ?)+?) {2,}[a-z]", text[text.index("byte by byte") :], re.MULTILINE
    )
    golden = (project_root / "tests" / "schemas" / "golden.jsonl").read_text(encoding="utf-8")
    assert f'"{"".join(drawn).replace(" ", "")}"' in golden
