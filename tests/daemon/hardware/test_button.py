"""The button: bounces are no presses, three seconds are the kill switch, a stuck one does nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.hardware.button import ARMING_NS, DEBOUNCE_NS, LONG_NS, ButtonState, Press, step

MS = 1_000_000
TICK = 20 * MS


def presses(levels, *, state=None, tick_ns=TICK):
    """Return `(time, press)` of levels that are looked at a tick apart."""
    state = state or ButtonState()
    found = []
    for number, pressed in enumerate(levels):
        now_ns = number * tick_ns
        state, press = step(state, pressed, now_ns)
        if press is not None:
            found.append((now_ns, press))
    return found


def held(seconds, before=5, after=10):
    return [False] * before + [True] * round(seconds * 1e9 / TICK) + [False] * after


def test_a_short_press_is_told_when_it_ends():
    assert [press for _, press in presses(held(0.2))] == [Press.SHORT]


def test_a_long_press_is_told_while_it_is_still_held_and_once():
    found = presses(held(6.0))
    assert [press for _, press in found] == [Press.LONG]
    assert found[0][0] == 5 * TICK + LONG_NS


def test_just_less_than_three_seconds_is_a_short_press():
    assert [press for _, press in presses(held(2.9))] == [Press.SHORT]


def test_a_button_that_is_found_pressed_does_nothing_before_it_was_released():
    assert presses([True] * 500) == []
    assert [press for _, press in presses([True] * 500 + held(0.2))] == [Press.SHORT]


@given(st.lists(st.integers(1, DEBOUNCE_NS // MS - 1), min_size=1, max_size=40))
def test_levels_that_stand_shorter_than_the_debounce_are_no_press(lengths):
    state, now_ns = ButtonState(), 0
    for _ in range(3):
        state, _ = step(state, False, now_ns)
        now_ns += DEBOUNCE_NS
    pressed = True
    for length in lengths:
        for _ in range(length):
            state, press = step(state, pressed, now_ns)
            assert press is None
            now_ns += MS
        pressed = not pressed


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 300 * MS)), max_size=200))
def test_no_press_is_longer_than_the_button_was_held_and_none_comes_without_one(levels):
    state, now_ns, longest = ButtonState(), 0, 0
    began_ns = None
    for pressed, after_ns in levels:
        state, press = step(state, pressed, now_ns)
        if pressed and began_ns is None:
            began_ns = now_ns
        if began_ns is not None:
            longest = now_ns - began_ns
        if press is Press.LONG:
            assert longest >= LONG_NS
        if press is not None:
            assert began_ns is not None
        if not pressed:
            began_ns = None if press is not None or state.level is False else began_ns
        now_ns += after_ns


def test_the_led_tells_of_a_press_that_becomes_a_long_one():
    state = ButtonState()
    arming = []
    for number, pressed in enumerate(held(1.0)):
        state, _ = step(state, pressed, number * TICK)
        arming.append(state.arming(number * TICK))
    assert arming.index(True) * TICK == 5 * TICK + ARMING_NS
    assert arming[-1] is False
