"""Hashes of backtests of a small market, stored: equal on every interpreter, and for every way of telling.

One that changes says that strategies decide otherwise than before, in a backtest and live. New ones are
added; an old one is changed only with a reason in the commit.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from daemon.venue.paper import VenueOptions
from replay.backtest import run_backtest
from schemas.events import AssetClass, Event, InstrumentDefined, Quote, Side, Trade

SECOND = 10**9
START = 1_700_000_000 * SECOND
PLAIN = VenueOptions(maker_fee_ppm=100, taker_fee_ppm=250)
SLOW = VenueOptions(
    maker_fee_ppm=100,
    taker_fee_ppm=250,
    latency_us=5_000,
    latency_spread_us=20_000,
    slippage="ppm",
    slippage_amount=30,
    seed=7,
)
SIZED = {"sizing": "equity", "percent": "30"}
RUNS = [
    (
        "ma_cross",
        {"fast": 5, "slow": 20, "quantity": "3", "short": True},
        PLAIN,
        "be63b83c782fa9b0741c194724e984c4a0f7bd14685d6bded8c263a821363d6a",
    ),
    (
        "ma_cross",
        {"fast": 5, "slow": 20, **SIZED, "source": "quote"},
        PLAIN,
        "ea51b8f9a64eff6932e90184374b98e7bc5769a752a56247f6b8c76ffd891a70",
    ),
    (
        "ma_cross",
        {"fast": 3, "slow": 50, "sizing": "kelly", "percent": "5"},
        SLOW,
        "0019a56572a434234de08aca4c3993d9f7918b5f20e599e20bfb36a0f43a41f6",
    ),
    (
        "ma_cross",
        {"fast": 3, "slow": 9, "sizing": "volatility", "percent": "0.1"},
        SLOW,
        "391abadab85e99c0b8a44a2f22c64a91456d090646ad9d6fb13b2e9f6b855d26",
    ),
    (
        "rsi_reversion",
        {"bars": "15s", "quantity": "3", "short": True},
        PLAIN,
        "ef42f45163f2b0be2038e1a89567ad2948e880de3045a48e70da17f56257773a",
    ),
    (
        "bollinger_bounce",
        {"bars": "10t", **SIZED, "short": True},
        PLAIN,
        "d65d53e691a6b91f04906c5a6ea6cc8e950a8e38b659d15c4c1bd69a558ce591",
    ),
    (
        "vwap_bounce",
        {"bars": "20s", "quantity": "3", "width": "1", "wait": 3},
        PLAIN,
        "e54adde3323b484072898cc7177b62453ab7c3fb1fc31b5e37f8e0feb05c8d03",
    ),
    (
        "opening_range",
        {"bars": "10s", "minutes": 2, "opens": "22:14", "closes": "22:50", "entries": 9, **SIZED},
        PLAIN,
        "36b84c22ebb0560d3c92f63f30df91a14e765b652dc4210ab54f7bbef549b37c",
    ),
    (
        "donchian_breakout",
        {"bars": "10s", "sizing": "risk", "percent": "0.1", "stop": "3"},
        SLOW,
        "455a93e8dbb231ca77c1d971b9ef462fefaa97b3c39e47177d9428363cff5e43",
    ),
    (
        "market_maker",
        {"quantity": "2", "short": True, "spread": "3"},
        PLAIN,
        "d9cdfd109e7b2461d08ceb85f139ed459356db001f055dada3765cd338bf2b18",
    ),
]


class Batch(NamedTuple):
    events: list


def market(count: int = 4_000) -> list[Event]:
    """Return trades and quotes whose draws no library makes: a linear congruential generator's."""
    state, ts_ns, price, events = 12_345, START, 100_000, []

    def draw(below: int) -> int:
        nonlocal state
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        return (state >> 33) % below

    for number in range(count):
        ts_ns += draw(800) ** 2 * 3_000
        price += draw(41) - 20
        common = {"ts_ns": ts_ns, "received_ns": ts_ns + draw(1_000_000), "instrument_id": 1}
        if number % 3:
            bid, ask = price - draw(5), price + 1 + draw(5)
            events.append(
                Quote(
                    **common, bid_price=bid, bid_quantity=1 + draw(9), ask_price=ask, ask_quantity=1 + draw(9)
                )
            )
        else:
            side = Side.BUY if draw(2) else Side.SELL
            events.append(
                Trade(**common, price=price, quantity=1 + draw(20), aggressor=side, trade_id=number)
            )
    return events


def instrument() -> InstrumentDefined:
    return InstrumentDefined(
        ts_ns=START, instrument_id=1, symbol="I1", venue="V", asset_class=AssetClass.EQUITY,
        base_currency="I", quote_currency="USD", price_scale=2, quantity_scale=0,
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "parameters", "venue", "expected"), RUNS)
def test_decisions_are_those_of_ever(kind, parameters, venue, expected):
    result = run_backtest(
        [Batch([instrument()]), Batch(market())], strategy=kind, parameters=parameters, venue=venue
    )
    assert result.orders > 1
    assert result.decisions_sha256 == expected
