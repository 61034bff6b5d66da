from __future__ import annotations

import pytest

from daemon.api.access import Role

ORDER = {"instrument": 1, "side": "buy", "type": "market", "quantity": "0.001"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}],
)
async def test_nothing_changes_without_a_valid_token(rig, headers) -> None:
    before = rig.engine.next_seq
    async with rig.session.post(f"{rig.url}/api/v1/orders", json=ORDER, headers=headers) as answer:
        assert answer.status == 401
        assert "Bearer" in answer.headers["WWW-Authenticate"]
    async with rig.session.delete(f"{rig.url}/api/v1/orders/1", headers=headers) as answer:
        assert answer.status == 401
    assert rig.engine.next_seq == before


async def test_a_trader_may_order_and_a_viewer_may_not(rig) -> None:
    for role, status in ((Role.TRADER, 201), (Role.VIEWER, 403)):
        token = await rig.access.create_token(role.value, role)
        assert (await rig.post(ORDER, headers={"Authorization": f"Bearer {token}"}))[0] == status


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::1", "a b"]
)
@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/positions", "/ws"])
async def test_a_foreign_host_name_gets_nothing(rig, host, path) -> None:
    async with rig.session.get(rig.url + path, headers={"Host": host}) as answer:
        assert answer.status in (400, 403)
        assert b"BTC" not in await answer.read()


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8080", "LOCALHOST", "192.168.1.5:8080"])
async def test_addresses_and_localhost_are_ours(rig, host) -> None:
    assert (await rig.get("/health", headers={"Host": host}))[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["])
async def test_pages_of_another_origin_change_nothing_and_get_no_websocket(rig, origin) -> None:
    assert (await rig.post(ORDER, headers={**rig.auth, "Origin": origin}))[0] == 403
    async with rig.session.get(f"{rig.url}/ws", headers={"Origin": origin}) as answer:
        assert answer.status == 403


async def test_our_own_page_may_order(rig) -> None:
    assert (await rig.post(ORDER, headers={**rig.auth, "Origin": rig.url}))[0] == 201


@pytest.mark.parametrize("path", ["/", "/api/v1/positions", "/nothing", "/static/main.js", "/health"])
async def test_every_answer_forbids_inline_script_framing_and_sniffing(rig, path) -> None:
    async with rig.session.get(rig.url + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("PUT", "/api/v1/orders", 405),
        ("DELETE", "/api/v1/positions", 405),
        ("PATCH", "/health", 405),
        ("GET", "/static/../access.py", 404),
        ("GET", "/static/%2e%2e/access.py", 404),
        ("GET", "/static/", 403),
        ("GET", "/api/v1/bars", 400),
        ("GET", "/api/v1/bars?instrument=1&interval=2s", 400),
        ("GET", "/api/v1/bars?instrument=1&limit=0", 400),
        ("GET", "/api/v1/bars?instrument=1&limit=1001", 400),
        ("GET", "/api/v1/bars?instrument=1&limit=1&limit=2", 400),
        ("GET", "/api/v1/bars?instrument=9", 404),
        ("GET", "/api/v1/positions?at=5", 400),
        ("GET", "/api/v1/ticks?instrument=1&kind=bar", 400),
        ("GET", "/api/v1/ticks?instrument=1&cursor=99999999999999999999", 400),
        ("GET", "/api/v1/orders?open=yes", 400),
        ("GET", "/api/v1/orders/99999999999999999999", 404),
        ("GET", "/api/v1/orders/77", 404),
    ],
)
async def test_a_refusal_is_a_problem_document(rig, method, path, status) -> None:
    async with rig.session.request(method, rig.url + path, headers=rig.auth) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        problem = await answer.json(content_type=None)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"].startswith("/")


async def test_a_fault_of_ours_is_told_without_its_cause(rig, monkeypatch, caplog) -> None:
    def explode() -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(rig.engine.core.orders, "get", lambda *_: explode())
    status, problem = await rig.delete(1)
    assert status == 500
    assert "secret" not in str(problem)
    assert "secret detail" in caplog.text
