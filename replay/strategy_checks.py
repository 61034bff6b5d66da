"""Whether a strategy's backtest can be believed: no look into the future, no need of more past, no chance.

A backtest hands the market over in batches, so code that reaches beyond the event it is told of finds what
comes next. Four checks, each a comparison of runs that must decide alike:

- look-ahead: handed over event by event, and cut off right behind events that were answered, the market
  must cause the same decisions as in whole batches;
- repetition: in another process with another hash seed, all must come out the same;
- purity: while it is told of events, its code opens no file and no connection, for there the future may lie;
- warm-up: begun later, it must come to the same orders after a while.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from replay.optimise.pool import LocalPool
from replay.optimise.study import COMPLETE
from replay.runs.record import pinned
from replay.source import open_source
from replay.spec import BacktestSpec
from replay.strategy_runs import Decided, Market, decide
from schemas.events import Event, OrderRequested

CUTS = 12
STARTS = (0.25, 0.5)
"""Shares of the events that a later beginning leaves out."""
_OUTSIDE = ("open", "socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.posix_spawn")


@dataclass(frozen=True, slots=True)
class Check:
    """One check: whether it was passed, and what was found.

    Attributes:
        name: of the check.
        passed: None where there was nothing to compare.
        says: in words.
        ts_ns: time of the first event that differs.
    """

    name: str
    passed: bool | None
    says: str
    ts_ns: int | None = None


def check_strategy(
    spec: BacktestSpec,
    *,
    cuts: int = CUTS,
    settle: int | None = None,
    told: Callable[[str], None] | None = None,
) -> list[Check]:
    """Return all checks of a strategy.

    Args:
        spec: the strategy, its parameters, and the events to check it on.
        cuts: how often the future is cut off.
        settle: ticks after which a later beginning may make no difference; None asks for no number.
        told: called with the name of each check before it begins.

    Raises:
        BacktestError: the backtest cannot run, or is too long to be checked.
    """
    tell = told or _tell_nobody
    # A daemon may be writing: all runs take the same events.
    spec = pinned(spec, open_source(spec).identity())
    market = Market(spec)
    tell("purity")
    outside: list[str] = []
    with _watched(outside, spec):
        whole = decide(spec, market.whole())
    checks = [_purity(outside)]
    tell("look-ahead")
    checks.append(look_ahead(spec, market, whole, cuts=cuts))
    tell("repetition")
    checks.append(repetition(spec))
    tell("warm-up")
    checks.append(warm_up(spec, market, whole, settle=settle))
    return checks


def look_ahead(spec: BacktestSpec, market: Market, whole: Decided, *, cuts: int) -> Check:
    """Return whether hiding the future changes any decision."""
    single = decide(spec, market.one_by_one())
    name = "look-ahead"
    found = difference(whole.decisions, single.decisions, "event by event")
    if found is not None:
        return Check(name, passed=False, says=f"knows the future: {found[0]}", ts_ns=found[1])
    if not whole.orders:
        return Check(name, passed=None, says="it ordered nothing, so there is nothing to compare")
    for events, count in _spread(single.answered, cuts):
        cut = decide(spec, market.until(events))
        found = difference(whole.decisions[:count], cut.decisions, f"cut off behind event {events:,}")
        if found is not None:
            return Check(name, passed=False, says=f"knows the future: {found[0]}", ts_ns=found[1])
    tried = len(_spread(single.answered, cuts))
    says = f"{len(whole.decisions):,} decisions are the same event by event and cut off at {tried} places"
    return Check(name, passed=True, says=says)


def repetition(spec: BacktestSpec) -> Check:
    """Return whether two fresh processes with different hash seeds come to the same."""
    hashes = []
    for seed in (1, 2):
        with LocalPool(1, kept_events=0, hash_seed=seed) as pool:
            pool.start(0, spec)
            (outcome,) = pool.finished()
        if outcome.state != COMPLETE:
            return Check("repetition", passed=False, says=outcome.reason)
        hashes.append(outcome.result_sha256)
    if hashes[0] != hashes[1]:
        says = "two runs of the same differ: it depends on a clock, on chance, or on the order of a set"
        return Check("repetition", passed=False, says=says)
    return Check("repetition", passed=True, says="two processes with different hash seeds came to the same")


def warm_up(spec: BacktestSpec, market: Market, whole: Decided, *, settle: int | None) -> Check:
    """Return whether a later beginning comes to the same orders after a while.

    Quantities are left out of the comparison, for what is held and earned by then differs. Without a number
    of ticks it is passed when the orders agree from the first half of what is left on.
    """
    name, needed = "warm-up", 0
    for share in STARTS:
        skipped = int(len(market.times) * share)
        later = decide(spec, market.since(skipped))
        begin_ns = market.times[skipped] if skipped < len(market.times) else 0
        mine = [_terms(order) for order in whole.orders if order.ts_ns >= begin_ns]
        theirs = [_terms(order) for order in later.orders]
        same = _common_end(mine, theirs)
        if same == len(mine) == len(theirs):
            continue
        if not same:
            last = (mine or theirs)[-1]
            says = f"begun {skipped:,} ticks later it never comes to the same orders; {_last(mine, theirs)}"
            return Check(name, passed=False, says=says, ts_ns=last[0])
        differs_ns = max(terms[-same - 1][0] for terms in (mine, theirs) if len(terms) > same)
        settled = sum(begin_ns <= ts_ns <= differs_ns for ts_ns in market.times)
        needed = max(needed, settled)
        limit = (len(market.times) - skipped) // 2 if settle is None else settle
        if settled > limit:
            says = f"begun {skipped:,} ticks later its orders still differ {settled:,} ticks on"
            return Check(
                name, passed=False, says=f"{says}; {_last(mine[:-same], theirs[:-same])}", ts_ns=differs_ns
            )
    if not whole.orders:
        return Check(name, passed=None, says="it ordered nothing, so there is nothing to compare")
    after = f"after {needed:,} ticks" if needed else "at once"
    return Check(name, passed=True, says=f"begun later, it comes to the same orders {after}")


def _purity(outside: Sequence[str]) -> Check:
    if outside:
        says = f"its code reaches outside while it trades: {', '.join(dict.fromkeys(outside))}"[:500]
        return Check("purity", passed=False, says=f"{says}; no journal has what it finds there")
    return Check("purity", passed=True, says="its code opens no file and no connection while it trades")


_watching: list[tuple[list[str], str]] = []
"""Who is told of what a strategy's code does, and the folder of that code; the hook stays for good."""


@contextmanager
def _watched(found: list[str], spec: BacktestSpec) -> Iterator[None]:
    """Note what the code of a folder of strategies opens meanwhile."""
    if spec.strategies_folder is None:
        yield
        return
    if not _watching:
        sys.addaudithook(_audit)
    _watching.append((found, str(Path(spec.strategies_folder))))
    try:
        yield
    finally:
        _watching[-1] = ([], "")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _OUTSIDE or not _watching or not _watching[-1][1]:
        return
    found, folder = _watching[-1]
    frame = sys._getframe(1)  # noqa: SLF001  # The only way to see whose call this is.
    while frame is not None:
        if frame.f_code.co_filename.startswith(folder) and frame.f_code.co_name != "<module>":
            found.append(f"{event} {arguments[0]!r:.100}" if arguments else event)
            return
        frame = frame.f_back  # type: ignore[assignment]


def difference(
    one: Sequence[tuple[int, Event]], other: Sequence[tuple[int, Event]], how: str
) -> tuple[str, int] | None:
    """Return the first difference between decisions, in words, and its time; None when there is none."""
    for (seq, decision), (_, found) in zip(one, other, strict=False):
        if decision != found:
            return f"seq {seq:,}, {_fields(decision, found, how)}", decision.ts_ns
    if len(one) == len(other):
        return None
    at = min(len(one), len(other))
    longer, where = (one, "only in whole batches") if len(one) > at else (other, f"only {how}")
    seq, decision = longer[at]
    return f"seq {seq:,}, {type(decision).__name__} {where}", decision.ts_ns


def _fields(decision: Event, found: Event, how: str) -> str:
    name = type(decision).__name__
    if type(decision) is not type(found):
        return f"{name} in whole batches, {type(found).__name__} {how}"
    for key in decision.__struct_fields__:
        mine, theirs = getattr(decision, key), getattr(found, key)
        if mine != theirs:
            return f"{name}.{key}: {mine!r:.60} in whole batches, {theirs!r:.60} {how}"
    return f"{name} differs {how}"


def _spread(answered: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Return so many of them, evenly taken, the last one included."""
    if len(answered) <= count:
        return list(answered)
    return [answered[(at + 1) * len(answered) // count - 1] for at in range(count)]


Terms = tuple[Any, ...]


def _terms(order: OrderRequested) -> Terms:
    """Return what an order is, less its quantity and its ties to others; its time first."""
    fields = msgspec.structs.asdict(order)
    for name in ("quantity", "version", "parent_id", "oco_group"):
        fields.pop(name, None)
    return (fields.pop("ts_ns"), *fields.values())


def _common_end(one: Sequence[Terms], other: Sequence[Terms]) -> int:
    """Return how many of the last are the same."""
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _last(mine: Sequence[Terms], theirs: Sequence[Terms]) -> str:
    """Return the last orders that differ, in words."""
    texts = [f"an order at {terms[-1][0]} ns" if terms else "no order" for terms in (mine, theirs)]
    return f"the last that differ: {texts[0]} with all of the past, {texts[1]} with less"


def _tell_nobody(_name: str) -> None:
    pass
