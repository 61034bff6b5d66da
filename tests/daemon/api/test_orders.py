from __future__ import annotations

import asyncio

import pytest

from daemon.api.order_request import OrderRequest
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.reader import JournalReader
from schemas.events import OperatorCommand, OrderRequested, TradingState


def requests_in_journal(rig) -> list[OrderRequested]:
    reader = JournalReader(rig.data / "journal")
    return [
        event for batch in reader.batches() for event in batch.events if isinstance(event, OrderRequested)
    ]


async def test_a_posted_order_is_in_the_journal_when_it_is_answered(rig, limit_order) -> None:
    status, order = await rig.post({**limit_order, "client_id": "a-1", "tag": "first"})
    assert status == 201
    assert rig.engine.durable_seq >= order["order_id"]
    [request] = requests_in_journal(rig)
    assert (request.quantity, request.price, request.client_id) == (50_000, 5_000_010, "a-1")
    assert request.source == "operator:admin"
    assert order["client_order_id"] == f"{rig.engine.journal_id[:8]}-{order['order_id']}"
    assert (order["status"], order["quantity"], order["price"]) == ("submitted", "0.50000", "50000.10")


async def test_an_order_can_be_read_right_after_its_answer_and_rests_at_the_venue(rig, limit_order) -> None:
    _, order = await rig.post(limit_order)
    status, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
    assert status == 200
    assert found["order_id"] == order["order_id"]
    await rig.settle()
    _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
    assert (found["status"], found["filled_quantity"], found["average_price"]) == (
        "accepted",
        "0.00000",
        None,
    )


async def test_a_market_order_fills_and_moves_position_and_account(rig) -> None:
    body = {"instrument": 1, "side": "buy", "type": "market", "quantity": "0.1"}
    _, order = await rig.post(body)
    await rig.settle()
    _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
    assert (found["status"], found["average_price"]) == ("filled", "60000.10")
    _, document = await rig.get("/api/v1/positions")
    [position] = document["positions"]
    assert (position["quantity"], position["average_price"]) == ("0.10000", "60000.10")
    assert (position["market_price"], position["unrealised"]) == ("60000.00", "-0.01")
    _, account = await rig.get("/api/v1/account")
    [balance] = account["balances"]
    # 100,000 - 0.1 x 60,000.10 - 200 ppm of that.
    assert (balance["cash"], balance["fees"]) == ("93998.789998", "1.200002")
    assert balance["equity"] == "99998.789998"


async def test_the_same_client_id_gives_the_same_order(rig, limit_order) -> None:
    body = {**limit_order, "client_id": "same"}
    first = await rig.post(body)
    await rig.settle()
    again = await rig.post({**body, "quantity": "0.50000", "price": "50000.1"})
    assert (first[0], again[0]) == (201, 200)
    assert first[1]["order_id"] == again[1]["order_id"]
    assert len(requests_in_journal(rig)) == 1


async def test_concurrent_posts_of_one_client_id_make_one_order(rig, limit_order) -> None:
    body = {**limit_order, "client_id": "storm"}
    answers = await asyncio.gather(*(rig.post(body) for _ in range(24)))
    assert sorted(status for status, _ in answers) == [200] * 23 + [201]
    assert len({order["order_id"] for _, order in answers}) == 1
    assert len(requests_in_journal(rig)) == 1


async def test_a_client_id_of_another_order_is_a_conflict(rig, limit_order) -> None:
    await rig.post({**limit_order, "client_id": "taken"})
    for change in ({"quantity": "0.4"}, {"price": "49000"}, {"side": "sell"}, {"tag": "other"}):
        status, problem = await rig.post({**limit_order, "client_id": "taken", **change})
        assert (status, problem["type"]) == (409, "urn:taped:client-id-reused")
    assert len(requests_in_journal(rig)) == 1


async def test_a_denied_order_is_recorded_and_answered_with_its_rule(rig, limit_order) -> None:
    body = {**limit_order, "quantity": "10", "client_id": "rich"}
    status, order = await rig.post(body)
    assert (status, order["status"], order["rule"]) == (422, "denied", "CASH")
    assert "USDT is free" in order["reason"]
    again, same = await rig.post(body)
    assert (again, same["order_id"], same["rule"]) == (422, order["order_id"], "CASH")
    await rig.settle()
    _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
    assert (found["status"], found["rule"]) == ("denied", "CASH")


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"price": "50000.11"}, 422, "multiple of 0.1"),
        ({"price": "50000.100000001"}, 422, "multiple of 0.1"),
        ({"quantity": "0.000001"}, 422, "multiple of 0.00001"),
        ({"quantity": "99999999999999999"}, 422, "too large"),
        ({"quantity": "0"}, 422, "above zero"),
        ({"price": "0.0"}, 422, "above zero"),
        ({"quantity": "-1"}, 422, "quantity"),
        ({"quantity": "1e3"}, 422, "quantity"),
        ({"quantity": "NaN"}, 422, "quantity"),
        ({"quantity": 0.5}, 422, "quantity"),
        ({"quantity": "\u0661"}, 422, "quantity"),
        ({"price": None}, 422, "needs a price"),
        ({"type": "market"}, 422, "has no price"),
        ({"type": "stop"}, 422, "a stop order has no price"),
        ({"type": "stop", "price": None}, 422, "needs a stop price"),
        ({"type": "stop_limit"}, 422, "needs a stop price"),
        ({"stop_price": "1"}, 422, "a limit order has no stop price"),
        ({"type": "trailing_stop", "price": None}, 422, "trail_amount or a trail_percent"),
        ({"type": "trailing_stop", "price": None, "trail_percent": "100"}, 422, "below 100"),
        ({"type": "trailing_stop", "price": None, "trail_percent": "0.00001"}, 422, "multiple of 0.0001"),
        ({"type": "trailing_stop", "price": None, "trail_amount": "0.01"}, 422, "multiple of 0.1"),
        ({"type": "iceberg"}, 422, "type"),
        ({"time_in_force": "gtd"}, 422, "needs expire_ns"),
        ({"expire_ns": 1}, 422, "only a gtd order"),
        ({"time_in_force": "gtd", "expire_ns": -1}, 422, "expire_ns"),
        ({"side": "long"}, 422, "side"),
        ({"time_in_force": "week"}, 422, "time_in_force"),
        ({"instrument": "DOGE"}, 422, "not known"),
        ({"instrument": 2}, 422, "not known"),
        ({"instrument": "BTC-USDT", "venue": "MOON"}, 422, "not known"),
        ({"client_id": "a b"}, 422, "client_id"),
        ({"client_id": "x" * 65}, 422, "client_id"),
        ({"tag": "a\nb"}, 422, "tag"),
        ({"tag": "x" * 129}, 422, "tag"),
        ({"leverage": 10}, 422, "leverage"),
        ({"post_only": "yes"}, 422, "post_only"),
        ({"venue": ""}, 422, "venue"),
    ],
)
async def test_an_impossible_order_is_refused_and_never_enters_the_journal(
    rig, limit_order, change, status, text
) -> None:
    before = rig.engine.next_seq
    got, problem = await rig.post({**limit_order, **change})
    assert got == status
    assert text in problem["detail"]
    assert problem["status"] == status
    assert rig.engine.next_seq == before


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"quantity": "-1"}, "quantity: expected a decimal above zero, such as 0.1"),
        ({"quantity": "abc"}, "quantity: expected a decimal above zero, such as 0.1"),
        ({"quantity": 0.5}, 'quantity: expected decimal text in quotes, such as "0.1", not a number'),
        ({"price": "1,5"}, "price: expected a decimal above zero, such as 60000.5"),
        ({"side": "long"}, "side: expected buy or sell"),
        ({"client_id": "a b"}, "client_id: expected 1 to 64 letters, digits and ._:-"),
        ({"leverage": 10}, "leverage: there is no such field in an order"),
        ({"quantity": "0.000001"}, "quantity 0.000001 is not a multiple of 0.00001"),
        (
            {"quantity": "99999999999999999"},
            "quantity 99999999999999999 is too large: 92233720368547.75807 is the most",
        ),
    ],
)
async def test_a_refusal_says_what_is_expected_in_plain_words(rig, limit_order, change, detail) -> None:
    _, problem = await rig.post({**limit_order, **change})
    assert problem["detail"] == detail
    assert problem["field"] == next(iter(change))


async def test_every_field_of_an_order_has_its_own_words_and_none_are_the_validators(
    rig, limit_order
) -> None:
    for name in OrderRequest.__struct_fields__:
        _, problem = await rig.post({**limit_order, name: {"a": 1}})
        assert problem["detail"].startswith(f"{name}: expected ")
        assert "`" not in problem["detail"]
    for missing in ("instrument", "side", "type", "quantity"):
        _, problem = await rig.post({key: value for key, value in limit_order.items() if key != missing})
        assert problem["detail"] == f"{missing} is missing"


async def test_the_venue_of_an_order_is_where_it_goes_and_the_market_is_the_instruments(
    rig, limit_order
) -> None:
    for quantity in ("0.5", "10"):
        _, order = await rig.post({**limit_order, "quantity": quantity})
        await rig.settle()
        _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
        assert (order["venue"], order["market"]) == (found["venue"], found["market"]) == ("paper", "SIM")
    assert order["status"] == "denied"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[]", {}, 422),
        (b"{}", {}, 422),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b" " * 65_537, {}, 413),
    ],
)
async def test_a_body_that_is_no_order_is_refused(rig, body, headers, status) -> None:
    headers = {**rig.auth, "Content-Type": "application/json", **headers}
    async with rig.session.post(f"{rig.url}/api/v1/orders", data=body, headers=headers) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"


async def test_a_cancel_is_durable_when_it_is_answered_and_the_venue_confirms_it(rig, limit_order) -> None:
    _, order = await rig.post(limit_order)
    await rig.settle()
    status, answer = await rig.delete(order["order_id"])
    assert (status, answer["status"]) == (202, "pending_cancel")
    await rig.settle()
    _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
    assert found["status"] == "canceled"
    status, problem = await rig.delete(order["order_id"])
    assert (status, problem["type"]) == (409, "urn:taped:order-over")


async def test_every_type_of_order_keeps_its_terms_to_the_digit(rig) -> None:
    asked = [
        {"type": "stop", "stop_price": "70000.1"},
        {"type": "stop_limit", "stop_price": "70000.1", "price": "70001.2"},
        {"type": "trailing_stop", "trail_amount": "150.5"},
        {"type": "trailing_stop", "trail_percent": "1.25"},
        {"type": "limit", "price": "50000.1", "time_in_force": "gtd", "expire_ns": 2**62},
    ]
    for terms in asked:
        body = {"instrument": 1, "side": "buy", "quantity": "0.1", "client_id": f"t{len(terms)}", **terms}
        body["client_id"] = "".join(filter(str.isalnum, str(terms)))[:60]
        status, order = await rig.post(body)
        await rig.settle()
        assert status == 201
        assert order["status"] == "submitted"
        _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
        for name, text in terms.items():
            assert str(found[name]).rstrip("0") == str(text).rstrip("0")
            assert found[name] == order[name]
        assert (await rig.post(body))[0] == 200


async def patch(rig, order_id: int, document):
    url = f"{rig.url}/api/v1/orders/{order_id}"
    async with rig.session.patch(url, json=document, headers=rig.auth) as answer:
        return answer.status, await answer.json()


async def test_a_replace_is_durable_when_it_is_answered_and_the_same_request_still_counts_as_the_same(
    rig, limit_order
) -> None:
    body = {**limit_order, "client_id": "r-1"}
    _, order = await rig.post(body)
    await rig.settle()
    status, wish = await patch(rig, order["order_id"], {"price": "49000"})
    assert (status, wish["status"]) == (202, "pending_replace")
    assert rig.engine.core.orders[order["order_id"]].request.price == 5_000_010
    assert (await rig.post(body))[1]["order_id"] == order["order_id"]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "nothing would change"),
        ({"price": "0"}, "above zero"),
        ({"price": "1.001"}, "multiple of 0.1"),
        ({"side": "sell"}, "no such field"),
        ({"quantity": 1}, "not a number"),
    ],
)
async def test_a_replace_that_cannot_be_is_refused_and_leaves_no_trace(
    rig, limit_order, document, text
) -> None:
    _, order = await rig.post(limit_order)
    await rig.settle()
    before = rig.engine.next_seq
    status, problem = await patch(rig, order["order_id"], document)
    assert (status, text in problem["detail"]) == (422, True)
    assert rig.engine.next_seq == before


async def test_a_replace_that_a_rule_denies_says_which_and_the_order_goes_on(rig, limit_order) -> None:
    _, order = await rig.post(limit_order)
    await rig.settle()
    status, denied = await patch(rig, order["order_id"], {"quantity": "1000"})
    assert (status, denied["status"], denied["rule"]) == (422, "denied", "CASH")
    _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
    assert found["status"] == "accepted"
    assert (await patch(rig, 999_999, {"price": "1"}))[0] == 404


BRACKET = {
    "instrument": 1,
    "side": "buy",
    "type": "limit",
    "price": "50000.1",
    "quantity": "0.1",
    "take_profit": {"price": "61000"},
    "stop_loss": {"stop_price": "49000"},
}


async def test_a_bracket_is_three_orders_of_one_request_and_the_children_wait_for_their_parent(rig) -> None:
    body = {**BRACKET, "client_id": "b-1"}
    status, order = await rig.post(body)
    assert (status, order["status"]) == (201, "submitted")
    profit, loss = order["children"]
    assert [child["status"] for child in order["children"]] == ["held", "held"]
    assert [child["parent_id"] for child in order["children"]] == [order["order_id"]] * 2
    assert (profit["side"], profit["type"], profit["price"]) == ("sell", "limit", "61000.00")
    assert (loss["side"], loss["type"], loss["stop_price"]) == ("sell", "stop", "49000.00")
    assert profit["oco_group"] == loss["oco_group"] == order["order_id"]
    await rig.settle()
    again, same = await rig.post(body)
    assert (again, same["order_id"], len(same["children"])) == (200, order["order_id"], 2)


async def test_a_child_works_once_its_parent_has_filled_and_closes_what_that_opened(rig) -> None:
    body = {**BRACKET, "type": "market", "price": None, "stop_loss": None}
    _, order = await rig.post(body)
    await rig.settle()
    [profit] = [child["order_id"] for child in order["children"]]
    _, found = await rig.get(f"/api/v1/orders/{profit}")
    assert found["status"] == "accepted"
    await rig.quote(6_100_000, 6_100_010)
    await rig.settle()
    assert (await rig.get(f"/api/v1/orders/{profit}"))[1]["status"] == "filled"
    [position] = (await rig.get("/api/v1/positions"))[1]["positions"]
    assert position["quantity"] == "0.00000"


async def test_a_client_id_of_another_bracket_is_a_conflict(rig) -> None:
    body = {**BRACKET, "client_id": "b-2"}
    _, order = await rig.post(body)
    assert (await rig.post(body))[1]["order_id"] == order["order_id"]
    for change in ({"take_profit": {"price": "62000"}}, {"stop_loss": None}, {"take_profit": None}):
        status, problem = await rig.post({**body, **change})
        assert (status, problem["type"]) == (409, "urn:taped:client-id-reused")


async def test_the_children_of_a_denied_order_are_denied_with_it(rig) -> None:
    status, order = await rig.post({**BRACKET, "quantity": "99"})
    assert (status, order["rule"]) == (422, "CASH")
    assert [child["status"] for child in order["children"]] == ["denied", "denied"]


async def post_group(rig, orders):
    url = f"{rig.url}/api/v1/orders/oco"
    async with rig.session.post(url, json={"orders": orders}, headers=rig.auth) as answer:
        return answer.status, await answer.json()


async def test_of_an_oco_group_one_fill_ends_the_other(rig) -> None:
    low = {"instrument": 1, "side": "buy", "type": "limit", "price": "59000", "quantity": "0.1"}
    status, group = await post_group(rig, [low, {**low, "price": "58000"}])
    assert status == 201
    assert {order["oco_group"] for order in group["orders"]} == {group["oco_group"]}
    await rig.settle()
    await rig.quote(5_899_990, 5_900_000)
    await rig.settle()
    found = [(await rig.get(f"/api/v1/orders/{each['order_id']}"))[1] for each in group["orders"]]
    assert [each["status"] for each in found] == ["filled", "canceled"]


@pytest.mark.parametrize(
    ("orders", "text"),
    [
        ([], "a list of 2 to 16 orders"),
        ([BRACKET], "a list of 2 to 16 orders"),
        ([BRACKET, BRACKET], "no client_id, take_profit or stop_loss"),
        ("none", "a list of 2 to 16 orders"),
    ],
)
async def test_a_group_that_cannot_be_is_refused_and_leaves_no_trace(rig, orders, text) -> None:
    before = rig.engine.next_seq
    status, problem = await post_group(rig, orders)
    assert (status, text in problem["detail"]) == (422, True)
    assert rig.engine.next_seq == before


async def test_cancelling_what_never_was_is_not_found(rig) -> None:
    before = rig.engine.next_seq
    assert (await rig.delete(999_999))[0] == 404
    async with rig.session.delete(f"{rig.url}/api/v1/orders/zero", headers=rig.auth) as answer:
        assert answer.status == 404
    assert rig.engine.next_seq == before


async def test_orders_are_paged_by_cursor_without_loss_or_repetition(rig, limit_order) -> None:
    posted = [(await rig.post({**limit_order, "quantity": "0.00001"}))[1]["order_id"] for _ in range(7)]
    await rig.settle()
    seen, cursor = [], ""
    while cursor is not None:
        _, page = await rig.get(f"/api/v1/orders?limit=3{cursor and '&cursor=' + cursor}")
        seen += [order["order_id"] for order in page["orders"]]
        cursor = page["next"]
    assert seen == posted[::-1]


async def test_open_orders_leave_out_those_that_are_over(rig, limit_order) -> None:
    _, resting = await rig.post({**limit_order, "quantity": "0.1"})
    await rig.post({"instrument": "1", "side": "buy", "type": "market", "quantity": "0.1"})
    await rig.settle()
    _, page = await rig.get("/api/v1/orders?open=true&instrument=BTC-USDT")
    assert [order["order_id"] for order in page["orders"]] == [resting["order_id"]]


async def test_a_halted_core_denies(rig, limit_order) -> None:
    halt = OperatorCommand(
        ts_ns=1, who="test", role="admin", command="trading.halt", arguments={"reason": "drill"}
    )
    await rig.engine.execute([halt])
    assert rig.engine.core.trading_state is TradingState.HALTED
    status, order = await rig.post(limit_order)
    assert (status, order["rule"]) == (422, "HALTED")


async def test_a_stopping_daemon_takes_no_orders_and_says_when_to_retry(rig, limit_order) -> None:
    rig.engine.stopping = True
    async with rig.session.post(f"{rig.url}/api/v1/orders", json=limit_order, headers=rig.auth) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
    status, _ = await rig.delete(1)
    assert status == 503


async def test_a_journal_that_fails_under_an_order_is_told_as_not_known(
    rig, limit_order, monkeypatch
) -> None:
    async def fail(_inputs: object) -> None:
        raise JournalPoisonedError("the disk is gone")

    monkeypatch.setattr(rig.engine, "execute", fail)
    status, problem = await rig.post(limit_order)
    assert status == 503
    assert "same client_id" in problem["detail"]


@pytest.mark.parametrize(
    "change", [{"quantity": "1\n"}, {"client_id": "abc\n"}, {"tag": "x\n"}, {"price": "100\n"}]
)
async def test_a_line_end_never_enters_the_journal(rig, limit_order, change) -> None:
    status, _ = await rig.post({**limit_order, **change})
    assert 400 <= status < 500
    assert requests_in_journal(rig) == []
