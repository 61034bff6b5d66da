"""What can be chosen of the paper venue: recorded and read back, latency drawn the same everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import ConfigError, load
from daemon.settings import VenueSettings
from daemon.venue.fees import Fees, FeesError, parse_fees
from daemon.venue.paper import VenueOptions
from daemon.venue.paper.latency import latency_ns
from daemon.venue.paper.options import read_recorded, recorded, venue_options
from daemon.venue.paper.pricing import slip
from schemas.events import OrderAccepted, OrderFilled, OrderRejected
from tests.daemon.venue.tape import BUY, Tape, command, deposit, fills, instrument, kinds, order, quote

ppm = st.integers(-100_000, 100_000)


@given(
    st.builds(
        VenueOptions,
        maker_fee_ppm=ppm,
        taker_fee_ppm=ppm,
        fees=st.dictionaries(st.text(min_size=1, max_size=9), st.builds(Fees, ppm, ppm), max_size=3),
        latency_us=st.integers(0, 10**6),
        seed=st.integers(0, 2**63 - 1),
        slippage=st.sampled_from(["none", "ticks"]),
        check_funds=st.booleans(),
    )
)
def test_options_that_a_journal_records_are_read_as_they_were(options):
    assert read_recorded(recorded(options)) == options


def test_what_a_journal_does_not_tell_of_or_tells_strangely_was_off():
    settings = {"venue.maker_fee_ppm": 7, "venue.latency_us": "5", "venue.fees.X": "1", "venue.fees.Y": "1/2"}
    assert read_recorded(settings) == VenueOptions(maker_fee_ppm=7, fees={"Y": Fees(1, 2)})


def test_the_daemons_defaults_are_fees_and_a_look_at_the_cash():
    assert venue_options(VenueSettings()) == VenueOptions(
        maker_fee_ppm=1000, taker_fee_ppm=1000, check_funds=True
    )


@pytest.mark.parametrize("text", ["", "1", "1/", "1/2/3", "a/b", "1.5/2", "100001/0", "0/-100001", "1 / 2"])
def test_what_is_no_pair_of_fees_is_refused(text):
    with pytest.raises(FeesError):
        parse_fees(text)


def test_fees_of_some_instruments_come_from_the_file_and_from_the_environment(tmp_path):
    file = tmp_path / "taped.toml"
    file.write_text('[venue]\nfees = { BTC-USDT = "100/250", "EUR/USD" = "-5/10" }\n')
    settings = load(file).settings.venue
    assert venue_options(settings).fees == {"BTC-USDT": Fees(100, 250), "EUR/USD": Fees(-5, 10)}
    settings = load(None, {"TAPED_VENUE__FEES": "X@V=1/2"}).settings.venue
    assert venue_options(settings).fees == {"X@V": Fees(1, 2)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('fees = { X = "12" }', "is no pair of fees; write MAKER/TAKER"),
        ("fees = { X = 12 }", "is 12, expected text such as '100/250'"),
        ('fees = "12/3"', "expected a table; write fees = { BTC-USDT"),
    ],
)
def test_fees_that_make_no_sense_are_told_with_their_place(tmp_path, text, told):
    file = tmp_path / "taped.toml"
    file.write_text(f"[venue]\n{text}\n")
    with pytest.raises(ConfigError, match=r"venue\.fees") as caught:
        load(file)
    assert told in str(caught.value)


def test_an_instrument_has_the_fees_of_its_own_name_before_those_of_all():
    options = VenueOptions(taker_fee_ppm=10, fees={"I1@V": Fees(0, 20), "I1": Fees(0, 30)})
    tape = Tape(options).start(instrument(1), instrument(2), deposit())
    for number, fee in ((1, 20), (2, 10)):
        tape.take(quote(100_00, 100_00, instrument_id=number))
        fill = tape.take(order(BUY, 1, instrument_id=number))[-1]
        assert fill.fee * 10**6 == fee * 100 * 10**8


@pytest.mark.parametrize("shape", ["uniform", "exponential"])
def test_draws_are_the_same_on_every_machine(shape):
    options = VenueOptions(latency_us=100, latency_spread_us=1_000, latency_shape=shape, seed=7)
    drawn = {"uniform": [401_061, 165_436, 766_609], "exponential": [1_300_439, 2_826_675, 505_551]}
    assert [latency_ns(options, number) for number in (1, 2, 3)] == drawn[shape]


@pytest.mark.parametrize(("shape", "mean", "most"), [("uniform", 500, 1_000), ("exponential", 1_000, 20_000)])
def test_draws_have_the_mean_and_the_range_of_their_shape(shape, mean, most):
    options = VenueOptions(latency_us=10, latency_spread_us=1_000, latency_shape=shape)
    drawn = [latency_ns(options, number) / 1_000 for number in range(2_000)]
    assert abs(sum(drawn) / len(drawn) - 10 - mean) < mean / 10
    assert min(drawn) >= 10
    assert max(drawn) <= 10 + most


def test_latency_without_a_spread_is_fixed():
    assert {latency_ns(VenueOptions(latency_us=3), number) for number in range(9)} == {3_000}


prices = st.integers(-(10**9), 10**9)


@given(
    price=prices,
    amount=st.integers(0, 10**6),
    tick=st.integers(1, 50),
    quantity=st.integers(1, 10**6),
    displayed=st.none() | st.integers(0, 10**6),
    model=st.sampled_from(["none", "ticks", "ppm", "proportional"]),
)
def test_slippage_is_whole_ticks_and_never_in_our_favour(price, amount, tick, quantity, displayed, model):
    options = VenueOptions(slippage=model, slippage_amount=amount)
    distance = slip(options, price, tick=tick, quantity=quantity, displayed=displayed)
    assert distance >= 0
    assert distance % tick == 0
    if model == "ppm":
        assert distance * 10**6 >= abs(price) * amount > (distance - tick) * 10**6 or not distance


def test_a_market_order_slips_on_each_part_by_what_it_takes_of_that_quote():
    options = VenueOptions(slippage="proportional", slippage_amount=10_000)
    tape = Tape(options).start(instrument(), deposit())
    tape.take(quote(99_00, 100_00, 10, 10))
    assert fills(tape.take(order(BUY, 15))) == [(101_00, 10, 2)]
    assert fills(tape.take(quote(99_00, 100_00, 10, 20))) == [(100_25, 5, 2)]


@pytest.mark.parametrize("margin", [False, True])
def test_on_margin_the_venue_leaves_the_money_to_the_risk_rules(margin):
    tape = Tape(VenueOptions(check_funds=True, latency_us=10)).start(instrument(), deposit("10"))
    tape.take(command("risk.set", margin=margin, **{"initial_margin_ppm.*": 100_000}))
    tape.take(quote(99, 100, ts_ns=1_000))
    tape.take(order(BUY, 10, ts_ns=2_000))
    tape.take(quote(119, 120, ts_ns=3_000))
    reports = kinds(tape.take(quote(119, 120, ts_ns=20_000)))
    assert reports == ([OrderAccepted, OrderFilled] if margin else [OrderRejected])
