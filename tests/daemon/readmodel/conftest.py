"""Streams of events as a running daemon records them, and a writer to put them into."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from daemon.readmodel.content import content_hash
from daemon.readmodel.writer import ReadModelWriter
from daemon.trading.core import Core
from daemon.trading.orders import Order
from daemon.venue.paper import PaperVenue
from schemas.codec import AnyEvent, UnknownEvent
from schemas.events import (
    SUSPICIOUS,
    AssetClass,
    Bar,
    BarSide,
    BreakerChanged,
    BreakerState,
    CancelRejected,
    CancelRequested,
    ClockTicked,
    DaemonStarted,
    Event,
    InstrumentDefined,
    Liquidity,
    OperatorCommand,
    OrderExpired,
    OrderFilled,
    OrderReplaced,
    OrderRequested,
    OrderTriggered,
    OrderType,
    OrderUnknown,
    Quote,
    ReplaceRejected,
    ReplaceRequested,
    SensorsRead,
    SessionCalendarDefined,
    Side,
    Trade,
    TradingPaused,
)

JOURNAL = "ab" * 16
SECOND = 10**9
START = 1_700_000_000 * SECOND


def instrument(instrument_id: int = 1, **changes) -> InstrumentDefined:
    terms = {
        "symbol": f"S{instrument_id}-USD", "venue": "TEST", "asset_class": AssetClass.CRYPTO,
        "base_currency": f"S{instrument_id}", "quote_currency": "USD", "price_scale": 2, "quantity_scale": 3,
    }  # fmt: skip
    return InstrumentDefined(ts_ns=START, instrument_id=instrument_id, **{**terms, **changes})


def trade(ts_ns: int = START, price: int = 10_000, quantity: int = 5, **changes) -> Trade:
    fields = {"received_ns": ts_ns, "instrument_id": 1, **changes}
    return Trade(ts_ns=ts_ns, price=price, quantity=quantity, **fields)


def quote(ts_ns: int = START, bid: int | None = 9_990, ask: int | None = 10_010, **changes) -> Quote:
    fields = {
        "received_ns": ts_ns, "instrument_id": 1, "bid_quantity": bid and 7_000,
        "ask_quantity": ask and 7_000, **changes,
    }  # fmt: skip
    return Quote(ts_ns=ts_ns, bid_price=bid, ask_price=ask, **fields)


def command(name: str, **arguments) -> OperatorCommand:
    return OperatorCommand(ts_ns=START, who="anna", role="admin", command=name, arguments=arguments)


def order(side: Side = Side.BUY, *, price: int | None = None, **changes) -> OrderRequested:
    order_type = OrderType.MARKET if price is None else OrderType.LIMIT
    fields = {
        "instrument_id": 1, "quantity": 1_000, "source": "operator:anna", "ts_ns": START,
        "order_type": order_type, **changes,
    }  # fmt: skip
    return OrderRequested(side=side, price=price, **fields)


class Recorder:
    """Core and paper venue, and the stream they record: inputs, decisions and reports in their order."""

    def __init__(self) -> None:
        self.core = Core(JOURNAL)
        self.venue = PaperVenue(maker_fee_ppm=100, taker_fee_ppm=250)
        self.stream: list[AnyEvent] = []

    def put(self, *inputs: Event) -> None:
        waiting = list(inputs)
        while waiting:
            events, effects = self.core.run(waiting)
            self.stream += events
            waiting = self.venue.send(effects, self.core, events[-1].ts_ns) + self.venue.on_market(events)

    def foreign(self, event: AnyEvent) -> None:
        """Record something the core does not look at."""
        self.core.replay(self.core.next_seq, [event])
        self.stream.append(event)


def begun() -> Recorder:
    recorder = Recorder()
    recorder.put(
        DaemonStarted(ts_ns=START, daemon_version="1", config_hash="c", code_hash="d", settings={}),
        instrument(1),
        instrument(2, quote_currency="EUR"),
        command("account.deposit", currency="USD", amount="100000"),
        command("account.deposit", currency="EUR", amount="50000.5"),
    )
    return recorder


def busy_stream(seed: int, steps: int) -> Recorder:
    """Everything that can happen, at random: ticks in and out of order, orders, fills, odd events."""
    rng = random.Random(seed)
    recorder = begun()
    recorder.put(
        command(
            "strategy.start", strategy_id="cross", kind="ma_cross", instruments=["S1-USD"],
            **{"param.fast": 2, "param.slow": 4, "param.quantity": "0.5"},
        )
    )  # fmt: skip
    now = START
    for step in range(steps):
        now += rng.choice((0, 1, SECOND // 3, 2 * SECOND, 40 * SECOND, -SECOND, 3600 * SECOND))
        number, price = rng.randint(1, 2), rng.randint(9_900, 10_100)
        of = {"instrument_id": number, "conditions": rng.choice((0, 0, 0x2000, SUSPICIOUS))}
        match rng.randint(0, 19):
            case 0 | 1 | 2 | 3:
                recorder.put(trade(now, price, rng.randint(0, 50), trade_id=step, **of))
            case 4 | 5 | 6:
                recorder.put(quote(now, price - 5, price + 5, **of))
            case 7:
                one_sided = (price - 5, None) if rng.random() < 0.5 else (None, price + 5)
                recorder.put(quote(now, *one_sided, **of))
            case 8:
                recorder.put(ClockTicked(ts_ns=now, synchronized=True))
            case 9:
                client_id = rng.choice((None, f"c{rng.randint(0, 9)}"))
                limit = rng.choice((None, price))
                side = rng.choice((Side.BUY, Side.SELL))
                recorder.put(order(side, price=limit, instrument_id=number, ts_ns=now, client_id=client_id))
            case 10 if recorder.core.orders:
                order_id = rng.choice(list(recorder.core.orders))
                recorder.put(CancelRequested(ts_ns=now, order_id=order_id, source="operator:anna"))
            case 11:
                recorder.foreign(_oddity(rng, now, step))
            case 12:
                recorder.put(_of_risk(rng, now))
            case _:
                _orders_of_all_kinds(recorder, rng, now, number, price)
    return recorder


def _orders_of_all_kinds(recorder: Recorder, rng: random.Random, now: int, number: int, price: int) -> None:
    """Brackets, replaces, what a venue may say of any order, and halts of all kinds."""
    known = list(recorder.core.orders.values())
    step = rng.randint(0, 4) if known else 0
    if step == 0:
        entry, side = recorder.core.next_seq, rng.choice((Side.BUY, Side.SELL))
        links = {"instrument_id": number, "ts_ns": now, "parent_id": entry, "oco_group": entry}
        recorder.put(
            order(side, instrument_id=number, ts_ns=now, price=price),
            order(Side(-side), price=price + 20 * side, **links),
            order(Side(-side), order_type=OrderType.STOP, stop_price=price - 20 * side, **links),
        )
    elif step == 1:
        terms = {"quantity": rng.choice((None, 500, 2_000)), "price": price, "stop_price": None}
        order_id = rng.choice(known).order_id
        recorder.put(ReplaceRequested(ts_ns=now, order_id=order_id, source="operator:anna", **terms))
    elif step == 2:
        recorder.put(_control(rng))
    else:
        recorder.put(_report(rng, now, rng.choice(known)))


def _control(rng: random.Random) -> OperatorCommand:
    name = rng.choice(("instrument.halt", "instrument.resume", "instrument.resume", "trading.kill"))
    if rng.random() < 0.6:
        name = "trading.resume"
    arguments = {"instrument": "S1-USD"} if name.startswith("instrument") else {}
    flatten = {"flatten": True} if name == "trading.kill" else {}
    return command(name, reason="test", **arguments, **flatten)


def _report(rng: random.Random, now: int, told: Order) -> Event:
    """Return what a venue might say of an order, fitting or not."""
    times = {"ts_ns": now, "received_ns": now, "order_id": told.order_id}
    return rng.choice(
        [
            CancelRejected(**times, reason="no"),
            ReplaceRejected(**times, reason="no"),
            OrderTriggered(**times, price=10_000),
            OrderExpired(**times, reason="late"),
            OrderUnknown(ts_ns=now, order_id=told.order_id, reason="time-out"),
            OrderReplaced(**times, quantity=1_500, price=told.price, stop_price=told.stop_price),
            OrderFilled(
                **times, instrument_id=told.request.instrument_id, side=told.request.side, price=10_000,
                quantity=rng.choice((400, 900)), fee=5, fee_scale=2, fee_currency="USD",
                liquidity=Liquidity.MAKER, venue_trade_id=f"R{rng.randint(0, 50)}",
            ),
        ]
    )  # fmt: skip


def _of_risk(rng: random.Random, now: int) -> Event:
    """Money paid out, limits, pauses, calendars; some of it is refused."""
    hours = rng.choice((0, 1))
    return rng.choice(
        [
            command("account.withdraw", currency=rng.choice(("USD", "EUR", "BNB")), amount="70000.5"),
            command("risk.set", max_exposure=rng.choice(("5", "1e6", None)), margin=True),
            command("risk.set", **{"initial_margin_ppm.crypto": rng.choice((500_000, 0, -1))}),
            command("risk.reset"),
            started(**{"risk.max_order_value": rng.choice(("9000000", "8000000", "7000000", "lots"))}),
            TradingPaused(
                ts_ns=now, instrument_id=rng.choice((1, None)), strategy_id=rng.choice(("cross", None)),
                until_ns=now + rng.choice((1, 100 * SECOND)), rule="COOLDOWN", reason="lost",
            ),
            SessionCalendarDefined(
                ts_ns=now, venue="TEST", instrument_id=rng.choice((1, None)),
                zone=rng.choice(("UTC", "UTC", "Mars")), opens=[0] * hours, closes=[604_800] * hours,
                holidays=[], early_days=[], early_closes=[],
            ),
        ]
    )  # fmt: skip


def started(**settings) -> DaemonStarted:
    return DaemonStarted(ts_ns=START, daemon_version="1", config_hash="c", code_hash="d", settings=settings)


def _oddity(rng: random.Random, now: int, step: int) -> AnyEvent:
    return rng.choice(
        [
            UnknownEvent([99, 1, now, "unheard of", step]),
            SensorsRead(ts_ns=now, readings={"cpu_celsius": 50.5, "nvme_celsius": None}),
            BreakerChanged(
                ts_ns=now, breaker="venue", state=BreakerState.OPEN, failures=5, reason="time-out"
            ),
            Bar(
                ts_ns=now, received_ns=now, instrument_id=1, interval_ns=SECOND, side=BarSide.TRADE,
                open=1, high=2, low=1, close=2, volume=3,
            ),
            command("import.start", file="f", sha256="s", format="csv"),
            command("import.end", sha256="s", events=step),
        ]
    )  # fmt: skip


def apply_cut(
    path: Path, stream: Sequence[AnyEvent], cuts: Sequence[int], *, reopen: bool = False, **options
) -> str:
    """Apply a stream cut at these positions; return the content's hash."""
    writer = ReadModelWriter(path, JOURNAL, **options)
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in pairwise(edges):
        writer.apply(start + 1, stream[start:end])
        if reopen:
            writer.close()
            writer = ReadModelWriter(path, JOURNAL)
    writer.close()
    return content_hash(path)
