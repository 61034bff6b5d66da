from __future__ import annotations

import pytest

from daemon.api.access import Role
from daemon.journal.reader import JournalReader
from schemas.events import AllocationChanged, OperatorCommand, TradingState

START = {
    "strategy_id": "cross",
    "kind": "ma_cross",
    "instruments": ["BTC-USDT"],
    "parameters": {"fast": 2, "slow": 4, "quantity": "0.1"},
}


async def send(rig, method: str, path: str, document=None, headers=None):
    async with rig.session.request(
        method, f"{rig.url}/api/v1{path}", json=document, headers=headers or rig.auth
    ) as answer:
        return answer.status, await answer.json(content_type=None)


def commands(rig) -> list[str]:
    reader = JournalReader(rig.data / "journal")
    return [
        event.command
        for batch in reader.batches()
        for event in batch.events
        if isinstance(event, OperatorCommand)
    ][1:]


async def test_halting_and_resuming_are_durable_when_answered_and_named_after_who_did_it(rig) -> None:
    status, halted = await send(rig, "POST", "/trading/halt", {"reason": "drill"})
    assert (status, halted["state"], halted["reason"]) == (200, "halted", "drill")
    assert halted["source"] == "operator:admin"
    assert rig.engine.durable_seq >= halted["seq"]
    await rig.settle()
    _, told = await rig.get("/api/v1/trading")
    assert told == {**halted, "instruments": []}
    _, resumed = await send(rig, "POST", "/trading/resume", {"reason": "over"})
    assert resumed["state"] == "active"
    assert rig.engine.core.trading_state is TradingState.ACTIVE
    assert commands(rig) == ["trading.halt", "trading.resume"]


async def test_the_kill_switch_cancels_what_works_and_lets_nothing_leave(rig, limit_order) -> None:
    await rig.post(limit_order)
    await rig.settle()
    status, killed = await send(rig, "POST", "/trading/kill", {"reason": "enough"})
    assert (status, killed["state"], killed["cancels"]) == (200, "halted", 1)
    await rig.settle()
    assert (await rig.get("/api/v1/orders?open=true"))[1]["orders"] == []
    assert (await rig.post(limit_order))[1]["rule"] == "HALTED"


async def test_one_instrument_is_halted_and_resumed(rig, limit_order) -> None:
    status, halted = await send(rig, "POST", "/instruments/BTC-USDT@SIM/halt", {"reason": "odd prices"})
    assert (status, halted["symbol"], halted["state"]) == (200, "BTC-USDT", "halted")
    assert (await rig.post(limit_order))[0] == 422
    await rig.settle()
    _, told = await rig.get("/api/v1/trading")
    assert (told["state"], told["instruments"]) == ("active", [halted])
    assert (await send(rig, "POST", "/instruments/BTC-USDT/resume", {"reason": "fine"}))[0] == 200
    assert (await rig.post(limit_order))[0] == 201


async def test_a_strategy_is_started_listed_and_stopped(rig) -> None:
    status, started = await send(rig, "POST", "/strategies", START)
    assert (status, started["running"]) == (201, True)
    assert started["parameters"]["slow"] == 4
    assert started["instruments"] == ["BTC-USDT@SIM"]
    await rig.settle()
    assert (await rig.get("/api/v1/strategies"))[1]["strategies"] == [started]
    assert (await send(rig, "POST", "/strategies", START))[0] == 409
    assert (await send(rig, "DELETE", "/strategies/cross"))[0] == 202
    await rig.settle()
    [stopped] = (await rig.get("/api/v1/strategies"))[1]["strategies"]
    assert (stopped["running"], stopped["reason"]) == (False, "stopped by admin")
    assert (await send(rig, "DELETE", "/strategies/cross"))[0] == 404


async def test_a_strategy_tells_its_share_of_the_equity(rig) -> None:
    _, started = await send(rig, "POST", "/strategies", START)
    assert started["share"] is None
    shares = AllocationChanged(ts_ns=1, share_ppm={"cross": 250_000}, method="equal")
    await rig.engine.execute([shares])
    await rig.settle()
    [told] = (await rig.get("/api/v1/strategies"))[1]["strategies"]
    assert told["share"] == "0.25"


async def test_kinds_of_strategies_tell_their_parameters(rig) -> None:
    _, document = await rig.get("/api/v1/strategies/kinds")
    kinds = {kind["kind"]: kind for kind in document["kinds"]}
    assert kinds["ma_cross"]["doc"]
    names = {parameter["name"]: parameter for parameter in kinds["ma_cross"]["parameters"]}
    assert names["quantity"]["type"] == "decimal"
    assert (names["fast"]["default"], names["fast"]["minimum"]) == (10, 1)


@pytest.mark.parametrize(
    ("method", "path", "document", "status", "text"),
    [
        ("POST", "/trading/halt", {}, 422, "reason is missing"),
        ("POST", "/trading/halt", {"reason": ""}, 422, "reason: expected a text"),
        ("POST", "/trading/halt", {"reason": "a\nb"}, 422, "reason: expected a text"),
        ("POST", "/trading/halt", {"reason": "x", "flatten": True}, 422, "flatten: there is no such field"),
        ("POST", "/trading/kill", {"reason": "x", "flatten": "yes"}, 422, "flatten: expected true or false"),
        ("POST", "/trading/sell", {"reason": "x"}, 404, "sell cannot be done here"),
        ("POST", "/strategies", {**START, "kind": "oracle"}, 422, "no strategy kind"),
        ("POST", "/strategies", {**START, "strategy_id": "a\nb"}, 422, "strategy_id: expected a name"),
        ("POST", "/strategies", {**START, "parameters": {"fast": 0}}, 422, "fast"),
        ("POST", "/strategies", {**START, "parameters": {"speed": 1}}, 422, "no parameter"),
        ("POST", "/strategies", {**START, "instruments": []}, 422, "instruments: expected a list"),
        ("POST", "/strategies", {**START, "parameters": []}, 422, "parameters: expected an object"),
        ("DELETE", "/strategies/nobody", None, 404, "no strategy nobody runs"),
        ("PATCH", "/strategies/nobody", {"parameters": {}}, 404, "no strategy nobody runs"),
        ("POST", "/account/deposit", {"currency": "usd", "amount": "1"}, 422, "currency: expected"),
        ("POST", "/account/deposit", {"currency": "USD", "amount": 1}, 422, "not a number"),
        ("POST", "/account/deposit", {"currency": "USD", "amount": "0"}, 422, "above zero"),
        ("POST", "/account/borrow", {"currency": "USD", "amount": "1"}, 404, "borrow cannot be done"),
        ("GET", "/events?text=" + "x" * 201, None, 400, "longer than 200"),
    ],
)
async def test_what_cannot_be_is_refused_in_words_and_never_enters_the_journal(
    rig, method, path, document, status, text
) -> None:
    before = rig.engine.next_seq
    got, problem = await send(rig, method, path, document)
    assert got == status
    assert text in problem["detail"]
    assert rig.engine.next_seq == before


async def test_what_the_core_refuses_is_a_conflict_that_says_why(rig) -> None:
    status, problem = await send(rig, "POST", "/instruments/MOON/halt", {"reason": "x"})
    assert (status, problem["type"]) == (409, "urn:taped:refused")
    assert "MOON" in problem["detail"]


async def test_money_is_paid_in_by_admins_only(rig) -> None:
    assert (await send(rig, "POST", "/account/deposit", {"currency": "EUR", "amount": "12.5"}))[0] == 200
    await rig.settle()
    balances = {row["currency"]: row for row in (await rig.get("/api/v1/account"))[1]["balances"]}
    assert balances["EUR"]["cash"] == "12.50"
    token = await rig.access.create_token("t", Role.TRADER)
    headers = {"Authorization": f"Bearer {token}"}
    status, problem = await send(rig, "POST", "/account/deposit", {"currency": "EUR", "amount": "1"}, headers)
    assert (status, problem["type"]) == (403, "urn:taped:role")


async def test_a_limit_is_set_shown_holds_for_the_next_order_and_is_taken_away(rig, limit_order) -> None:
    status, told = await send(rig, "PATCH", "/risk", {"limits": {"max_order_value": "1000"}})
    assert status == 200
    [limit] = told["limits"]
    assert (limit["name"], limit["value"], limit["set_by"]) == ("max_order_value", "1000", "operator")
    assert (await rig.get("/api/v1/risk"))[1] == told
    _, denied = await rig.post(limit_order)
    assert (denied["status"], "1000" in denied["reason"]) == ("denied", True)
    _, told = await send(rig, "PATCH", "/risk", {"limits": {"max_order_value": None}})
    assert told["limits"] == []
    assert (await rig.post(limit_order))[0] == 201


async def test_equity_is_told_while_a_limit_is_about_it(rig) -> None:
    assert (await rig.get("/api/v1/risk"))[1]["equity"] is None
    _, told = await send(rig, "PATCH", "/risk", {"limits": {"max_drawdown_ppm": 100_000}})
    await rig.post({"instrument": 1, "side": "buy", "type": "market", "quantity": "0.1"})
    await rig.settle()
    _, told = await rig.get("/api/v1/risk")
    assert told["currency"] == "USDT"
    assert told["equity"]["peak"] == "100000.00"
    assert told["equity"]["drawdown_percent"] == "0.0012"


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({}, "limits: expected"),
        ({"max_order_value": 1000}, "decimal text above zero"),
        ({"max_order_value": "-1"}, "decimal text above zero"),
        ({"max_luck": "1"}, "no limit 'max_luck'"),
        ({"max_luck": None}, "no limit 'max_luck'"),
        ({"max_orders_per_minute": 0.5}, "an integer from 1"),
        ({"on_drawdown": "panic"}, "deny, reduce or halt"),
    ],
)
async def test_a_limit_that_cannot_be_is_refused_and_never_enters_the_journal(rig, limits, text) -> None:
    before = rig.engine.next_seq
    status, problem = await send(rig, "PATCH", "/risk", {"limits": limits})
    assert (status, text in problem["detail"]) == (422, True)
    assert rig.engine.next_seq == before


async def test_limits_are_set_and_reset_by_admins_only(rig) -> None:
    token = await rig.access.create_token("t", Role.TRADER)
    headers = {"Authorization": f"Bearer {token}"}
    body = {"limits": {"max_order_value": "1"}}
    assert (await send(rig, "PATCH", "/risk", body, headers))[0] == 403
    assert (await send(rig, "POST", "/risk/reset", {}, headers))[0] == 403
    assert (await send(rig, "POST", "/risk/reset", {}))[0] == 200


async def test_the_history_is_found_by_words_and_paged(rig, limit_order) -> None:
    for reason in ("first drill", "second drill", "other"):
        await send(rig, "POST", "/trading/halt", {"reason": reason})
        await send(rig, "POST", "/trading/resume", {"reason": "go on"})
    await rig.settle()
    _, found = await rig.get("/api/v1/events?text=drill%20TradingStateChanged")
    assert ["second" in event["text"] for event in found["events"]] == [True, False]
    seen, cursor = [], ""
    while cursor is not None:
        _, page = await rig.get(f"/api/v1/events?limit=5{cursor and '&cursor=' + cursor}")
        seen += [event["seq"] for event in page["events"]]
        cursor = page["next"]
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) >= 12


async def test_a_stopping_daemon_takes_no_command_and_says_when_to_retry(rig) -> None:
    rig.engine.stopping = True
    status, problem = await send(rig, "POST", "/trading/halt", {"reason": "x"})
    assert (status, "stopping" in problem["detail"]) == (503, True)
