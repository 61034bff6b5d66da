"""Fan control as a pure function: every rule of it as a property, with a clock that the test holds."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.hardware.thermal import (
    FAULT_HOLD_NS,
    FULL,
    HYSTERESIS_CELSIUS,
    KICK_NS,
    MIN_ON_NS,
    FanRules,
    FanState,
    Reading,
    at_start,
    control,
)

SECOND = 10**9
RULES = FanRules(((50, 20), (60, 50), (67, 75), (75, 100)), stale_ns=10 * SECOND)

temperatures = st.floats(0.1, 119.9)
states = st.builds(
    FanState, st.integers(0, len(RULES.steps)), st.none() | st.integers(0, 10**12), st.integers(0, 10**11)
)
moments = st.integers(0, 2 * 10**12)
steps = st.lists(
    st.tuples(st.floats(20, 100), st.integers(1, FULL)),
    min_size=1,
    max_size=6,
    unique_by=lambda step: step[0],
).map(lambda pairs: tuple(zip(sorted(p[0] for p in pairs), sorted(p[1] for p in pairs), strict=True)))


def cpu(celsius, now_ns):
    return {"cpu": Reading(celsius, now_ns)}


def curve(rules, celsius):
    return rules.duty_of(rules.reached(celsius))


def follow(rules, series, *, state=None, step_ns=SECOND):
    """Return the duties for temperatures that come a step apart; the start lies far behind."""
    state = state or FanState(0, None, 0)
    duties = []
    for number, celsius in enumerate(series):
        now_ns = 10**12 + number * step_ns
        duty, state, _ = control(rules, cpu(celsius, now_ns), state, now_ns)
        duties.append(duty)
    return duties


@given(steps, temperatures, states, moments)
def test_the_duty_is_never_below_the_curve(steps, celsius, before, now_ns):
    rules = FanRules(steps, stale_ns=SECOND)
    before = before._replace(step=min(before.step, len(steps)))
    assert control(rules, cpu(celsius, now_ns), before, now_ns).duty >= curve(rules, celsius)


@given(temperatures, temperatures, states, moments)
def test_more_heat_never_means_a_lower_duty(one, other, before, now_ns):
    low, high = sorted((one, other))
    assert (
        control(RULES, cpu(low, now_ns), before, now_ns).duty
        <= control(RULES, cpu(high, now_ns), before, now_ns).duty
    )


@given(
    st.floats(20, 90),
    st.lists(st.floats(0, 0.999), min_size=20, max_size=100),
    st.integers(SECOND // 10, 10 * SECOND),
)
def test_noise_of_less_than_the_hysteresis_does_not_make_the_fan_chatter(base, noise, step_ns):
    series = [base + share * HYSTERESIS_CELSIUS for share in noise]
    lowered = sum(after < before for before, after in pairwise(follow(RULES, series, step_ns=step_ns)))
    # It rises with the peaks, and falls at most once: after the kick.
    assert lowered <= 1


@given(st.floats(20, 90), st.integers(1, 50))
def test_a_constant_temperature_ends_in_one_duty(celsius, count):
    duties = follow(RULES, [celsius] * (count + 2))
    assert set(duties[1:]) == {curve(RULES, celsius)}


@given(
    st.sampled_from(
        [
            {},
            {"cpu": None},
            {"cpu": math.nan},
            {"cpu": math.inf},
            {"cpu": 0.0},
            {"cpu": -273.0},
            {"cpu": 120.0},
            {"cpu": 40.0, "nvme": None},
            {"cpu": None, "nvme": 30.0},
        ]
    ),
    states,
    moments,
)
def test_any_fault_gives_full_speed(celsius, before, now_ns):
    read = {name: Reading(value, now_ns) for name, value in celsius.items()}
    duty, _, reason = control(RULES, read, before, now_ns)
    assert duty == FULL
    assert reason


@given(temperatures, states, st.integers(RULES.stale_ns + 1, 10**12), moments)
def test_a_stale_reading_gives_full_speed_however_cool_it_was(celsius, before, age_ns, read_ns):
    now_ns = read_ns + age_ns
    decision = control(RULES, cpu(celsius, read_ns), before, now_ns)
    assert decision.duty == FULL
    assert "last read" in decision.reason


def test_the_top_of_a_curve_below_full_speed_is_not_what_a_fault_gives():
    rules = FanRules(((50, 40),), stale_ns=SECOND)
    assert control(rules, cpu(90.0, 0), at_start(rules), KICK_NS).duty == FULL  # The kick.
    assert control(rules, cpu(None, 0), at_start(rules), 0).duty == FULL


@given(temperatures, states, moments)
def test_a_fan_that_turns_has_at_least_the_minimum_duty(celsius, before, now_ns):
    assert control(RULES, cpu(celsius, now_ns), before, now_ns).duty not in range(1, RULES.minimum)


def test_the_curve_is_raised_to_the_minimum():
    assert curve(RULES, 55) == RULES.minimum
    assert curve(RULES, 49.9) == 0


def test_the_hotter_of_two_sensors_decides():
    read = {"cpu": Reading(45.0, 0), "nvme": Reading(68.0, 0)}
    decision = control(RULES, read, FanState(3, 0, 0), SECOND)
    assert decision.duty == 75
    assert decision.reason == "nvme at 68.0 °C"


def test_a_fan_that_starts_gets_full_power_for_half_a_second():
    state = FanState(0, None, 0)
    duties = []
    for now_ns in (0, KICK_NS - 1, KICK_NS):
        duty, state, _ = control(RULES, cpu(55.0, now_ns), state, now_ns)
        duties.append(duty)
    assert duties == [FULL, FULL, 30]


def test_a_fan_that_was_started_runs_for_its_least_time():
    state = FanState(0, None, 0)
    for celsius, now_ns in ((52.0, 0), (40.0, SECOND), (40.0, MIN_ON_NS - 1)):
        duty, state, _ = control(RULES, cpu(celsius, now_ns), state, now_ns)
        assert duty >= RULES.minimum
    assert control(RULES, cpu(40.0, MIN_ON_NS), state, MIN_ON_NS).duty == 0


def test_a_step_is_left_five_degrees_below_where_it_begins():
    state = FanState(2, 0, 0)
    now_ns = MIN_ON_NS
    assert control(RULES, cpu(55.1, now_ns), state, now_ns).duty == 50
    assert control(RULES, cpu(55.0, now_ns), state, now_ns).duty == 30
    assert control(RULES, cpu(45.0, now_ns), state, now_ns).duty == 0


def test_full_speed_outlasts_a_fault_so_that_a_flickering_sensor_does_not_pump_the_fan():
    state = FanState(0, None, 0)
    _, state, _ = control(RULES, cpu(None, 0), state, 0)
    for now_ns in (1, FAULT_HOLD_NS - 1):
        decision = control(RULES, cpu(40.0, now_ns), state, now_ns)
        assert decision.duty == FULL
    later = control(RULES, cpu(40.0, MIN_ON_NS), decision.state, MIN_ON_NS)
    assert later.duty == 0


def test_the_first_good_reading_ends_the_full_speed_of_the_start():
    now_ns = 10**12
    assert control(RULES, cpu(40.0, now_ns), at_start(RULES), now_ns).duty == 0
    # In the hysteresis of a step nothing tells that the machine is cooler than that step.
    assert control(RULES, cpu(71.0, now_ns), at_start(RULES), now_ns).duty == FULL


@pytest.mark.parametrize("celsius", [0.1, 119.9])
def test_the_ends_of_what_is_plausible_are_temperatures(celsius):
    assert "cannot be" not in control(RULES, cpu(celsius, 0), at_start(RULES), 0).reason
