"""One table of patterns: each line on its own, what hides what, and what is never shown without proof."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.hardware.leds import (
    ALL,
    BLUE,
    DARK,
    GREEN,
    MAGENTA,
    PATTERNS,
    RED,
    ROLES,
    WHITE,
    YELLOW,
    colour_at,
    pattern_of,
)

SECOND = 10**9
STATES = [pattern.state for pattern in PATTERNS]


def played(role, states, seconds=2):
    """Return what an LED shows, a letter for each tenth of a second."""
    moments = range(0, seconds * SECOND, SECOND // 10)
    return "".join("." if colour_at(role, states, now) == DARK else "#" for now in moments)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.state)
def test_a_state_alone_is_played_by_an_led_of_its_role_and_by_one_for_all(pattern):
    shown = (pattern.beat * 20)[:20]
    assert played(pattern.role, {pattern.state}) == played(ALL, {pattern.state}) == shown
    colours = {colour_at(ALL, {pattern.state}, now) for now in range(0, 2 * SECOND, SECOND // 10)}
    assert colours <= {pattern.colour, DARK}


@pytest.mark.parametrize("role", [role for role in ROLES if role != ALL])
def test_an_led_of_one_role_is_dark_for_the_states_of_others(role):
    others = {pattern.state for pattern in PATTERNS if pattern.role != role}
    assert "#" not in played(role, others)


@given(st.sets(st.sampled_from(STATES)), st.sampled_from(ROLES))
def test_what_stands_higher_in_the_table_hides_what_stands_lower(states, role):
    pattern = pattern_of(role, states)
    if pattern is None:
        assert not any(p.state in states for p in PATTERNS if role in (ALL, p.role))
    else:
        above = STATES[: STATES.index(pattern.state)]
        assert not any(p.state in states for p in PATTERNS if p.state in above and role in (ALL, p.role))


def test_error_is_solid_while_trading_is_halted_and_blinks_while_something_is_wrong():
    assert played("error", {"halted", "degraded"}) == "#" * 20
    assert played("error", {"degraded"}) == "#####.....#####....."
    assert colour_at("error", {"halted"}, 0) == RED


def test_throttled_is_solid_now_and_a_slow_blink_since_the_start():
    assert played("throttled", {"throttled", "was_throttled"}) == "#" * 20
    assert played("throttled", {"was_throttled"}) == "#" * 10 + "." * 10


def test_without_any_state_every_led_is_dark():
    assert all("#" not in played(role, set()) for role in ROLES)


def test_the_way_to_the_kill_switch_is_seen_whatever_else_is_the_case():
    assert colour_at(ALL, set(STATES), 0) == WHITE


def test_beats_fit_into_two_seconds_and_hold_nothing_but_lit_and_dark():
    assert all(set(pattern.beat) <= {"#", "."} and 1 <= len(pattern.beat) <= 20 for pattern in PATTERNS)
    assert len(set(STATES)) == len(STATES)


def test_the_table_of_the_readme_is_the_table_of_the_code(project_root):
    text = (project_root / "daemon/hardware/README.md").read_text(encoding="utf-8")
    rows = text.partition("<!-- patterns -->")[2].partition("<!-- end -->")[0].strip().splitlines()[2:]
    names = {RED: "red", YELLOW: "yellow", GREEN: "green", BLUE: "blue", MAGENTA: "magenta", WHITE: "white"}
    assert rows == [
        f"| {p.state} | {p.role} | {names[p.colour]} | `{p.beat}` | {p.meaning} |" for p in PATTERNS
    ]
