from __future__ import annotations

import argparse

import pytest

from daemon.venue.fees import Fees
from replay.spec import BacktestSpec
from tests.replay.test_spec import spec as plain
from tools.output import UsageError
from tools.spec_flags import add_spec_flags, flags_of, spec_of


def parse(*words) -> BacktestSpec:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_spec_flags(parser)
    return spec_of(parser.parse_args(["tape", "--strategy", "ma_cross", *words]))


def test_without_flags_the_venue_is_the_daemons():
    assert parse() == plain()


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["--fees", "100/250"], {"maker_fee_ppm": 100, "taker_fee_ppm": 250}),
        (["--fees", "100/250", "--maker-fee-ppm", "-5"], {"maker_fee_ppm": -5, "taker_fee_ppm": 250}),
        (["--fees-of", "SPY=1/2", "--fees-of", "X@V=3/4"], {"fees": {"SPY": Fees(1, 2), "X@V": Fees(3, 4)}}),
        (["--latency", "5ms"], {"latency_us": 5_000}),
        (["--latency", "250us+1s"], {"latency_us": 250, "latency_spread_us": 1_000_000}),
        (
            ["--latency", "0ms+3ms:exponential"],
            {"latency_us": 0, "latency_spread_us": 3_000, "latency_shape": "exponential"},
        ),
        (["--slippage", "ticks:2"], {"slippage": "ticks", "slippage_amount": 2}),
        (["--slippage", "proportional:100"], {"slippage": "proportional", "slippage_amount": 100}),
        (["--fill-model", "touch"], {"fill_model": "touch"}),
        (["--no-funds-check"], {"check_funds": False}),
    ],
)
def test_flags_of_the_venue(words, fields):
    venue = parse(*words).venue
    assert {name: getattr(venue, name) for name in fields} == fields


def test_a_range_is_of_numbers_or_of_times_and_a_day_lasts_to_its_end():
    numbers = parse("--from", "7", "--to", "9")
    assert (numbers.from_seq, numbers.to_seq, numbers.from_ns, numbers.to_ns) == (7, 9, None, None)
    times = parse("--from", "2013-10-08", "--to", "2013-10-08")
    assert (times.from_ns, times.to_ns) == (1_381_190_400 * 10**9, 1_381_276_800 * 10**9 - 1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "9", "--to", "7"], "--to 7 lies before --from 9"),
        (["--from", "2013-10-09", "--to", "2013-10-08"], "--to lies before --from"),
        (["--cash", "none"], "--cash: 'none' is not a decimal number"),
        (["--fees-of", "SPY"], "expected SYMBOL=MAKER/TAKER"),
        (["--fees-of", "SPY=x"], "--fees-of SPY: 'x' is no pair of fees"),
    ],
)
def test_what_flags_cannot_mean_together_is_wrong_usage(words, says):
    with pytest.raises(UsageError, match=says):
        parse(*words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--latency", "5"], "expected a time as 250us"),
        (["--latency", "99s"], "99000000, expected"),
        (["--latency", "1ms+1ms:odd"], "expected uniform or exponential"),
        (["--slippage", "ticks"], "expected none, ticks:AMOUNT"),
        (["--slippage", "odd:1"], "expected none, ticks:AMOUNT"),
        (["--fees", "100"], "no pair of fees"),
        (["--price-scale", "99"], "expected 0 to 18"),
        (["--symbol", "\udc80"], "is not UTF-8 text"),
    ],
)
def test_what_a_flag_cannot_mean_is_told_by_the_parser(words, says):
    with pytest.raises(argparse.ArgumentError, match=says):
        parse(*words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--from", "7", "--to", "9", "--cash", "5", "--currency", "EUR", "--seed", "0"],
        ["--from", "2013-10-08T10:11:12.123456789Z", "--to", "2013-10-09"],
        [
            "--latency",
            "5ms+9ms:exponential",
            "--slippage",
            "ppm:50",
            "--fees=-1/2",
            "--fill-model",
            "through",
        ],
        ["--latency", "5ms", "--fees-of", "SPY=1/2", "--instruments", "A,B@V"],
        ["--strategies-folder", "mine"],
        ["--symbol", "BTC-USDT", "--venue", "v", "--columns", "ts=t@ms,price=p", "--price-scale", "2"],
    ],
)
def test_the_flags_of_a_spec_make_it_again(words):
    spec = parse(*words)
    assert parse(*flags_of(spec)) == spec
