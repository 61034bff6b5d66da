"""What the read model answers: shapes, pages, limits."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from daemon.readmodel.database import ReadModelError
from daemon.readmodel.money_text import from_text, to_text
from daemon.readmodel.queries import ReadModelQueries
from daemon.readmodel.writer import ReadModelWriter
from schemas.events import CancelRequested, ClockTicked, DaemonStarted, Side
from tests.daemon.readmodel.conftest import (
    SECOND,
    START,
    apply_cut,
    begun,
    command,
    instrument,
    order,
    quote,
    trade,
)

MONEY = 10**18


@pytest.fixture
def recorder():
    recorder = begun()
    recorder.put(trade(START + SECOND, 10_000), quote(START + SECOND, 9_990, 10_010))
    return recorder


@pytest.fixture
def ask(recorder, tmp_path):
    """Apply what was recorded and open it for questions."""
    opened = []

    def open_queries() -> ReadModelQueries:
        path = tmp_path / f"{len(opened)}.db"
        apply_cut(path, recorder.stream, [])
        opened.append(ReadModelQueries(path))
        return opened[-1]

    yield open_queries
    for queries in opened:
        queries.close()


@pytest.mark.parametrize("money", [0, 1, -1, MONEY, -MONEY, -MONEY - 1, 123 * MONEY + 456, -(10**60) + 7])
def test_money_as_text_and_back_is_exact(money):
    assert from_text(to_text(money)) == money


def test_money_as_text_reads_like_money():
    assert to_text(-(3 * MONEY) // 2) == "-1.500000000000000000"


def test_a_filled_order_moves_position_account_and_equity(recorder, ask):
    recorder.put(order(Side.BUY, quantity=2_000, client_id="mine", tag="t"))
    queries = ask()
    filled = queries.order_by_client_id("mine")
    assert (filled["status"], filled["is_open"], filled["filled_quantity"]) == ("FILLED", False, 2_000)
    assert filled["filled_value"] == 2_000 * 10_010
    assert filled["client_order_id"] == f"abababab-{filled['order_id']}"
    assert queries.order(filled["order_id"]) == filled
    (fill,) = queries.fills(order_id=filled["order_id"])
    assert (fill["price"], fill["quantity"], fill["realised"]) == (10_010, 2_000, 0)
    (position,) = queries.positions()
    assert (position["quantity"], position["cost_basis"]) == (2_000, 20_020 * MONEY // 100)
    assert (position["symbol"], position["last_price"], position["bid_price"]) == ("S1-USD", 10_000, 9_990)
    account = {row["currency"]: row for row in queries.account()}
    fee = account["USD"]["fees"]
    assert fee > 0
    assert account["USD"]["cash"] == 100_000 * MONEY - position["cost_basis"] - fee
    assert account["EUR"]["cash"] == 50_000 * MONEY + MONEY // 2
    assert queries.equity("USD")[-1]["equity"] == account["USD"]["cash"] + 200 * MONEY


def test_the_first_clock_tick_of_a_minute_writes_equity_and_later_ones_do_not(recorder, ask):
    for seconds in (60, 61, 62, 125):
        recorder.put(ClockTicked(ts_ns=START + seconds * SECOND, synchronized=True))
    rows = ask().equity("EUR")
    assert [(row["minute_ns"] - START + START % (60 * SECOND)) // (60 * SECOND) for row in rows] == [1, 2]
    assert [row["seq"] for row in rows] == [len(recorder.stream) - 3, len(recorder.stream)]


def test_the_total_is_in_the_currency_of_the_first_deposit_until_a_start_names_another(recorder, ask):
    pair = instrument(3, base_currency="EUR", quote_currency="USD")
    recorder.put(pair, trade(START, 125, instrument_id=3))
    recorder.put(ClockTicked(ts_ns=START + 60 * SECOND, synchronized=True))
    settings = {"account.currency": "EUR"}
    recorder.put(
        DaemonStarted(ts_ns=START, daemon_version="", config_hash="", code_hash="", settings=settings)
    )
    recorder.put(ClockTicked(ts_ns=START + 120 * SECOND, synchronized=True))
    queries = ask()
    assert [(row["currency"], row["equity"], row["unknown"]) for row in queries.equity_total()] == [
        ("USD", 100_000 * MONEY + 50_000 * MONEY * 5 // 4 + MONEY * 5 // 8, "[]"),
        ("EUR", 80_000 * MONEY + 50_000 * MONEY + MONEY // 2, "[]"),
    ]
    assert queries.status()["currency"] == "EUR"


def test_a_currency_that_no_price_leads_from_is_named_beside_the_total(recorder, ask):
    recorder.put(ClockTicked(ts_ns=START + 60 * SECOND, synchronized=True))
    (row,) = ask().equity_total()
    assert (row["equity"], row["unknown"]) == (100_000 * MONEY, '["EUR"]')


def test_a_client_id_that_is_taken_stays_with_the_first_order(recorder, ask):
    recorder.put(order(price=9_000, client_id="twice"))
    recorder.put(order(price=9_001, client_id="twice"))
    queries = ask()
    second, first = queries.orders()
    assert (first["client_id"], first["status"]) == ("twice", "ACCEPTED")
    assert (second["client_id"], second["status"], second["rule"]) == (None, "DENIED", "DUPLICATE_CLIENT_ID")
    assert queries.order_by_client_id("twice") == first


def test_orders_can_be_asked_for_by_openness_and_instrument(recorder, ask):
    recorder.put(order(price=9_000))
    recorder.put(order(price=9_000, instrument_id=2))
    ids = list(recorder.core.orders)
    recorder.put(CancelRequested(ts_ns=START, order_id=ids[0], source="operator:anna"))
    queries = ask()
    assert [row["order_id"] for row in queries.orders(is_open=True)] == [ids[1]]
    assert [row["order_id"] for row in queries.orders(is_open=False)] == [ids[0]]
    assert [row["order_id"] for row in queries.orders(instrument_id=2)] == [ids[1]]
    assert queries.order(ids[0])["status"] == "CANCELED"


def test_pages_follow_each_other_without_gap_or_repeat(recorder, ask):
    recorder.put(*[trade(START + n, n) for n in range(25)])
    queries = ask()
    seen, before = [], None
    while page := queries.ticks(1, before=before, limit=7):
        seen += [row["seq"] for row in page]
        before = page[-1]["seq"]
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 26
    assert [row["seq"] for row in queries.ticks(1, after=seen[3])] == seen[:3]


def test_no_page_is_longer_than_the_limit(recorder, ask):
    recorder.put(*[trade(START + n, n) for n in range(1_200)])
    queries = ask()
    assert len(queries.ticks(1, limit=10**9)) == 1_000
    assert len(queries.ticks(1, limit=-5)) == 1
    assert queries.ticks(1, before=10**30, after=-(10**30), limit=3) == queries.ticks(1, limit=3)


def test_quotes_are_answered_with_the_sides_they_told(recorder, ask):
    recorder.put(quote(bid=9_000, ask=None))
    (row,) = ask().ticks(1, "quote", limit=1)
    assert (row["bid_price"], row["ask_price"], row["ask_quantity"]) == (9_000, None, None)


def test_the_standing_quote_joins_the_last_of_both_sides(recorder, ask):
    recorder.put(quote(START + 5, bid=9_000, ask=None), quote(START + 6, bid=None, ask=11_000))
    row = ask().prices()[0]
    assert (row["bid_price"], row["ask_price"], row["quote_ns"]) == (9_000, 11_000, START + 6)
    assert row["quote_seq"] == len(recorder.stream)


def test_bars_come_from_a_time_on_or_as_the_last_ones(recorder, ask):
    recorder.put(*[trade(START + n * 60 * SECOND, n) for n in range(1, 11)])
    queries = ask()
    minutes = [bar["open"] for bar in queries.bars(1, "1min")]
    assert minutes == [10_000, *range(1, 11)]
    assert [bar["open"] for bar in queries.bars(1, "1min", limit=3)] == [8, 9, 10]
    third = queries.bars(1, "1min")[3]["start_ns"]
    assert [bar["open"] for bar in queries.bars(1, "1min", from_ns=third, limit=2)] == [3, 4]
    assert [bar["open"] for bar in queries.bars(1, "1min", to_ns=third, limit=2)] == [1, 2]


def test_unknown_intervals_and_kinds_are_refused_with_the_known_ones(ask):
    queries = ask()
    with pytest.raises(ReadModelError, match="1s, 1min, 1h, 1day"):
        queries.bars(1, "5min")
    with pytest.raises(ReadModelError, match="expected trade or quote"):
        queries.ticks(1, "trades; DROP TABLE trades")


def test_history_is_found_by_its_words_and_by_order(recorder, ask):
    recorder.put(order(price=9_000, tag="breakfast"))
    (order_id,) = recorder.core.orders
    queries = ask()
    (found,) = queries.events(text="breakfast BUY")
    assert (found["name"], found["seq"]) == ("OrderRequested", order_id)
    names = [row["name"] for row in queries.events(order_id=order_id)]
    assert names == ["OrderAccepted", "OrderSubmitted", "OrderRequested"]
    assert queries.events(text='"quotes" AND (no OR "language') == []
    assert queries.events(text="quotes\x00language") == []


def test_trading_state_and_imports_follow_their_commands(recorder, ask):
    assert ask().trading_state() is None
    recorder.put(command("trading.halt", reason="lunch"))
    recorder.put(command("import.start", file="a.csv", sha256="00ff", format="csv"))
    recorder.put(trade(), trade())
    assert ask().import_of("00ff") is None
    recorder.put(command("import.end", sha256="00ff", events=2))
    queries = ask()
    assert (queries.trading_state()["state"], queries.trading_state()["reason"]) == (3, "lunch")
    (found,) = queries.imports()
    assert (found["file"], found["events"], found["finished"]) == ("a.csv", 2, True)
    assert found["last_seq"] - found["first_seq"] == 1
    assert queries.import_of("00ff") == found


def test_a_strategy_is_listed_with_its_parameters_while_it_runs_and_after(recorder, ask):
    recorder.put(
        command(
            "strategy.start", strategy_id="x", kind="ma_cross", instruments=["S1-USD"],
            **{"param.fast": 2, "param.slow": 4, "param.quantity": "0.5"},
        )
    )  # fmt: skip
    (row,) = ask().strategies()
    assert row["running"] is True
    assert '"slow":4' in row["parameters"]
    recorder.put(command("strategy.stop", strategy_id="x"))
    (row,) = ask().strategies()
    assert (row["running"], row["reason"]) == (False, "stopped by anna")


def test_new_scales_drop_market_data_in_the_old_ones_unless_the_core_refuses_them(recorder, ask):
    recorder.put(order(Side.BUY), trade(instrument_id=2))
    recorder.put(*[replace(recorder.core.instruments[number], price_scale=4) for number in (1, 2)])
    queries = ask()
    assert {k: row.price_scale for k, row in recorder.core.instruments.items()} == {1: 2, 2: 4}
    assert {row["instrument_id"]: row["price_scale"] for row in queries.instruments()} == {1: 2, 2: 4}
    assert queries.ticks(1)
    assert queries.ticks(2) == queries.bars(2, "1s") == []


def test_a_file_that_is_absent_is_an_error_with_its_name_and_a_hint(tmp_path):
    with pytest.raises(ReadModelError, match=r"nowhere\.db: open: .*data folder"):
        ReadModelQueries(tmp_path / "nowhere.db")


def test_questions_see_what_a_writer_commits_meanwhile(tmp_path, recorder):
    path = tmp_path / "readmodel.db"
    apply_cut(path, recorder.stream[:3], [])
    queries = ReadModelQueries(path)
    assert queries.prices()[0]["last_price"] is None
    writer = ReadModelWriter(path, recorder.core.journal_id)
    writer.apply(1, recorder.stream)
    assert queries.prices()[0]["last_price"] == 10_000
    assert queries.status()["applied_seq"] == len(recorder.stream)
    writer.close()
    queries.close()
