"""What is kept for risk, as plain values and back. Sums of working orders are made from the orders anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from daemon.trading.orders import Order
from daemon.trading.risk.equity_watch import EquityWatch
from daemon.trading.risk.limits import Chosen
from daemon.trading.risk.protections import Close, Pause, PauseKey
from daemon.trading.risk.state import Risk
from schemas.events import Scalar


class WatchDump(msgspec.Struct, array_like=True, frozen=True):
    """An `EquityWatch`; money as decimal texts, for sums may be longer than 64 bits."""

    currency: str = ""
    equity: str | None = None
    maintenance: str = "0"
    peak: str | None = None
    day_equity: str | None = None
    day_end_ns: int = 0
    unknown: list[str] = []
    broken: list[str] = []
    acted: list[str] = []


class CloseDump(msgspec.Struct, array_like=True, frozen=True):
    """A `Close`."""

    ts_ns: int
    instrument_id: int
    strategy_id: str | None
    profit: str
    order_type: int


class PauseDump(msgspec.Struct, array_like=True, frozen=True):
    """A `Pause` and what it concerns."""

    instrument_id: int | None
    strategy_id: str | None
    until_ns: int
    rule: str
    reason: str


class RiskDump(msgspec.Struct, array_like=True, frozen=True):
    """A `Risk`."""

    configured: dict[str, Scalar] = {}
    changed: dict[str, Scalar] = {}
    clock_synchronized: bool = False
    times: list[int] = []
    day_end_ns: int = 0
    day_count: int = 0
    watch: WatchDump = WatchDump()
    closing: dict[int, str] = {}
    closes: list[CloseDump] = []
    due: list[PauseDump] = []
    pauses: list[PauseDump] = []


def dump_risk(risk: Risk) -> RiskDump:
    """Return all that `load_risk` needs beside the orders."""
    watch, protections = risk.watch, risk.protections
    return RiskDump(
        configured=dict(risk.chosen.configured),
        changed=dict(risk.chosen.changed),
        clock_synchronized=risk.clock_synchronized,
        times=list(risk.pace.times),
        day_end_ns=risk.pace.day_end_ns,
        day_count=risk.pace.day_count,
        watch=WatchDump(
            watch.currency,
            _text(watch.equity),
            str(watch.maintenance),
            _text(watch.peak),
            _text(watch.day_equity),
            watch.day_end_ns,
            list(watch.unknown),
            sorted(watch.broken),
            sorted(watch.acted),
        ),
        closing={order_id: str(profit) for order_id, profit in protections.closing.items()},
        closes=[
            CloseDump(c.ts_ns, c.instrument_id, c.strategy_id, str(c.profit), c.order_type)
            for c in protections.closes
        ],
        due=_pause_dumps(protections.due),
        pauses=_pause_dumps(protections.pauses),
    )


def load_risk(risk: Risk, dump: RiskDump, working: Iterable[Order]) -> None:
    """Fill a fresh `Risk`, as if it had never stopped."""
    for order in working:
        risk.working.follow(order)
    risk.choose(Chosen(dump.configured, dump.changed))
    risk.clock_synchronized = dump.clock_synchronized
    risk.pace.load(dump.times, dump.day_end_ns, dump.day_count)
    watch = dump.watch
    risk.watch = EquityWatch(
        watch.currency,
        _number(watch.equity),
        int(watch.maintenance),
        _number(watch.peak),
        _number(watch.day_equity),
        watch.day_end_ns,
        tuple(watch.unknown),
        set(watch.broken),
        set(watch.acted),
    )
    protections = risk.protections
    protections.closing.update((order_id, int(profit)) for order_id, profit in dump.closing.items())
    protections.load(
        [Close(c.ts_ns, c.instrument_id, c.strategy_id, int(c.profit), c.order_type) for c in dump.closes],
        risk.limits,
    )
    protections.due.update(map(_pause, dump.due))
    protections.pauses.update(map(_pause, dump.pauses))


def _text(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _pause_dumps(pauses: Mapping[PauseKey, Pause]) -> list[PauseDump]:
    return [PauseDump(*key, pause.until_ns, pause.rule, pause.reason) for key, pause in pauses.items()]


def _pause(dump: PauseDump) -> tuple[PauseKey, Pause]:
    return (dump.instrument_id, dump.strategy_id), Pause(dump.until_ns, dump.rule, dump.reason)
