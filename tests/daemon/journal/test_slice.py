"""A slice is a whole journal with the asked events under their own numbers, and no names when redacted."""

from __future__ import annotations

import re
import secrets

import msgspec
import pytest

from daemon.journal import slice as slices
from daemon.journal.errors import JournalError
from daemon.journal.reader import JournalReader
from daemon.journal.slice import cut_slice
from daemon.journal.verify import verify
from schemas.codec import UnknownEvent
from schemas.events import (
    AssetClass,
    FeedState,
    FeedStatus,
    InstrumentDefined,
    OperatorCommand,
    OrderRequested,
    OrderType,
    SessionCalendarDefined,
    Side,
    StrategyStopped,
    TradingState,
    TradingStateChanged,
)

from .conftest import open_small, trades


def instrument(number, symbol):
    return InstrumentDefined(
        ts_ns=1,
        instrument_id=number,
        symbol=symbol,
        venue="anna",
        asset_class=AssetClass.CRYPTO,
        base_currency="A",
        quote_currency="B",
        price_scale=2,
        quantity_scale=2,
    )


def order(client_id, who="anna"):
    return OrderRequested(
        ts_ns=1,
        instrument_id=1,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=1,
        source=f"operator:{who}",
        client_id=client_id,
    )


NAMED = [
    OperatorCommand(
        ts_ns=1, who="anna", role="admin", command="trading.halt", arguments={"reason": "anna saw fire"}
    ),
    TradingStateChanged(ts_ns=1, state=TradingState.HALTED, reason="anna saw fire", source="operator:anna"),
    order("anna-7", "ben"),
    order("anna-8"),
    StrategyStopped(ts_ns=1, strategy_id="anna", reason="stopped by ben"),
    OperatorCommand(ts_ns=1, who="config", role="admin", command="strategy.stop"),
]


@pytest.fixture
def journal(folder):
    """Instruments at 1, 2 and 102 (1 anew), trades between, named events from 203 on."""
    with open_small(folder) as writer:
        writer.append([instrument(1, "OLD"), instrument(2, "TWO")])
        writer.append(trades(3, 99))
        writer.append([instrument(1, "ONE")])
        writer.append(trades(103, 100))
        writer.append(NAMED)
    return folder


def read(folder):
    return {
        seq: event
        for batch in JournalReader(folder).batches()
        for seq, event in enumerate(batch.events, batch.first_seq)
    }


def test_events_keep_their_numbers_and_bring_their_instruments(journal, tmp_path):
    done = cut_slice(journal, tmp_path / "out", 150, 160)
    found = read(tmp_path / "out")
    original = read(journal)
    assert [found[1].symbol, found[2].symbol] == ["ONE", "TWO"]
    assert {seq: found[seq] for seq in range(150, 161)} == {seq: original[seq] for seq in range(150, 161)}
    assert found[161].arguments == {
        "journal": JournalReader(journal).journal_id,
        "from": 150,
        "to": 160,
        "redacted": False,
    }
    assert len(found) == 14
    assert (done.events, done.definitions) == (11, 2)
    checked = verify(tmp_path / "out")
    assert (checked.problems, checked.journal_id) == ([], done.journal_id)
    assert done.journal_id != JournalReader(journal).journal_id


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_slice_from_the_very_start_needs_no_gap(journal, tmp_path, first):
    cut_slice(journal, tmp_path / "out", first, 10_000)
    found = read(tmp_path / "out")
    assert {seq: found[seq] for seq in range(1, 209)} == read(journal)
    assert verify(tmp_path / "out").problems == []


def test_a_slice_is_opened_and_written_on_as_any_journal(journal, tmp_path):
    cut_slice(journal, tmp_path / "out", 150, 160)
    with open_small(tmp_path / "out") as writer:
        assert writer.append(trades(162, 3)) == 162
    assert verify(tmp_path / "out").problems == []


def test_a_long_slice_has_several_segments(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(slices, "SEGMENT_BYTES", 4096)
    cut_slice(journal, tmp_path / "out", 50, 205)
    checked = verify(tmp_path / "out")
    assert checked.problems == []
    assert checked.segments > 2
    assert [seq for seq in read(tmp_path / "out") if 50 <= seq <= 205] == list(range(50, 206))


def test_redaction_leaves_no_name_and_keeps_who_is_who(journal, tmp_path):
    cut_slice(journal, tmp_path / "out", 203, 208, redact=True)
    found = read(tmp_path / "out")
    text = msgspec.json.encode([found[seq] for seq in range(203, 209) if seq != 207]).decode()
    assert "anna" not in text
    assert "ben" not in text
    assert found[203].who == "operator-1"
    assert found[203].arguments == {"reason": "operator-1 saw fire"}
    assert (found[204].source, found[204].reason) == ("operator:operator-1", "operator-1 saw fire")
    assert (found[205].source, found[205].client_id) == ("operator:operator-2", "client-1")
    assert (found[206].source, found[206].client_id) == ("operator:operator-1", "client-2")
    assert (found[207].strategy_id, found[207].reason) == ("anna", "stopped by operator-2")
    assert found[208].who == "config"
    assert (found[1].symbol, found[1].venue) == ("ONE", "anna")


def texts_of(folder):
    return msgspec.json.encode(list(read(folder).values())).decode()


STATUS = FeedStatus(ts_ns=1, feed="sim", state=FeedState.CONNECTED)


@pytest.mark.parametrize("text", ["Anna", "for anna_2", "ANNA's desk", "(anna)", "anna-marie", "anna, ben"])
def test_a_name_is_found_in_any_text_however_it_is_written(folder, tmp_path, text):
    with open_small(folder) as writer:
        writer.append([msgspec.structs.replace(STATUS, detail=text), order("x"), order("y", "ben")])
    cut_slice(folder, tmp_path / "out", 1, 3, redact=True)
    assert not re.search("anna|ben", texts_of(tmp_path / "out"), re.IGNORECASE)


@pytest.mark.parametrize(("first", "last"), [(2, 2), (1, 1), (1, 3), (2, 3)])
def test_a_name_whose_bearer_acts_before_or_behind_the_text_goes_too(folder, tmp_path, first, last):
    with open_small(folder) as writer:
        writer.append([order("x"), msgspec.structs.replace(STATUS, detail="anna was here"), order("x")])
    cut_slice(folder, tmp_path / "out", first, last, redact=True)
    assert "anna" not in texts_of(tmp_path / "out")


def test_words_that_only_hold_a_name_stay(folder, tmp_path):
    with open_small(folder) as writer:
        writer.append([order("x"), msgspec.structs.replace(STATUS, detail="savanna annals")])
    cut_slice(folder, tmp_path / "out", 1, 2, redact=True)
    assert read(tmp_path / "out")[2].detail == "savanna annals"


def test_a_token_in_a_text_goes_when_redacted(folder, tmp_path):
    token = secrets.token_urlsafe(32)
    with open_small(folder) as writer:
        writer.append([msgspec.structs.replace(STATUS, detail=f"bearer {token} refused")])
    cut_slice(folder, tmp_path / "out", 1, 1, redact=True)
    assert read(tmp_path / "out")[1].detail == "bearer token-removed refused"
    assert token.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "out").glob("*.evl"))


def test_calendars_in_force_come_with_a_slice(journal, tmp_path):
    calendar = SessionCalendarDefined(
        ts_ns=1,
        venue="anna",
        instrument_id=None,
        zone="UTC",
        opens=[0],
        closes=[3600],
        holidays=[],
        early_days=[],
        early_closes=[],
    )
    with open_small(journal) as writer:
        writer.append([calendar, *trades(210, 5)])
    done = cut_slice(journal, tmp_path / "out", 211, 213)
    assert done.definitions == 3
    assert read(tmp_path / "out")[3] == calendar


def test_what_was_in_force_before_the_journal_begins_may_be_given(journal, tmp_path):
    cut_slice(journal, tmp_path / "out", 150, 160, before=[instrument(3, "THREE"), instrument(1, "OLDER")])
    found = read(tmp_path / "out")
    assert sorted(found[seq].symbol for seq in (1, 2, 3)) == ["ONE", "THREE", "TWO"]


def test_what_cannot_be_redacted_is_refused_and_leaves_nothing(folder, tmp_path):
    with open_small(folder) as writer:
        writer.append([UnknownEvent([99, 1, 5, "anna"])])
    with pytest.raises(JournalError, match="names cannot be taken out"):
        cut_slice(folder, tmp_path / "out" / "journal", 1, 1, redact=True)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_slice_leaves_nothing(journal, tmp_path):
    def interrupt(count):
        if (tmp_path / "out").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_slice(journal, tmp_path / "out" / "journal", 150, 160, advance=interrupt)
    assert not (tmp_path / "out").exists()


def test_an_empty_range_and_a_taken_folder_are_refused(journal, tmp_path):
    with pytest.raises(JournalError, match="holds seq 1 to 208, there is no seq 300"):
        cut_slice(journal, tmp_path / "out", 300, 400)
    with pytest.raises(JournalError, match="exists already"):
        cut_slice(journal, tmp_path, 1, 2)
