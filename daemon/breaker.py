"""Circuit breakers around calls that leave the process: a venue that is down is not called in vain.

    state       a call            its success           its failure
    CLOSED      goes              failures start anew   counts; enough of them in a row open it
    OPEN        is refused        -                     -
    HALF_OPEN   one probe goes    closes it             opens it again

OPEN turns into HALF_OPEN with the first call after its time. Time-outs are failures; a refusal that
makes sense ("insufficient funds") is an answer, and so a success. What a call that began under an
earlier state comes to no longer counts.

`Breaker` is pure: the time is given. `Breakers` holds those of a process, calls through them, and
makes their changes events.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from schemas.errors import TapedError
from schemas.events import BreakerChanged, BreakerState

T = TypeVar("T")

FAILURES = 5
OPEN_SECONDS = 30.0
MAX_BREAKERS = 200
MAX_REASON = 300
_SECOND = 10**9
_CLOSED, _OPEN, _HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class BreakerOpenError(TapedError):
    """A call was not made, because the ones before it failed; nothing has left.

    Attributes:
        breaker: its name.
        wait_s: until a call is let through again.
    """

    def __init__(self, breaker: str, wait_s: float, reason: str) -> None:
        super().__init__(
            f"{breaker} is not called: its circuit breaker is open ({reason})",
            hint=f"the next call goes in {wait_s:.1f} s",
        )
        self.breaker = breaker
        self.wait_s = wait_s


class OutsideError(TapedError):
    """What is called answered that it cannot serve, or not at all: a failure for its breaker."""


class Call(NamedTuple):
    """A call that was let through; what became of it is told to the breaker with it."""

    turn: int
    is_probe: bool


class Breaker:
    """One circuit breaker.

    Args:
        failures: so many in a row open it.
        open_ns: for how long.

    Attributes:
        state: as it is until somebody wants to call.
        failures: in a row.
        reason: of the last failure.
    """

    def __init__(self, *, failures: int = FAILURES, open_ns: int = int(OPEN_SECONDS * _SECOND)) -> None:
        self._limit = failures
        self._open_ns = open_ns
        self._until_ns = 0
        self._turn = 0
        self._is_probed = False
        self.state = _CLOSED
        self.failures = 0
        self.reason = ""

    def admit(self, now_ns: int) -> Call | None:
        """Return leave for one call, or None while none may go."""
        if self.state is _OPEN and now_ns >= self._until_ns:
            self._enter(_HALF_OPEN)
        if self.state is _CLOSED:
            return Call(self._turn, is_probe=False)
        if self.state is _OPEN or self._is_probed:
            return None
        self._is_probed = True
        return Call(self._turn, is_probe=True)

    def succeed(self, call: Call) -> None:
        """Take the answer of a call."""
        if call.turn != self._turn:
            return
        self.failures = 0
        if call.is_probe:
            self._enter(_CLOSED)

    def fail(self, call: Call, now_ns: int, reason: str) -> None:
        """Take the failure of a call, a time-out for example."""
        if call.turn != self._turn:
            return
        self.failures += 1
        self.reason = reason[:MAX_REASON].encode("utf-8", "replace").decode()
        if call.is_probe or self.failures >= self._limit:
            self._enter(_OPEN)
            self._until_ns = now_ns + self._open_ns

    def abandon(self, call: Call) -> None:
        """Take back a call that nobody waits for any more; the next one may probe."""
        if call.turn == self._turn:
            self._is_probed = False

    def wait_ns(self, now_ns: int) -> int:
        """Return how long no call goes; 0 when one may, or is on its way as a probe."""
        return max(0, self._until_ns - now_ns) if self.state is _OPEN else 0

    def _enter(self, state: BreakerState) -> None:
        self.state = state
        self._turn += 1
        self._is_probed = False


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """A breaker as people see it; `changed_ns` is 0 before the first change."""

    breaker: str
    state: str
    failures: int
    reason: str
    changed_ns: int


class BreakerLimits(NamedTuple):
    """So many failures in a row open a breaker, for so long."""

    failures: int = FAILURES
    open_s: float = OPEN_SECONDS


class Breakers:
    """The breakers of a process, by the name of the operation they stand before.

    Args:
        report: takes each change.
        limits: what opens one, and for how long.
        clock_ns: time of the events.
        monotonic_ns: time that never steps.
    """

    def __init__(
        self,
        report: Callable[[BreakerChanged], None],
        *,
        limits: BreakerLimits = BreakerLimits(),  # noqa: B008  # a tuple, never changed
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._report = report
        self._failures = limits.failures
        self._open_ns = int(limits.open_s * _SECOND)
        self._clock_ns = clock_ns
        self._now_ns = monotonic_ns
        self._breakers: dict[str, Breaker] = {}
        self._told: dict[str, BreakerChanged] = {}

    def add(self, name: str) -> Breaker:
        """Return the breaker of an operation; a new one is closed, and told of."""
        breaker = self._breakers.get(name)
        if breaker is None:
            assert len(self._breakers) < MAX_BREAKERS, "operations are few, and named in the code"
            breaker = self._breakers[name] = Breaker(failures=self._failures, open_ns=self._open_ns)
            self._tell(name, breaker, "no call yet")
        return breaker

    def rows(self) -> list[BreakerRow]:
        """Return all breakers, by name."""
        return [
            BreakerRow(name, breaker.state.name, breaker.failures, breaker.reason, self._told[name].ts_ns)
            for name, breaker in sorted(self._breakers.items())
        ]

    async def call(self, name: str, function: Callable[[], Awaitable[T]], *, timeout_s: float) -> T:
        """Call through the breaker of an operation.

        Only `TimeoutError`, `OSError` and `OutsideError` are failures: whatever else the function
        raises is an answer.

        Raises:
            BreakerOpenError: nothing was called.
            TimeoutError: no answer within the time; whether it had an effect is not known.
        """
        breaker = self.add(name)
        leave = breaker.admit(self._now_ns())
        self._tell(name, breaker, "its time is over: one probe goes")
        if leave is None:
            raise BreakerOpenError(name, breaker.wait_ns(self._now_ns()) / _SECOND, breaker.reason)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await function()
        except (TimeoutError, OSError, OutsideError) as error:
            reason = f"no answer in {timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
            breaker.fail(leave, self._now_ns(), reason or type(error).__name__)
            self._tell(name, breaker, breaker.reason)
            raise
        except asyncio.CancelledError:
            breaker.abandon(leave)
            raise
        except BaseException:
            breaker.succeed(leave)
            self._tell(name, breaker, "the probe was answered")
            raise
        breaker.succeed(leave)
        self._tell(name, breaker, "the probe was answered")
        return answer

    def _tell(self, name: str, breaker: Breaker, reason: str) -> None:
        """Report the state, where it is another than was told."""
        told = self._told.get(name)
        if told is not None and told.state is breaker.state:
            return
        change = self._told[name] = BreakerChanged(
            ts_ns=self._clock_ns(),
            breaker=name,
            state=breaker.state,
            failures=breaker.failures,
            reason=reason,
        )
        self._report(change)
