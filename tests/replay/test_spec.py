from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.settings import VenueSettings
from daemon.venue.feeds.formats import ReadOptions
from daemon.venue.fees import Fees
from daemon.venue.paper import VenueOptions
from daemon.venue.paper.options import FILL_MODELS, LATENCY_SHAPES, SLIPPAGE_MODELS, venue_options
from replay.spec import BacktestSpec, SpecError

small = st.integers(0, 1_000_000)
text = st.text(max_size=20)
venues = st.builds(
    VenueOptions,
    maker_fee_ppm=st.integers(-10_000, 100_000),
    taker_fee_ppm=small,
    fees=st.dictionaries(text, st.builds(Fees, small, small), max_size=3),
    latency_us=small,
    latency_spread_us=small,
    latency_shape=st.sampled_from(LATENCY_SHAPES),
    slippage=st.sampled_from(SLIPPAGE_MODELS),
    slippage_amount=small,
    fill_model=st.sampled_from(FILL_MODELS),
    check_funds=st.booleans(),
)
scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), text
)
specs = st.builds(
    BacktestSpec,
    data=st.lists(text, min_size=1, max_size=3).map(tuple),
    strategy=text,
    parameters=st.dictionaries(text, scalars, max_size=4),
    instruments=st.lists(text, max_size=3).map(tuple),
    from_seq=st.none() | st.integers(1, 50),
    to_seq=st.none() | st.integers(50, 2**63 - 1),
    from_ns=st.none() | st.integers(1, 50),
    to_ns=st.none() | st.integers(50, 2**63 - 1),
    cash=st.sampled_from(["1", "100000", "0.5"]),
    currency=text,
    venue=venues,
    seed=st.integers(0, 2**63 - 1),
    strategies_folder=st.none() | text,
    reading=st.builds(ReadOptions, symbol=st.none() | text, price_scale=st.none() | st.integers(0, 9)),
)


def spec(**fields) -> BacktestSpec:
    return BacktestSpec(**{"data": ("tape",), "strategy": "ma_cross", **fields})


@given(specs)
def test_a_spec_comes_back_from_its_json_and_from_a_pickle(whole):
    assert BacktestSpec.from_json(whole.json()) == whole
    assert BacktestSpec.from_json(whole.json()).json() == whole.json()
    assert pickle.loads(pickle.dumps(whole)) == whole


def test_equal_specs_have_the_same_json_whatever_the_order_of_their_tables():
    one = spec(parameters={"a": 1, "b": 2}, venue=VenueOptions(fees={"X": Fees(1, 2), "Y": Fees(3, 4)}))
    other = spec(parameters={"b": 2, "a": 1}, venue=VenueOptions(fees={"Y": Fees(3, 4), "X": Fees(1, 2)}))
    assert one.json() == other.json()
    assert one.sha256 == other.sha256 != spec().sha256


def test_the_venue_is_that_of_the_daemon_unless_another_is_given():
    assert spec().venue == venue_options(VenueSettings())


def test_one_seed_serves_all_draws():
    assert spec(seed=7).venue.seed == 7
    assert spec(seed=7, venue=VenueOptions(seed=5)).venue.seed == 7


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"data": ()}, "0 files"),
        ({"cash": "lots"}, "cash: 'lots' is not a decimal number"),
        ({"cash": "0"}, "above zero"),
        ({"cash": "-5"}, "above zero"),
        ({"from_seq": 0}, "from_seq 0, expected 1 or more"),
        ({"to_seq": 0}, "to_seq 0 lies before from_seq 1"),
        ({"from_seq": 9, "to_seq": 8}, "to_seq 8 lies before from_seq 9"),
        ({"from_ns": 9, "to_ns": 8}, "to_ns 8 lies before from_ns 9"),
        ({"seed": -1}, "seed -1, expected 0 to"),
        ({"venue": VenueOptions(slippage="bad")}, "slippage 'bad', expected none or ticks"),
        ({"venue": VenueOptions(latency_shape="odd")}, "latency shape 'odd'"),
        ({"venue": VenueOptions(fill_model="odd")}, "fill model 'odd', expected queue or touch"),
        ({"venue": VenueOptions(latency_us=-1)}, "below zero"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, says):
    with pytest.raises(SpecError, match=says):
        spec(**fields)


@pytest.mark.parametrize(
    "json",
    [b"", b"{}", b"[]", b'{"data":["x"],"strategy":"s","speed":1}', b'{"data":["x"],"strategy":1}', b"\xff"],
)
def test_json_that_is_no_spec_is_refused(json):
    with pytest.raises(SpecError, match="not a specification"):
        BacktestSpec.from_json(json)
