from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.api.decimals import to_scaled
from daemon.api.problems import Problem
from schemas.decimals import MAX_SCALED, decimal_text, full_text

scales = st.integers(0, 18)
values = st.integers(-(2**70), 2**70)


@given(values, scales)
def test_text_is_the_exact_value(value, scale) -> None:
    expected = Decimal(value).scaleb(-scale)
    text = full_text(value, scale)
    assert Decimal(text) == expected
    assert Decimal(decimal_text(value, scale)) == expected
    assert len(text.partition(".")[2]) == scale


@given(st.integers(0, MAX_SCALED), scales)
def test_text_and_back_is_the_same_value(value, scale) -> None:
    for text in (
        full_text(value, scale),
        decimal_text(value, scale),
        full_text(value, scale) + ("0" if scale else ""),
    ):
        assert to_scaled(text, scale, field="price") == value


@given(st.from_regex(r"\A[0-9]{1,19}(\.[0-9]{1,18})?\Z"), scales, st.integers(1, 1000))
def test_text_is_taken_exactly_or_refused(text, scale, step) -> None:
    exact = int(text.replace(".", "")) * 10**scale
    divisor = 10 ** len(text.partition(".")[2])
    value, lost = divmod(exact, divisor)
    if lost or value > MAX_SCALED or value % step:
        with pytest.raises(Problem):
            to_scaled(text, scale, field="price", step=step)
    else:
        assert to_scaled(text, scale, field="price", step=step) == value


def test_a_refusal_names_the_allowed_step() -> None:
    with pytest.raises(Problem) as caught:
        to_scaled("1.23", 2, field="price", step=25)
    assert caught.value.extra == {"field": "price", "step": "0.25"}
