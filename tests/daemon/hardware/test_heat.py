"""Too hot to trade as usual: when it begins, when it is over, and whose restriction is taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.hardware.heat import WHO, HeatWatch
from daemon.hardware.sensors import SENSORS, Sample
from daemon.restraint import source_of
from daemon.settings import HardwareSettings
from schemas.events import OperatorCommand, TradingState

SECOND = 10**9
NOW = 10**18
OURS = source_of(WHO)
ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


def sample(seconds, cpu=50.0, bits=0):
    readings = dict.fromkeys(SENSORS) | {"cpu_celsius": cpu, "throttled_bits": bits}
    return Sample(readings, None, round(seconds * SECOND))


def watched(*samples, **more):
    watch = HeatWatch(HardwareSettings(**more))
    for one in samples:
        watch.take(one)
    return watch


def commands(watch, state=ACTIVE, source=""):
    found = watch.commands(state, source, NOW)
    assert all(isinstance(event, OperatorCommand) and event.who == WHO for event in found)
    return [event.command for event in found]


@pytest.mark.parametrize(
    ("one", "hot"),
    [
        (sample(0, cpu=79.9), False),
        (sample(0, cpu=80.0), True),
        (sample(0, bits=0b0001), False),
        (sample(0, bits=0b0010), True),
        (sample(0, bits=0b0100), True),
        (sample(0, bits=0b1000), True),
        (sample(0, bits=0xF0000), False),
        (sample(0, cpu=None, bits=None), False),
        (sample(0, cpu=500.0), False),
        (sample(0, cpu=-1.0), False),
    ],
)
def test_it_is_too_hot_at_the_limit_or_while_the_firmware_holds_back(one, hot):
    assert watched(one).hot is hot


def test_trading_is_reduced_halted_or_left_alone_as_the_settings_say():
    hot = sample(0, cpu=85.0)
    assert commands(watched(hot)) == ["trading.reduce"]
    assert commands(watched(hot, hot="halt")) == ["trading.halt"]
    assert commands(watched(hot, hot="nothing")) == []


def test_the_reason_tells_the_figure():
    watch = watched(sample(0, cpu=83.5, bits=0b1100))
    [command] = watch.commands(ACTIVE, "", NOW)
    assert command.arguments["reason"] == (
        "too hot: the processor is at 83.5 °C, throttled and soft limit of temperature now"
    )


def test_it_is_over_five_degrees_below_and_half_a_minute_later():
    watch = watched(sample(0, cpu=82.0), sample(2, cpu=76.0))
    assert watch.hot
    watch.take(sample(4, cpu=74.0))
    watch.take(sample(33, cpu=74.0))
    assert commands(watch, REDUCING, OURS) == []
    watch.take(sample(34, cpu=74.0))
    assert commands(watch, REDUCING, OURS) == ["trading.resume"]


def test_heat_that_comes_back_in_between_begins_the_half_minute_anew():
    watch = watched(sample(0, cpu=82.0), sample(2, cpu=70.0), sample(30, cpu=81.0), sample(31, cpu=70.0))
    watch.take(sample(60, cpu=70.0))
    assert watch.hot
    watch.take(sample(61, cpu=70.0))
    assert not watch.hot


def test_a_sensor_that_is_lost_while_it_is_hot_does_not_make_it_cool():
    watch = watched(sample(0, cpu=82.0), *(sample(second, cpu=None) for second in range(1, 200)))
    assert watch.hot
    assert commands(watch, REDUCING, OURS) == []


def test_firmware_that_says_nothing_any_more_does_not_make_it_cool():
    watch = watched(sample(0, bits=0b100), *(sample(second, bits=None) for second in range(1, 200)))
    assert watch.hot


@pytest.mark.parametrize(
    ("state", "source"), [(REDUCING, "operator:anna"), (HALTED, "operator:button"), (HALTED, "core")]
)
def test_what_somebody_else_restricted_is_neither_changed_nor_undone(state, source):
    assert commands(watched(sample(0, cpu=90.0)), state, source) == []
    assert commands(watched(sample(0)), state, source) == []


def test_trading_that_somebody_resumes_while_it_is_hot_is_restricted_again():
    assert commands(watched(sample(0, cpu=90.0)), ACTIVE, "operator:taped/disk") == ["trading.reduce"]


def test_a_new_process_resumes_what_the_one_before_it_reduced():
    assert commands(watched(sample(0)), REDUCING, OURS) == ["trading.resume"]


@given(st.lists(st.floats(75.1, 84.9) | st.none(), min_size=1, max_size=60))
def test_heat_that_swings_in_the_hysteresis_never_swings_trading(temperatures):
    watch, state, source = HeatWatch(HardwareSettings(cool_s=0)), ACTIVE, ""
    changes = 0
    for second, celsius in enumerate(temperatures):
        watch.take(sample(second, cpu=celsius))
        for command in commands(watch, state, source):
            changes += 1
            state, source = (REDUCING, OURS) if command == "trading.reduce" else (ACTIVE, OURS)
    assert changes <= 1
