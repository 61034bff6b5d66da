"""A backtest's report as one JSON document: its records, which are its schema, and how it is made. Pure.

Money, prices and quantities are decimal text, so no digit is lost; figures of merit are numbers.
`schemas/backtest_report.schema.json` is the JSON Schema of `BacktestDocument`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from daemon.trading.money import MONEY_SCALE
from replay.backtest import BacktestResult
from replay.measure import Measures
from replay.recorder import Recording
from replay.report import GROUPS, group_figures
from replay.round_trips import RoundTrip
from replay.source import DataIdentity
from replay.spec import BacktestSpec
from schemas.decimals import decimal_text
from schemas.events import InstrumentDefined

MONEY_FIELDS = ("deposits", "cash", "equity", "fees", "realised", "unrealised")
MAX_TRIPS = 10_000
"""So many round trips stand in a document: the last ones."""
_MORE_DECIMALS = 4
"""Averages are told so much finer than prices."""


class DenialsTold(msgspec.Struct, forbid_unknown_fields=True):
    """Orders that a risk rule denied."""

    count: int
    example: str


class UnheardTold(msgspec.Struct, forbid_unknown_fields=True):
    """What a strategy listens to on an instrument, and what came."""

    listens: list[str]
    saw: list[str]


class PositionTold(msgspec.Struct, forbid_unknown_fields=True):
    """A position at the end."""

    quantity: str
    cost_basis: str
    realised: str
    unrealised: str


class PointTold(msgspec.Struct, forbid_unknown_fields=True):
    """The account at a time; `flow` was paid in since the point before."""

    ts_ns: int
    equity: str
    flow: str
    gross: str
    net: str


class TripTold(msgspec.Struct, forbid_unknown_fields=True):
    """A round trip. Money is of `currency`, but `value`: profit after fees in the reporting currency."""

    strategy_id: str
    instrument: str
    tag: str
    side: str
    quantity: str
    entry_price: str
    exit_price: str | None
    opened_ns: int
    closed_ns: int | None
    currency: str
    profit: str
    fees: str
    slippage: str
    adverse: str
    favourable: str
    value: str | None


class ReportTold(msgspec.Struct, forbid_unknown_fields=True):
    """Figures of merit, the curve and the round trips.

    `metrics` are None where not defined; `groups` are by strategy, instrument and tag, then by name.
    `trips` are the last 10,000; `trips_dropped` is how many ended and are in no figure.
    """

    currency: str
    unknown_currencies: list[str]
    period: str
    returns: int
    periods_per_year: float
    confidence: float
    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    groups: dict[str, dict[str, dict[str, float | None]]]
    curve_step_ns: int
    curve: list[PointTold]
    trips: list[TripTold]
    open_trips: list[TripTold]
    trips_dropped: int


class BacktestDocument(msgspec.Struct, forbid_unknown_fields=True):
    """A backtest: what it was to be, over which data, and what it came to.

    `result_sha256` is equal for equal data and choices; `decisions_sha256` is over the decisions alone.
    """

    events: int
    seconds: float
    events_per_second: int
    partial: bool
    orders: int
    denied: int
    fills: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    denials: dict[str, DenialsTold]
    unheard: dict[str, UnheardTold]
    instruments: list[str]
    positions: dict[str, PositionTold]
    deposits: dict[str, str]
    cash: dict[str, str]
    equity: dict[str, str]
    fees: dict[str, str]
    realised: dict[str, str]
    unrealised: dict[str, str]
    stopped: dict[str, str]
    notifications: list[str]
    trading_state: str
    decisions_sha256: str
    result_sha256: str
    spec: BacktestSpec
    data: DataIdentity
    report: ReportTold


def document(
    spec: BacktestSpec,
    data: DataIdentity,
    result: BacktestResult,
    recording: Recording,
    measures: Measures,
) -> dict[str, Any]:
    """Return the whole report as plain values."""
    return {
        **result_document(result),
        "spec": msgspec.to_builtins(spec),
        "data": msgspec.to_builtins(data),
        "report": report_document(recording, measures),
    }


def result_document(result: BacktestResult) -> dict[str, Any]:
    """Return a result with money and quantities as decimal text."""
    body = asdict(result)
    body["events_per_second"] = round(result.events_per_second)
    body["result_sha256"] = result.result_sha256
    for name in MONEY_FIELDS:
        body[name] = {currency: _money(value) for currency, value in body[name].items()}
    for position in body["positions"].values():
        position["quantity"] = decimal_text(position["quantity"], position.pop("quantity_scale"))
        for name in ("cost_basis", "realised", "unrealised"):
            position[name] = _money(position[name])
    return body


def report_document(recording: Recording, measures: Measures) -> dict[str, Any]:
    """Return the figures, the curve and the round trips."""
    by_name = {f"{item.symbol}@{item.venue}": item for item in recording.instruments}
    return {
        "currency": recording.currency,
        "unknown_currencies": list(recording.unknown),
        "period": measures.period,
        "returns": measures.returns,
        "periods_per_year": measures.periods_per_year,
        "confidence": measures.confidence,
        "metrics": measures.values,
        "intervals": measures.intervals,
        "groups": {name: group_figures(recording.trips, of) for name, of in GROUPS.items()},
        "curve_step_ns": recording.step_ns,
        "curve": [
            {
                "ts_ns": point.ts_ns,
                "equity": _money(point.equity),
                "flow": _money(point.flow),
                "gross": _money(point.gross),
                "net": _money(point.net),
            }
            for point in recording.curve
        ],
        "trips": _trips(recording.trips[-MAX_TRIPS:], by_name),
        "open_trips": _trips(recording.open_trips, by_name),
        "trips_dropped": recording.dropped_trips,
    }


def _trips(trips: Sequence[RoundTrip], instruments: Mapping[str, InstrumentDefined]) -> list[dict[str, Any]]:
    return [_trip(trip, instruments[trip.instrument]) for trip in trips]


def _trip(trip: RoundTrip, instrument: InstrumentDefined) -> dict[str, Any]:
    return {
        "strategy_id": trip.strategy_id,
        "instrument": trip.instrument,
        "tag": trip.tag,
        "side": "long" if trip.side > 0 else "short",
        "quantity": decimal_text(trip.quantity, instrument.quantity_scale),
        "entry_price": average_price(trip.entry_value, trip.quantity, instrument),
        "exit_price": average_price(trip.exit_value, trip.exit_quantity, instrument),
        "opened_ns": trip.opened_ns,
        "closed_ns": trip.closed_ns,
        "currency": trip.currency,
        "profit": _money(trip.profit),
        "fees": _money(trip.fees),
        "slippage": _money(trip.slippage),
        "adverse": _money(trip.adverse),
        "favourable": _money(trip.favourable),
        "value": None if trip.value is None else _money(trip.value),
    }


def average_price(value: int, quantity: int, instrument: InstrumentDefined) -> str | None:
    """Return a price averaged over fills as decimal text, cut four digits below the instrument's scale."""
    if not quantity:
        return None
    finer = value * 10**_MORE_DECIMALS // quantity
    return decimal_text(finer, instrument.price_scale + _MORE_DECIMALS)


def _money(value: int) -> str:
    return decimal_text(value, MONEY_SCALE)
