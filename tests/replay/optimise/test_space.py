from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.strategies import STRATEGIES
from replay.optimise.space import SpaceError, make_space

CROSS = STRATEGIES["ma_cross"]
SIZED = {"quantity": "1"}


def space(*ranges, choices=(), fixed=SIZED, kind=CROSS):
    return make_space(kind, ranges=ranges, choices=choices, fixed=fixed)


def values(text, **more):
    return space(text, **more).axes[0].values


def test_a_range_holds_both_ends():
    assert values("fast=5:20:5") == (5, 10, 15, 20)
    assert values("fast=5:22:5") == (5, 10, 15, 20)
    assert values("fast=5:7") == (5, 6, 7)
    assert values("fast=5:5") == (5,)


def test_decimals_are_exact_texts():
    assert values("quantity=0.1:0.5:0.1", fixed={}) == ("0.1", "0.2", "0.3", "0.4", "0.5")
    assert values("quantity=100:300:100", fixed={}) == ("100", "200", "300")


def test_a_factor_multiplies():
    assert values("fast=5:80:x2") == (5, 10, 20, 40, 80)
    assert values("fast=1:4:x1.2") == (1, 2, 3, 4)
    assert values("quantity=0.5:2:x2", fixed={}) == ("0.5", "1", "2")


def test_a_choice_has_the_parameters_type():
    assert values("fast=5:5", choices=["short=true,false"]) == (5,)
    assert space(choices=["short=true,false"]).axes[0].values == (True, False)
    assert space(choices=["fast=5,9,5"]).axes[0].values == (5, 9)
    assert space(choices=["source=trade,quote"]).axes[0].values == ("trade", "quote")


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"ranges": ["speed=1:2"]}, "no parameter 'speed'"),
        ({"ranges": ["fast=1"]}, "expected NAME=LOW:HIGH:STEP"),
        ({"ranges": ["fast"]}, "expected NAME=LOW:HIGH:STEP"),
        ({"ranges": ["fast=9:5"]}, "9 is above 5"),
        ({"ranges": ["fast=0:5"]}, "fast is 0, expected 1 to 100000"),
        ({"ranges": ["fast=1:100001:100000"]}, "fast is 100001"),
        ({"ranges": ["fast=1:2:0.5"]}, "fast is a whole number, and 1.5 is none"),
        ({"ranges": ["fast=1:2:0"]}, "a step of 0"),
        ({"ranges": ["fast=1:2:-1"]}, "a step of -1"),
        ({"ranges": ["fast=1:nan"]}, "'nan' is not a number"),
        ({"ranges": ["fast=1:1e99"]}, "'1e99' is not a number"),
        ({"ranges": ["fast=1:2:x1"]}, "at least 1.001"),
        ({"ranges": ["quantity=0:9:0.00001"]}, "900,001 values, at most 100,000"),
        ({"ranges": ["quantity=0:9:x2"]}, "a low end above zero"),
        ({"ranges": ["source=1:2"]}, "source is no number; --choice source=A,B"),
        ({"choices": ["source=bar"]}, "expected one of trade, quote"),
        ({"choices": ["source"]}, "expected NAME=VALUE"),
        ({"choices": ["short=yes"]}, "short is 'yes', expected bool"),
        ({"ranges": ["fast=1:2"], "choices": ["fast=1,2"]}, "fast is given more than once"),
        ({"ranges": ["quantity=1:2"], "fixed": SIZED}, "quantity is given more than once"),
        ({"ranges": ["fast=1:2"], "fixed": {"slow": 0}}, "slow is 0"),
        ({}, "nothing is to be searched"),
    ],
)
def test_a_text_that_describes_no_values_is_refused(given_, says):
    with pytest.raises(SpaceError, match=says):
        make_space(CROSS, **{"ranges": [], "choices": [], "fixed": {}, **given_})


def test_parameters_that_do_not_fit_each_other_are_left_out_of_the_grid():
    found = space("fast=5:15:5", "slow=10:20:10").fitting()
    assert len(found) == 4
    assert space("fast=5:15:5", "slow=10:20:10").size == 6


def test_a_grid_without_any_point_that_fits_says_why():
    with pytest.raises(SpaceError, match="fast is 50, expected less than slow, 10"):
        space("fast=50:60:5", "slow=10:20:5").fitting()
    with pytest.raises(SpaceError, match="quantity must be given"):
        space("fast=5:6", "slow=10:20:5", fixed={}).fitting()


def test_a_grid_that_is_too_big_is_refused_with_what_to_do():
    with pytest.raises(SpaceError, match="at most 20,000 are tried one by one; take wider steps"):
        space("fast=1:1000", "slow=1001:2000").fitting()


@given(st.integers(0, 3 * 5 * 2 - 1))
def test_every_number_is_a_point_of_its_own_and_back(number):
    searched = space("fast=1:3", "slow=10:50:10", choices=["short=true,false"])
    point = searched.at(number)
    assert searched.point_of(searched.parameters(point)) == point
    assert [searched.at(n) for n in range(searched.size)].count(point) == 1


def test_parameters_of_another_search_are_no_point():
    with pytest.raises(SpaceError, match="no point of this search"):
        space("fast=1:3").point_of({"fast": 9})


def test_a_drawn_point_is_within_the_space():
    searched = space("fast=1:3", "slow=10:50:10")
    drawn = {searched.draw(Random(n)) for n in range(200)}
    assert drawn == {searched.at(n) for n in range(searched.size)}
