"""Each built-in strategy's rule on a series small enough to follow by hand."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from daemon.trading.books import Book
from daemon.trading.calendar import Calendar, always
from daemon.trading.money import MONEY_ONE
from daemon.trading.orders import Order, OrderStatus
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import StrategyError, check_parameters
from schemas.events import Bar, BarSide, OrderRequested, OrderType, Side

MINUTE = 60 * 10**9
NOON = 1_700_049_600 * 10**9


class Desk:
    """A context that fills every target at once and keeps what was asked for."""

    def __init__(self, instrument, calendar=None):
        self.strategy_id = "s"
        self.profits = deque()
        self.warming = False
        self.asked = []
        self.orders = []
        self.held = 0
        self.market = Book(instrument, calendar or always("UTC"))

    def hold(self, instrument_id, target, *, tag=""):
        if not self.warming:
            self.asked.append(target)
            self.held = target

    def target(self, instrument_id):
        return self.held

    def quantity(self, instrument_id):
        return self.held

    def equity(self, currency):
        return 100_000 * MONEY_ONE

    def book(self, instrument_id):
        return self.market

    def working(self, instrument_id):
        return self.orders

    def submit(self, instrument_id, side, quantity, **terms):
        self.asked.append((side.name, quantity, terms.get("price")))

    def cancel(self, order_id):
        self.asked.append(("cancel", order_id))

    def replace(self, order_id, **terms):
        self.asked.append(("replace", order_id, terms["price"]))


def make_strategy(make, kind, *, calendar=None, instrument=None, **parameters):
    instrument = instrument or make.instrument()
    desk = Desk(instrument, calendar)
    cls = STRATEGIES[kind]
    given = {"quantity": "10", **parameters}
    return cls(desk, [instrument], check_parameters(cls, given)), desk


def bar(close, high=None, low=None, volume=1, *, ends_ns, minutes=1):
    return Bar(
        ts_ns=ends_ns,
        received_ns=ends_ns,
        instrument_id=1,
        interval_ns=minutes * MINUTE,
        side=BarSide.TRADE,
        open=close,
        high=max(close, high or close),
        low=min(close, low or close),
        close=close,
        volume=volume,
    )


def run(strategy, desk, closes, *, first_ns=NOON):
    """Pass bars of a minute; return the target after each."""
    found = []
    for number, close in enumerate(closes):
        cells = close if isinstance(close, tuple) else (close,)
        strategy.on_bar(bar(*cells, ends_ns=first_ns + number * MINUTE))
        found.append(desk.held)
    return found


def test_strength_below_30_is_bought_and_let_go_above_50(make):
    strategy, desk = make_strategy(make, "rsi_reversion", length=2)
    # Changes -1 -1 -1 +1 +4: rises over all movement 0, 0, 50, 85.7 percent by Wilder's average.
    assert run(strategy, desk, [103, 102, 101, 100, 101, 105]) == [0, 0, 10, 10, 10, 0]


def test_strength_above_70_is_sold_short_only_where_that_is_wanted(make):
    closes = [100, 101, 102, 103, 101, 100]
    strategy, desk = make_strategy(make, "rsi_reversion", length=2, short=True)
    assert run(strategy, desk, closes) == [0, 0, -10, -10, 0, 10]
    strategy, desk = make_strategy(make, "rsi_reversion", length=2)
    assert run(strategy, desk, closes) == [0, 0, 0, 0, 0, 10]


def test_a_close_below_the_lower_band_is_bought_and_let_go_at_the_mean(make):
    strategy, desk = make_strategy(make, "bollinger_bounce", length=4, width="1.5")
    # With 90 last: mean 97.5, deviation 4.33, band at 91.0. Then means of 96.25 and 95.
    assert run(strategy, desk, [100, 100, 100, 100, 90, 95, 95]) == [0, 0, 0, 0, 10, 10, 0]


def test_a_close_above_the_upper_band_is_sold_short_and_turned_below_the_lower(make):
    strategy, desk = make_strategy(make, "bollinger_bounce", length=4, width="1.5", short=True)
    assert run(strategy, desk, [100, 100, 100, 100, 110, 60]) == [0, 0, 0, 0, -10, 10]


def test_a_close_far_below_the_sessions_average_is_bought_and_let_go_at_it(make):
    strategy, desk = make_strategy(make, "vwap_bounce", width="1", wait=3)
    # Volume 9 at 100 and 1 at 90: average 99, deviation 3.
    targets = run(
        strategy,
        desk,
        [(100, 100, 100, 5), (100, 100, 100, 4), (90, 90, 90, 1), (97, 97, 97, 0), (99, 99, 99, 0)],
    )
    assert targets == [0, 0, 10, 10, 0]


def test_a_new_session_begins_a_new_average_and_the_last_bar_is_flat(make):
    strategy, desk = make_strategy(make, "vwap_bounce", width="1", wait=2)
    midnight = NOON + 720 * MINUTE
    # The bar that ends at 23:59 is the last one that is complete within the day.
    targets = run(
        strategy, desk, [(100, 100, 100, 9), (90, 90, 90, 1), 90, 90, 90], first_ns=midnight - 3 * MINUTE
    )
    assert targets == [0, 10, 0, 0, 0]
    strategy.on_bar(bar(50, volume=4, ends_ns=midnight + 2 * MINUTE))
    # One at 90 and four at 50 in the new session, nothing of the old one.
    assert strategy._averages[1].value == 58
    assert desk.held == 0


def test_a_close_above_the_highest_before_is_bought_and_left_below_the_exit_channel(make):
    strategy, desk = make_strategy(make, "donchian_breakout", length=3, exit_length=2)
    bars = [(10, 11, 9), (10, 11, 9), (10, 11, 9), (11, 12, 10), (12, 13, 11), (11, 12, 10), (9, 10, 9)]
    # 11 is not above the highest of 11; 12 is not above 12 (of the bar before); nothing breaks before 14.
    assert run(strategy, desk, bars) == [0] * 7
    assert run(strategy, desk, [(14, 14, 12), (13, 14, 12), (11, 13, 11)], first_ns=NOON + 7 * MINUTE) == [
        10,
        10,
        0,
    ]


def test_a_close_below_the_lowest_before_is_sold_short(make):
    strategy, desk = make_strategy(make, "donchian_breakout", length=3, exit_length=1, short=True)
    assert run(strategy, desk, [10, 10, 10, 9, 9, 10]) == [0, 0, 0, -10, -10, 0]


def new_york(hour, minute):
    at = datetime(2023, 11, 14, hour, minute, tzinfo=ZoneInfo("America/New_York"))
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 10**9


DAY = 86_400
NYSE = Calendar("America/New_York", [(d * DAY + 34_200, d * DAY + 57_600) for d in range(5)])


def test_a_close_above_the_first_minutes_of_the_exchanges_session_is_bought(make):
    strategy, desk = make_strategy(make, "opening_range", minutes=3, calendar=NYSE)
    before = run(strategy, desk, [200, 300], first_ns=new_york(9, 29))
    # The range is that of 09:30 to 09:33: 95 to 105.
    targets = run(
        strategy, desk, [(100, 105, 99), (98, 99, 95), 100, 105, 106, 101, 99, 107], first_ns=new_york(9, 31)
    )
    assert before == [0, 0]
    assert targets == [0, 0, 0, 0, 10, 10, 0, 0]


def test_the_opening_is_by_the_instruments_zone_where_no_calendar_is(make):
    instrument = make.instrument(session_zone="America/New_York")
    strategy, desk = make_strategy(
        make, "opening_range", minutes=2, opens="09:30", closes="16:00", instrument=instrument, short=True
    )
    assert run(strategy, desk, [100, 110, 99], first_ns=new_york(9, 31)) == [0, 0, -10]


def test_the_session_is_left_with_the_last_bar_that_is_complete_in_it(make):
    strategy, desk = make_strategy(make, "opening_range", minutes=1, entries=9, calendar=NYSE)
    run(strategy, desk, [100, 101], first_ns=new_york(9, 31))
    assert desk.held == 10
    assert run(strategy, desk, [102, 103, 104], first_ns=new_york(15, 58)) == [10, 0, 0]


def test_a_session_whose_opening_nobody_saw_is_not_traded(make):
    strategy, desk = make_strategy(make, "opening_range", minutes=5, calendar=NYSE)
    assert run(strategy, desk, [100, 120, 140], first_ns=new_york(11, 0)) == [0, 0, 0]


def test_a_session_is_entered_so_often_and_no_more(make):
    strategy, desk = make_strategy(make, "opening_range", minutes=1, entries=2, calendar=NYSE)
    closes = [(100, 102, 98), 103, 97, 103, 97, 103]
    assert run(strategy, desk, closes, first_ns=new_york(9, 31)) == [0, 10, 0, 10, 0, 0]


def test_quotes_lie_around_the_middle_and_move_against_the_holding(make):
    strategy, desk = make_strategy(make, "market_maker", spread="100", skew="50", most=2, short=True)

    def quote(bid, ask):
        told = make.quote(bid, ask)
        desk.market.bid = desk.market.ask = told
        desk.asked = []
        strategy.on_quote(told)
        return desk.asked

    assert quote(9_990, 10_010) == [("BUY", 10, 9_900), ("SELL", 10, 10_100)]
    desk.held = 10
    assert quote(9_990, 10_010) == [("BUY", 10, 9_850), ("SELL", 10, 10_050)]
    desk.held = 20
    assert quote(9_990, 10_010) == [("SELL", 10, 10_000)]


def test_quotes_never_take(make):
    strategy, desk = make_strategy(
        make, "market_maker", spread="1", skew="0", instrument=make.instrument(tick_size=5)
    )
    told = make.quote(10_000, 10_010)
    desk.market.bid = desk.market.ask = told
    desk.held = 10
    strategy.on_quote(told)
    assert desk.asked == [("BUY", 10, 10_000), ("SELL", 10, 10_010)]
    desk.asked = []
    desk.market.bid = desk.market.ask = told = make.quote(10_010, 10_010)
    strategy.on_quote(told)
    assert desk.asked == []


@pytest.mark.parametrize(
    ("price", "status", "asked"),
    [
        (9_900, OrderStatus.ACCEPTED, []),
        (9_905, OrderStatus.ACCEPTED, []),
        (9_880, OrderStatus.ACCEPTED, [("replace", 7, 9_900)]),
        (9_880, OrderStatus.PENDING_REPLACE, []),
        (9_880, OrderStatus.PENDING_CANCEL, []),
    ],
)
def test_a_quote_that_is_off_is_replaced_once(make, price, status, asked):
    strategy, desk = make_strategy(make, "market_maker", spread="100", step="10")
    request = OrderRequested(
        ts_ns=1,
        instrument_id=1,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=10,
        price=price,
        source="x",
    )
    order = Order(7, request, request.quantity, request.price, None)
    order.status = status
    desk.orders = [order]
    told = make.quote(9_990, 10_010)
    desk.market.bid = desk.market.ask = told
    strategy.on_quote(told)
    assert desk.asked == asked


def test_a_quote_without_room_is_canceled(make):
    strategy, desk = make_strategy(make, "market_maker", spread="100", most=1)
    request = OrderRequested(
        ts_ns=1,
        instrument_id=1,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=10,
        price=9_900,
        source="x",
    )
    order = Order(7, request, request.quantity, request.price, None)
    order.status = OrderStatus.ACCEPTED
    desk.orders, desk.held = [order], 10
    told = make.quote(9_990, 10_010)
    desk.market.bid = desk.market.ask = told
    strategy.on_quote(told)
    assert ("cancel", 7) in desk.asked


def test_a_stop_closes_and_the_same_way_waits_for_another_word(make):
    strategy, desk = make_strategy(
        make, "rsi_reversion", length=2, stop="1", range_bars=1, oversold=40, exit=40, overbought=99
    )
    # Bought at 100 with a range of 2, so the stop is at 98.
    assert run(strategy, desk, [104, 102, 100]) == [0, 0, 10]
    assert run(strategy, desk, [99, 98, 97, 90], first_ns=NOON + 3 * MINUTE) == [10, 0, 0, 0]
    # Strength comes back above 40: the rule lets go, and may buy again.
    assert run(strategy, desk, [100, 80], first_ns=NOON + 7 * MINUTE) == [0, 10]


SIZES = [
    ({"sizing": "equity", "percent": "10"}, 10_000 // 5),
    ({"sizing": "risk", "percent": "1", "stop": "2", "range_bars": 1}, 1_000 * 100 // (2 * 100)),
    ({"sizing": "volatility", "percent": "1", "range_bars": 1}, 1_000 * 100 // 100),
    ({"sizing": "kelly", "percent": "2"}, 2_000 // 5),
]


@pytest.mark.parametrize(("parameters", "quantity"), SIZES)
def test_a_position_is_sized_by_the_rule_that_is_chosen(make, parameters, quantity):
    """Bought at 5.00 dollars after a fall of 1.00 dollar, with an equity of 100,000 dollars."""
    strategy, desk = make_strategy(make, "rsi_reversion", length=2, **parameters)
    assert run(strategy, desk, [700, 600, 500])[-1] == quantity


def test_kellys_rule_stakes_by_the_round_trips_it_has_seen(make):
    strategy, desk = make_strategy(make, "rsi_reversion", length=2, sizing="kelly", kelly_cap="50")
    desk.profits.extend([200, -100] * 10)
    assert run(strategy, desk, [700, 600, 500])[-1] == 25_000 // 5


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("rsi_reversion", {"quantity": "0"}, "quantity must be given"),
        ("rsi_reversion", {"sizing": "risk"}, "stop must be given"),
        ("rsi_reversion", {"quantity": "1", "oversold": 60}, "exit must lie between"),
        ("donchian_breakout", {"quantity": "1", "exit_length": 21}, "must not be more than length"),
        ("opening_range", {"quantity": "1", "opens": "09:30"}, "belong together"),
        ("opening_range", {"quantity": "1", "opens": "9:30", "closes": "16:00"}, "no time of day"),
        ("opening_range", {"quantity": "1", "bars": "1 minute"}, "names no bars"),
        ("vwap_bounce", {"quantity": "1", "source": "mid"}, "no parameter 'source'"),
        ("market_maker", {"quantity": "1", "sizing": "risk"}, "expected one of"),
        ("ma_cross", {"quantity": "1", "fast": 50}, "expected less than slow"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(kind, given, says):
    with pytest.raises(StrategyError, match=says):
        check_parameters(STRATEGIES[kind], given)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_every_built_in_strategy_names_its_source(kind):
    cls = STRATEGIES[kind]
    text = __import__(cls.__module__, fromlist=["x"]).__doc__
    assert any(year in text for year in ("1978", "1988", "1990", "1999", "2001", "2008"))
