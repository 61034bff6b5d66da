"""State of older code is read by the names of its fields, and what cannot be read is refused by name."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import AssetClass, InstrumentDefined, Scalar, Side, Trade
from schemas.layouts import LayoutError, LayoutReader, layouts_of

encode = msgspec.msgpack.encode


class Leg(msgspec.Struct, array_like=True):
    side: Side
    quantity: str


class Whole(msgspec.Struct, array_like=True):
    number: int
    trade: Trade | None
    legs: list[Leg]
    by_id: dict[int, Leg]
    raw: msgspec.Raw
    note: str | None = "none given"


LAYOUTS = {"Whole": ["number", "trade", "legs", "by_id", "raw", "note"], "Leg": ["side", "quantity"]}
TRADE = Trade(ts_ns=1, received_ns=2, instrument_id=3, price=4, quantity=5, aggressor=Side.BUY, trade_id="x")


def whole(**changes):
    fields = {
        "number": 7,
        "trade": TRADE,
        "legs": [Leg(Side.BUY, "1"), Leg(Side.SELL, "2")],
        "by_id": {9: Leg(Side.SELL, "3")},
        "raw": msgspec.Raw(encode({"a": [1]})),
        "note": None,
    }
    return Whole(**{**fields, **changes})


def read(data, layouts, **lifts):
    return LayoutReader(Whole, layouts, lifts).read(data)


def stored(layouts, value=None):
    """Return the value as code with these layouts would have written it; fields are found by name."""
    value = whole() if value is None else value

    def plain(item):
        if isinstance(item, msgspec.Raw):
            return msgspec.msgpack.decode(item)
        if isinstance(item, list):
            return [plain(part) for part in item]
        if isinstance(item, dict):
            return {key: plain(part) for key, part in item.items()}
        if type(item).__name__ in layouts:
            return [plain(getattr(item, name, "new")) for name in layouts[type(item).__name__]]
        return item

    return encode(plain(value))


def same(one, other):
    return encode(one) == encode(other)


def test_layouts_name_the_fields_of_every_record_in_a_type_but_not_of_events():
    assert layouts_of(Whole) == LAYOUTS
    assert layouts_of(dict[str, list[Leg | None]]) == {"Leg": ["side", "quantity"]}


def test_what_the_same_code_wrote_is_read_as_it_was():
    assert same(read(encode(whole()), LAYOUTS), whole())


@given(data=st.data())
def test_the_order_of_fields_does_not_matter(data):
    layouts = {name: data.draw(st.permutations(fields)) for name, fields in LAYOUTS.items()}
    assert same(read(stored(layouts), layouts), whole())


def test_a_field_the_writer_did_not_know_gets_its_declared_default():
    layouts = {**LAYOUTS, "Whole": LAYOUTS["Whole"][:-1]}
    assert same(read(stored(layouts), layouts), whole(note="none given"))


class Settings(msgspec.Struct, array_like=True):
    values: dict[str, Scalar]
    more: int = 5


def test_a_field_of_several_plain_types_is_read_from_another_layout_as_it_was():
    values = {"a": True, "b": 3, "c": 1.5, "d": "text", "e": None}
    reader = LayoutReader(Settings, {"Settings": ["values"]})
    assert reader.read(encode([values])) == Settings(values)
    with pytest.raises(LayoutError):
        reader.read(encode([{"a": [1]}]))


@pytest.mark.parametrize(("record", "field"), [("Whole", "number"), ("Leg", "quantity")])
def test_a_field_without_a_default_must_be_there(record, field):
    layouts = {**LAYOUTS, record: [name for name in LAYOUTS[record] if name != field]}
    with pytest.raises(LayoutError, match=f"{record} lacks its field '{field}'"):
        read(stored(layouts), layouts)


@pytest.mark.parametrize("record", ["Whole", "Leg"])
def test_a_field_the_reader_does_not_know_is_refused_by_name(record):
    layouts = {**LAYOUTS, record: [*LAYOUTS[record], "margin"]}
    with pytest.raises(LayoutError, match=f"{record} has a field 'margin'.*upgrade taped"):
        read(stored(layouts), layouts)


def test_a_lift_tells_what_became_of_a_field():
    layouts = {**LAYOUTS, "Leg": ["side", "lots"]}

    def lift(given):
        given["quantity"] = str(given.pop("lots"))

    assert [leg.quantity for leg in read(stored(layouts), layouts, Leg=lift).legs] == ["new", "new"]


def test_an_event_inside_that_has_its_old_defaults_cut_off_is_read():
    layouts = {**LAYOUTS, "Whole": LAYOUTS["Whole"][:-1]}
    row = msgspec.msgpack.decode(stored(layouts))
    row[1] = row[1][:7]
    assert read(encode(row), layouts).trade == msgspec.structs.replace(
        TRADE, aggressor=Side.NONE, trade_id=None
    )


@pytest.mark.parametrize("layouts", [LAYOUTS, {**LAYOUTS, "Whole": LAYOUTS["Whole"][:-1]}])
def test_an_event_of_a_newer_taped_is_refused(layouts):
    row = msgspec.msgpack.decode(stored(layouts))
    row[1][1] = 99
    row[1][3] = "no longer a number"
    with pytest.raises(LayoutError, match="an event of type 2, version 99"):
        read(encode(row), layouts)


@pytest.mark.parametrize(
    ("data", "layouts"),
    [
        (encode([1, 2]), LAYOUTS),
        (encode(5), LAYOUTS),
        (encode(whole()), {}),
        (encode(whole()), {"Whole": LAYOUTS["Whole"]}),
        (encode([None] * 6), LAYOUTS),
        (b"\xc1", LAYOUTS),
        (b"", {}),
    ],
)
def test_what_is_no_such_record_is_refused(data, layouts):
    with pytest.raises(LayoutError):
        read(data, layouts)


@given(data=st.binary(max_size=200), same_layouts=st.booleans())
def test_any_bytes_are_read_or_refused(data, same_layouts):
    layouts = LAYOUTS if same_layouts else {**LAYOUTS, "Whole": LAYOUTS["Whole"][:-1]}
    try:
        read(data, layouts)
    except LayoutError:
        return


def test_records_of_instruments_are_those_of_the_codec():
    instrument = InstrumentDefined(
        ts_ns=0,
        instrument_id=1,
        symbol="I",
        venue="V",
        asset_class=AssetClass.EQUITY,
        base_currency="I",
        quote_currency="USD",
        price_scale=2,
        quantity_scale=0,
    )
    assert layouts_of(list[InstrumentDefined]) == {}
    assert LayoutReader(list[InstrumentDefined], {}).read(encode([instrument])) == [instrument]
