"""Results of parity over HTTP: an event, a state that outlives the process, and everywhere told."""

from __future__ import annotations

import pytest

from daemon.api.access import Role
from daemon.hardware.leds import pattern_of
from schemas.events import NotificationQueued, ParityChecked
from tests.daemon.api.test_control import send

CODE = "ab" * 32


def told(rig, **fields):
    passed = {"passed": True, "first_seq": 1, "last_seq": 2, "decisions": 7, "code_hash": CODE}
    return {"journal_id": rig.engine.journal_id, **passed, **fields}


FAILED = {"passed": False, "different_seq": 2, "reason": "seq 2: OrderRequested: quantity differs"}


async def test_a_result_is_an_event_of_the_journal_it_was_about(rig) -> None:
    seen = []
    rig.engine.subscribe(lambda batch: seen.extend(batch.events))
    assert (await rig.get("/api/v1/parity"))[1] == {"parity": None}
    status, answer = await send(rig, "POST", "/parity", told(rig))
    assert status == 201
    (event,) = [event for event in seen if isinstance(event, ParityChecked)]
    assert (event.passed, event.decisions, event.source) == (True, 7, "operator:admin")
    assert (await rig.get("/api/v1/parity"))[1]["parity"] == answer["parity"]
    assert (await rig.get("/health"))[1]["status"] == "ok"


async def test_a_failure_is_notified_degrades_health_and_passes_with_a_later_success(rig) -> None:
    seen = []
    rig.engine.subscribe(lambda batch: seen.extend(batch.events))
    assert (await send(rig, "POST", "/parity", told(rig, **FAILED)))[0] == 201
    (note,) = [event for event in seen if isinstance(event, NotificationQueued)]
    assert note.body == FAILED["reason"]
    health = (await rig.get("/health"))[1]
    assert health["status"] == "degraded"
    assert any(FAILED["reason"] in reason for reason in health["reasons"])
    await send(rig, "POST", "/parity", told(rig))
    assert (await rig.get("/health"))[1]["status"] == "ok"


async def test_metrics_tell_result_age_and_place(rig) -> None:
    async def metrics():
        async with rig.session.get(f"{rig.url}/metrics") as answer:
            lines = [line.split() for line in (await answer.text()).splitlines()]
        return {line[0]: float(line[1]) for line in lines if line[0].startswith("taped_parity_")}

    assert await metrics() == {}
    await send(rig, "POST", "/parity", told(rig, **FAILED))
    found = await metrics()
    assert found["taped_parity_passed"] == 0
    assert found["taped_parity_different_seq"] == 2
    assert 0 <= found["taped_parity_age_seconds"] < 60


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"journal_id": "0" * 32}, 409),
        ({"last_seq": 10**9}, 422),
        ({"first_seq": 2, "last_seq": 1}, 422),
        ({"passed": False}, 422),
        ({"different_seq": 2}, 422),
        ({"code_hash": "ab"}, 422),
        ({"reason": "two\nlines"}, 422),
        ({"more": 1}, 422),
    ],
)
async def test_what_cannot_be_true_of_this_journal_is_refused_and_leaves_no_trace(
    rig, fields, status
) -> None:
    before = rig.engine.next_seq
    assert (await send(rig, "POST", "/parity", told(rig, **fields)))[0] == status
    assert rig.engine.next_seq == before
    assert rig.engine.core.parity is None


async def test_a_viewer_may_not_report(rig) -> None:
    token = await rig.access.create_token("eye", Role.VIEWER)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await send(rig, "POST", "/parity", told(rig), headers))[0] == 403


def test_the_error_led_has_a_pattern_of_its_own_for_it() -> None:
    pattern = pattern_of("error", {"active", "alive", "degraded", "parity_failed"})
    assert pattern is not None
    assert pattern.state == "parity_failed"
