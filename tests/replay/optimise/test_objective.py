from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.optimise.objective import ObjectiveError, pareto, parse_constraint, parse_objectives

KNOWN = {"sharpe": True, "max_drawdown": False, "orders": True}


def test_each_metric_knows_which_way_is_better():
    found = parse_objectives("sharpe,max_drawdown", KNOWN)
    assert [item.direction for item in found] == ["maximize", "minimize"]


def test_a_metric_can_be_turned():
    found = parse_objectives("orders:min, max_drawdown:max", KNOWN)
    assert [item.direction for item in found] == ["minimize", "maximize"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sharp", "no metric 'sharp'; there is max_drawdown, orders, sharpe"),
        ("", "no metric ''"),
        ("sharpe:up", "expected :max or :min"),
        ("sharpe,sharpe:min", "occurs twice"),
    ],
)
def test_an_objective_that_is_none_is_refused(text, says):
    with pytest.raises(ObjectiveError, match=says):
        parse_objectives(text, KNOWN)


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("orders>=30", 30, True),
        ("orders>=30", 29, False),
        ("orders > 30", 30, False),
        ("max_drawdown<0.2", 0.1, True),
        ("max_drawdown<=0.2", 0.21, False),
        ("orders=0", 0, True),
        ("sharpe>-1.5", -1.4, True),
        ("sharpe>-1.5", None, False),
    ],
)
def test_a_constraint_holds_or_not(text, value, holds):
    constraint = parse_constraint(text, KNOWN)
    assert constraint.holds({constraint.metric: value}) is holds


@pytest.mark.parametrize("text", ["orders", "orders>=", ">=3", "orders>=x", "nothing>3", "orders!=3"])
def test_a_constraint_that_is_none_is_refused(text):
    with pytest.raises(ObjectiveError):
        parse_constraint(text, KNOWN)


def test_a_constraint_is_told_as_it_was_given():
    assert str(parse_constraint("orders >= 30", KNOWN)) == "orders>=30"


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_the_front_is_what_no_other_beats(points):
    goals = parse_objectives("sharpe,max_drawdown", KNOWN)
    front = pareto(points, goals)

    def beats(one, other):
        return one != other and one[0] >= other[0] and one[1] <= other[1]

    assert front == [
        at for at, point in enumerate(points) if not any(beats(other, point) for other in points)
    ]
