from __future__ import annotations

import time

import pytest

from daemon.backup_state import Attempt, BackupState, GoodBackup, write_state
from daemon.readmodel.database import ReadModelError
from daemon.settings import BackupSettings
from schemas.events import DiskLevel, Quote, Trade

START = 1_700_000_000_000_000_000
SECOND = 10**9


def trade(number: int, price: int) -> Trade:
    ts_ns = START + number * SECOND
    return Trade(
        ts_ns=ts_ns, received_ns=ts_ns + 5, instrument_id=1, price=price, quantity=10, trade_id=f"t{number}"
    )


@pytest.fixture
async def traded(rig):
    """The daemon after ten trades, one a second, at 60,001.00 to 60,010.00."""
    await rig.engine.publish([trade(number, 6_000_000 + 100 * number) for number in range(1, 11)])
    await rig.settle()
    return rig


async def pages(rig, path: str, name: str) -> list[list]:
    found, cursor = [], ""
    while cursor is not None:
        _, document = await rig.get(path + (f"&cursor={cursor}" if cursor else ""))
        found.append(document[name])
        cursor = document["next"]
    return found


async def test_instruments_tell_their_steps_as_decimals(rig) -> None:
    _, document = await rig.get("/api/v1/instruments")
    [instrument] = document["instruments"]
    assert (instrument["symbol"], instrument["asset_class"]) == ("BTC-USDT", "crypto")
    assert (instrument["tick_size"], instrument["lot_size"]) == ("0.10", "0.00001")


async def test_ticks_are_paged_newest_first_without_loss(traded) -> None:
    found = await pages(traded, "/api/v1/ticks?instrument=BTC-USDT&limit=4", "ticks")
    prices = [tick["price"] for page in found for tick in page]
    assert prices == [f"600{number:02}.00" for number in range(10, -1, -1)]
    assert found[0][0]["trade_id"] == "t10"


async def test_a_quote_with_one_side_has_null_for_the_other(rig) -> None:
    one_sided = Quote(
        ts_ns=START,
        received_ns=START,
        instrument_id=1,
        bid_price=None,
        bid_quantity=None,
        ask_price=6_000_500,
        ask_quantity=None,
    )
    await rig.engine.publish([one_sided])
    await rig.settle()
    _, document = await rig.get("/api/v1/ticks?instrument=1&kind=quote&limit=1")
    [tick] = document["ticks"]
    assert (tick["bid"], tick["ask"], tick["ask_quantity"]) == (None, "60005.00", None)


async def test_bars_page_backwards_from_the_newest_and_forwards_from_a_time(traded) -> None:
    path = "/api/v1/bars?instrument=1&interval=1s&limit=4"
    backwards = await pages(traded, path, "bars")
    forwards = await pages(traded, f"{path}&from_ns={START + SECOND}", "bars")
    assert [bar["close"] for bar in backwards[0]] == ["60007.00", "60008.00", "60009.00", "60010.00"]
    assert [bar["close"] for bar in forwards[0]] == ["60001.00", "60002.00", "60003.00", "60004.00"]
    starts = [bar["start_ns"] for page in backwards[::-1] for bar in page]
    assert starts == sorted(set(starts))
    assert [bar["start_ns"] for page in forwards for bar in page] == starts[1:]


async def test_a_minute_bar_holds_its_seconds(traded) -> None:
    _, document = await traded.get(f"/api/v1/bars?instrument=1&interval=1min&to_ns={START + 60 * SECOND}")
    volume = sum(float(bar["volume"]) for bar in document["bars"])
    assert document["bars"][0]["open"] == "60000.00"
    assert document["bars"][-1]["close"] == "60010.00"
    assert volume == pytest.approx(0.011)


async def test_health_is_degraded_when_the_read_model_stands_still_and_failed_without_journal(rig) -> None:
    assert (await rig.get("/health"))[1]["status"] == "ok"
    rig.projector.failed = "no space left"
    status, document = await rig.get("/health")
    assert (status, document["status"]) == (200, "degraded")
    assert "no space left" in document["reasons"][0]
    rig.engine.failed = "fdatasync: input/output error"
    status, document = await rig.get("/health")
    assert (status, document["status"]) == (503, "failed")
    assert "fdatasync" in document["reasons"][0]
    rig.engine.failed = rig.projector.failed = None


async def test_health_and_metrics_tell_what_archiving_does(rig) -> None:
    document = (await rig.get("/health"))[1]
    assert (document["archive"], document["retention"]) == ("idle", "idle")
    rig.upkeep.archive.busy, rig.upkeep.held = True, "segment 1 stays: TimescaleDB has confirmed up to seq 0"
    document = (await rig.get("/health"))[1]
    assert (document["status"], document["archive"], document["retention"]) == ("ok", "working", "held")
    rig.upkeep.archive.fail("segment 7 is damaged")
    rig.upkeep.archived_segments, rig.upkeep.removed_segments = 3, 2
    document = (await rig.get("/health"))[1]
    assert (document["status"], document["archive"]) == ("degraded", "failed")
    assert "segment 7 is damaged" in document["reasons"][0]
    async with rig.session.get(f"{rig.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    assert {
        "taped_archive_segments_total 3.0",
        "taped_archive_failures_total 1.0",
        "taped_retention_segments_total 2.0",
    } <= set(lines)


async def test_health_and_metrics_tell_of_backups_where_some_are_expected(rig) -> None:
    assert (await rig.get("/health"))[1]["backup"] == {"state": "off", "age_s": None, "last_seq": None}
    rig.backups._settings = BackupSettings(target="/mnt")
    document = (await rig.get("/health"))[1]
    assert (document["status"], document["backup"]["state"]) == ("degraded", "old")
    assert "there is no backup yet" in document["reasons"][0]
    good = GoodBackup(
        name="20261124T020000Z",
        target="/mnt",
        journal="ab" * 16,
        last_seq=9,
        made_ns=time.time_ns() - 10**9,
        verified_ns=1,
        length=5,
    )
    write_state(rig.data, BackupState(good=good, attempt=Attempt(begun_ns=1, seconds=1, problem="no disk")))
    rig.backups._look_at = 0.0
    document = (await rig.get("/health"))[1]
    assert (document["backup"]["state"], document["backup"]["last_seq"]) == ("failed", 9)
    assert document["reasons"] == ["the last backup failed: no disk"]
    async with rig.session.get(f"{rig.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    assert {"taped_backup_old 0.0", "taped_backup_failed 1.0", "taped_backup_seq 9.0"} <= set(lines)
    assert any(line.startswith("taped_backup_age_seconds 1.") for line in lines)


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (DiskLevel.SPARE_USED, "spare segment is the last one; 7 MiB are free"),
        (DiskLevel.SHED_TICKS, "ticks are dropped; 7 MiB are free"),
        (DiskLevel.REFUSE_RISK, "ticks are dropped and trading is reduced; 7 MiB are free"),
    ],
)
async def test_each_rung_of_disk_space_is_told_by_health_and_metrics(rig, level, reason) -> None:
    assert (await rig.get("/health"))[1]["disk"] == "ok"
    rig.engine.shedder.level, rig.engine.shedder.free_bytes = level, 7 << 20
    _, document = await rig.get("/health")
    name = level.name.lower()
    assert (document["status"], document["disk"], document["disk_free_bytes"]) == ("degraded", name, 7 << 20)
    assert document["reasons"][0].endswith(reason)
    async with rig.session.get(f"{rig.url}/metrics") as answer:
        text = await answer.text()
    assert f'taped_disk_level{{level="{name}"}} 1.0' in text
    assert 'taped_disk_level{level="ok"} 0.0' in text
    assert "taped_disk_free_bytes 7.340032e+06" in text


async def test_metrics_tell_what_the_journal_wrote_in_a_day(rig) -> None:
    rig.engine.meter.note(rig.engine.bytes_written + rig.engine.bytes_filled, START)
    async with rig.session.get(f"{rig.url}/metrics") as answer:
        found = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
    assert float(found["taped_journal_filled_bytes_total"]) >= 1 << 20
    total = rig.engine.bytes_written + rig.engine.bytes_filled
    assert 0 < float(found["taped_journal_day_bytes"]) <= total


async def test_a_journal_that_stands_still_for_want_of_space_is_told_by_health(rig) -> None:
    rig.engine.shedder.paused = True
    _, document = await rig.get("/health")
    assert (document["status"], document["reasons"]) == (
        "degraded",
        ["the disk is full: nothing is journaled until there is space"],
    )


async def test_a_read_model_that_cannot_be_read_is_told_as_unavailable(rig, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise ReadModelError("/secret/path: read: disk I/O error")

    monkeypatch.setattr("daemon.readmodel.queries.ReadModelQueries.positions", fail)
    status, problem = await rig.get("/api/v1/positions")
    assert status == 503
    assert "secret" not in str(problem)


async def test_metrics_tell_the_state_of_each_circuit_breaker(rig) -> None:
    breaker = rig.engine.breakers.add("venue.submit")
    breaker.fail(breaker.admit(0), 0, "503")
    async with rig.session.get(f"{rig.url}/metrics") as answer:
        text = await answer.text()
    assert 'taped_breaker{breaker="venue.submit",state="closed"} 1.0' in text
    assert 'taped_breaker{breaker="venue.submit",state="open"} 0.0' in text
    assert 'taped_breaker_failures{breaker="venue.submit"} 1.0' in text


async def test_metrics_count_events_by_type_and_requests_by_route(rig) -> None:
    await rig.get("/api/v1/orders/12345")
    async with rig.session.get(f"{rig.url}/metrics") as answer:
        text = await answer.text()
    assert 'taped_events_total{type="Quote"} 1.0' in text
    assert f"taped_durable_seq {rig.engine.durable_seq:.1f}" in text
    assert 'route="/api/v1/orders/{order_id}",status="404"' in text
    assert "12345" not in text
    assert "process_resident_memory_bytes" in text
    assert 'taped_health{status="ok"} 1.0' in text


async def test_unknown_addresses_make_one_series_of_metrics_however_many_are_asked_for(rig) -> None:
    for number in range(20):
        await rig.get(f"/random/{number}")
    async with rig.session.get(f"{rig.url}/metrics") as answer:
        lines = [line for line in (await answer.text()).splitlines() if "seconds_count" in line]
    assert len([line for line in lines if "unmatched" in line]) == 1


async def test_every_get_answers_head_without_a_body(rig) -> None:
    for path in ("/", "/health", "/api/v1/positions"):
        async with rig.session.head(rig.url + path) as answer:
            assert answer.status == 200
            assert await answer.read() == b""
