"""Decimal text to scaled integers: exact, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decimals import (
    MAX_SCALED,
    MEMO_ENTRIES,
    DecimalError,
    ScaledDecimals,
    decimal_text,
    scaled,
)

SCALES = st.integers(0, 18)


@given(st.integers(0, MAX_SCALED), SCALES)
def test_text_of_a_scaled_integer_reads_back_as_the_same_integer(value, scale):
    assert scaled(decimal_text(value, scale), scale) == value


@given(st.decimals(0, 10**11, places=6, allow_nan=False), st.integers(6, 7))
def test_scaled_agrees_with_decimal(number, scale):
    assert scaled(f"{number:f}", scale) == int(number * 10**scale)


@given(st.text(alphabet="0123456789.-+eE_ ٣²\n", max_size=24), SCALES)
def test_any_text_is_exact_or_refused(text, scale):
    try:
        value = scaled(text, scale)
    except DecimalError:
        return
    assert set(text) <= set("0123456789.")
    assert Decimal(text) * 10**scale == value <= MAX_SCALED


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "Infinity", "1_000", " 1", "1 ", "1.2.3", "٣", "1\n"],
)
def test_what_is_no_plain_decimal_number_is_refused(text):
    for scale in (0, 1, 3):
        with pytest.raises(DecimalError, match="not a decimal number"):
            scaled(text, scale)


def test_decimals_that_the_scale_cannot_hold_are_refused_not_rounded():
    with pytest.raises(DecimalError, match="more than the instrument's 2 decimals"):
        scaled("1.234", 2)
    assert scaled("1.230", 2) == 123
    assert scaled("1.0", 0) == 1


def test_what_does_not_fit_64_bits_is_refused():
    assert scaled("9223372036854775807", 0) == MAX_SCALED
    with pytest.raises(DecimalError, match="64 bits"):
        scaled("9223372036854775808", 0)
    with pytest.raises(DecimalError, match="too long"):
        scaled("9" * 10_000, 0)


@given(st.lists(st.integers(0, 10**9), max_size=50))
def test_remembered_decimals_are_the_same_as_fresh_ones(values):
    table = ScaledDecimals(8)
    for value in values + values:
        text = decimal_text(value, 5)
        assert table[text] == scaled(text, 8)


def test_the_memory_of_decimals_is_bounded():
    table = ScaledDecimals(0)
    for number in range(MEMO_ENTRIES * 2 + 10):
        assert table[str(number)] == number
    assert len(table) <= MEMO_ENTRIES


@pytest.mark.parametrize(("value", "scale", "text"), [(-1234, 2, "-12.34"), (5, 3, "0.005"), (1200, 2, "12")])
def test_decimal_text_is_plain_and_short(value, scale, text):
    assert decimal_text(value, scale) == text
