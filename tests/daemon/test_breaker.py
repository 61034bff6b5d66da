"""Circuit breakers: closed, open, half-open; one probe; late answers do not count."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daemon.breaker import MAX_REASON, Breaker, BreakerLimits, BreakerOpenError, Breakers, OutsideError
from schemas.events import BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
SECOND = 10**9


def failed(breaker, times, now_ns=0):
    for _ in range(times):
        breaker.fail(breaker.admit(now_ns), now_ns, "down")
    return breaker


def test_five_failures_in_a_row_open_it_and_four_do_not():
    assert failed(Breaker(), 4).state is CLOSED
    assert failed(Breaker(), 5).state is OPEN


def test_a_success_between_failures_starts_the_count_anew():
    breaker = failed(Breaker(), 4)
    breaker.succeed(breaker.admit(0))
    assert failed(breaker, 4).state is CLOSED


def test_open_no_call_goes_for_thirty_seconds_and_then_one_probe():
    breaker = failed(Breaker(), 5, now_ns=7)
    assert breaker.admit(7 + 30 * SECOND - 1) is None
    assert breaker.wait_ns(7) == 30 * SECOND
    assert breaker.admit(7 + 30 * SECOND).is_probe
    assert breaker.state is HALF_OPEN
    assert breaker.admit(7 + 31 * SECOND) is None


def test_a_probe_that_succeeds_closes_it_and_one_that_fails_opens_it_for_another_time():
    breaker = failed(Breaker(open_ns=10), 5)
    breaker.fail(breaker.admit(10), 12, "still down")
    assert (breaker.state, breaker.wait_ns(12)) == (OPEN, 10)
    breaker.succeed(breaker.admit(22))
    assert (breaker.state, breaker.failures) == (CLOSED, 0)
    assert breaker.admit(22) is not None


def test_an_abandoned_probe_lets_the_next_call_probe():
    breaker = failed(Breaker(open_ns=10), 5)
    breaker.abandon(breaker.admit(10))
    assert breaker.admit(10).is_probe


def test_answers_to_calls_of_before_do_not_count():
    breaker = Breaker(open_ns=10)
    slow = [breaker.admit(0) for _ in range(3)]
    failed(breaker, 5)
    breaker.succeed(slow[0])
    assert breaker.state is OPEN
    probe = breaker.admit(10)
    breaker.fail(slow[1], 11, "late")
    breaker.succeed(slow[2])
    assert breaker.state is HALF_OPEN
    breaker.succeed(probe)
    breaker.fail(slow[1], 12, "later")
    assert (breaker.state, breaker.failures) == (CLOSED, 0)


class BreakerMachine(RuleBasedStateMachine):
    """Random calls, answers and times against what the table says."""

    def __init__(self):
        super().__init__()
        self.breaker = Breaker(failures=3, open_ns=100)
        self.now = 0
        self.calls = []
        self.opened_ns = None

    @rule(step=st.sampled_from([0, 1, 50, 100]))
    def time_passes(self, step):
        self.now += step

    @rule()
    def somebody_calls(self):
        was = self.breaker.state
        call = self.breaker.admit(self.now)
        if was is CLOSED:
            assert call is not None
        if call is not None and was is not CLOSED:
            assert call.is_probe
            assert self.now >= self.opened_ns + 100
        if call is not None:
            self.calls.append(call)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), how=st.sampled_from(["succeed", "fail", "abandon"]))
    def a_call_ends(self, data, how):
        call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        was = self.breaker.state
        if how == "fail":
            self.breaker.fail(call, self.now, "x")
        else:
            getattr(self.breaker, how)(call)
        if self.breaker.state is OPEN and was is not OPEN:
            self.opened_ns = self.now
        if self.breaker.state is CLOSED and was is not CLOSED:
            assert call.is_probe
            assert how == "succeed"

    @invariant()
    def one_probe_at_most(self):
        assert sum(call.is_probe and call.turn == self.breaker._turn for call in self.calls) <= 1
        assert self.breaker.failures < 3 or self.breaker.state is not CLOSED


test_random_calls_and_answers_keep_to_the_table = BreakerMachine.TestCase


@given(st.lists(st.sampled_from([True, False, None]), max_size=60))
def test_a_breaker_that_is_always_asked_again_lets_a_probe_through_in_the_end(outcomes):
    breaker, now = Breaker(failures=2, open_ns=10), 0
    for outcome in outcomes:
        call = breaker.admit(now)
        now += 10
        if call is None or outcome is None:
            continue
        if outcome:
            breaker.succeed(call)
        else:
            breaker.fail(call, now, "x")
        assert breaker.admit(now + 10) is not None


class Clock:
    def __init__(self):
        self.ns = 0

    def __call__(self):
        return self.ns


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def breakers(clock, told):
    return Breakers(told.append, limits=BreakerLimits(2, 30), clock_ns=clock, monotonic_ns=clock)


async def ok():
    return 7


async def down():
    raise OutsideError("503")


async def refused():
    raise LookupError("no such order")


async def hangs():
    await asyncio.sleep(10)


def states(told):
    return [(change.breaker, change.state) for change in told]


async def test_an_answer_comes_through_and_nothing_changes(breakers, told):
    assert await breakers.call("venue.submit", ok, timeout_s=1) == 7
    assert states(told) == [("venue.submit", CLOSED)]


async def test_failures_open_it_and_each_change_is_told_once(breakers, clock, told):
    for _ in range(2):
        with pytest.raises(OutsideError):
            await breakers.call("a", down, timeout_s=1)
    with pytest.raises(BreakerOpenError, match="503") as caught:
        await breakers.call("a", ok, timeout_s=1)
    assert caught.value.wait_s == 30
    clock.ns = 30 * SECOND
    assert await breakers.call("a", ok, timeout_s=1) == 7
    assert states(told) == [("a", CLOSED), ("a", OPEN), ("a", HALF_OPEN), ("a", CLOSED)]
    assert [(change.failures, change.reason) for change in told[1:3]] == [
        (2, "503"),
        (2, "its time is over: one probe goes"),
    ]


async def test_a_time_out_is_a_failure(breakers, told):
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await breakers.call("a", hangs, timeout_s=0.01)
    assert states(told)[-1] == ("a", OPEN)
    assert told[-1].reason == "no answer in 0.01 s"


async def test_a_refusal_is_an_answer(breakers, told):
    for _ in range(5):
        with pytest.raises(LookupError):
            await breakers.call("a", refused, timeout_s=1)
    assert states(told) == [("a", CLOSED)]


async def test_operations_open_by_themselves(breakers):
    for _ in range(2):
        with pytest.raises(OutsideError):
            await breakers.call("a", down, timeout_s=1)
    assert await breakers.call("b", ok, timeout_s=1) == 7
    rows = {row.breaker: (row.state, row.failures, row.reason) for row in breakers.rows()}
    assert rows == {"a": ("OPEN", 2, "503"), "b": ("CLOSED", 0, "")}


async def test_a_probe_that_is_cancelled_does_not_block_the_next(breakers, clock):
    for _ in range(2):
        with pytest.raises(OutsideError):
            await breakers.call("a", down, timeout_s=1)
    clock.ns = 30 * SECOND
    task = asyncio.create_task(breakers.call("a", hangs, timeout_s=9))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await breakers.call("a", ok, timeout_s=1) == 7


async def test_a_long_reason_is_cut(breakers, told):
    async def talkative():
        raise OutsideError("x" * 10_000)

    for _ in range(2):
        with pytest.raises(OutsideError):
            await breakers.call("a", talkative, timeout_s=1)
    assert len(told[-1].reason) == MAX_REASON
