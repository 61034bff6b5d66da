"""Commands on a journal whose oldest events are gone: they begin where it begins, and say so."""

from __future__ import annotations

import json
import shutil

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.reader import JournalReader
from daemon.journal.retention import Limits
from daemon.journal.verify import verify
from daemon.readmodel.content import content_hash
from daemon.readmodel.writer import ReadModelWriter
from daemon.shorten import shorten
from schemas.events import InstrumentDefined, OperatorCommand
from tests.daemon.journal.conftest import open_small
from tests.daemon.readmodel.conftest import START, begun, trade
from tests.daemon.test_shorten import EVERYTHING, record
from tools.cli import main


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two instruments are defined in what is gone; 60 rising and falling trades are left."""
    data = tmp_path_factory.mktemp("template")
    recorder = begun()
    for n in range(120):
        recorder.put(trade(START + n * 10**9, 10_000 + (n * 7) % 40))
    record(data, recorder.stream, segments=2)
    shorten(data, EVERYTHING, Limits(), now_ns=1)
    return data


@pytest.fixture
def data(template, tmp_path):
    return shutil.copytree(template, tmp_path / "data")


@pytest.fixture
def begins(data):
    first = JournalReader(data / "journal").first_seq
    assert first > 50
    return first


def run(capsys, *words, code=0):
    assert main([*map(str, words)]) == code
    return capsys.readouterr()


def test_dump_begins_where_the_journal_begins(data, begins, capsys):
    shown = run(capsys, "journal", "dump", data)
    assert shown.out.startswith(f"{begins} ")
    assert f"the journal begins at seq {begins}" in shown.err
    shown = run(capsys, "journal", "dump", data, "--from", 3, "--to", begins)
    assert len(shown.out.splitlines()) == 1
    shown = run(capsys, "journal", "dump", data, "--from", begins)
    assert shown.err == ""
    assert "lies before" in run(capsys, "journal", "dump", data, "--to", 5, code=2).err


def test_a_slice_holds_the_definitions_from_before(data, begins, tmp_path, capsys):
    out = tmp_path / "out"
    shown = run(capsys, "journal", "slice", data, out, "--from", 1, "--to", begins + 9)
    assert f"the journal begins at seq {begins}" in shown.err
    assert "10 events" in shown.out
    events = [event for batch in JournalReader(out / "journal").batches() for event in batch.events]
    assert [event.symbol for event in events if isinstance(event, InstrumentDefined)] == ["S1-USD", "S2-USD"]
    assert verify(out / "journal").passed
    assert "lies before" in run(capsys, "journal", "slice", data, out, "--from", 1, "--to", 5, code=2).err


def test_a_backtest_knows_the_instruments_from_before(data, begins, capsys):
    words = ("replay", "backtest", data, "--strategy", "ma_cross", "--param", "fast=2", "--param", "slow=4")
    shown = run(capsys, *words, "--param", "quantity=1", "--json")
    assert f"the journal begins at seq {begins}" in shown.err
    result = json.loads(shown.out)
    assert result["instruments"] == ["S1-USD@TEST", "S2-USD@TEST"]
    assert result["fills"] > 0


def test_a_rebuild_says_where_the_journal_begins_and_gives_the_same_content(data, begins, capsys):
    before = content_hash(data / "readmodel.db")
    shown = run(capsys, "replay", "rebuild", data)
    assert f"the journal begins at seq {begins}" in shown.out
    assert "equal content" in shown.out
    assert content_hash(data / "readmodel.db") == before


def test_stat_tells_of_the_base_state(data, begins, capsys):
    shown = run(capsys, "journal", "stat", data)
    assert f"events {begins} to " in shown.out
    assert "told by a base state of " in shown.out
    assert json.loads(run(capsys, "journal", "stat", data, "--json").out)["base_state_bytes"] > 1000


def test_verify_covers_what_is_there(data, begins, capsys):
    shown = run(capsys, "journal", "verify", data, "--independent")
    assert f"({begins} to " in shown.out
    assert "passed" in shown.out


def with_more(data, events):
    with open_small(data / "journal") as writer:
        model = ReadModelWriter(data / "readmodel.db", writer.journal_id)
        model.apply(writer.append(events), events)
        model.close()
    archive_journal(data / "journal")


def test_an_import_goes_on_and_knows_what_was_imported_before(data, tmp_path, capsys):
    file = tmp_path / "trades.csv"
    file.write_text("time,price,quantity\n1700000000000,100,1\n")
    words = ("import", data, file, "--symbol", "A-B", "--venue", "V", "--columns")
    run(capsys, *words, "ts=time@ms,price=price,quantity=quantity")
    for _ in range(3):  # The import ends a segment, and what follows lets it be archived and go.
        events = [OperatorCommand(ts_ns=1, who="t", role="r", command="nothing", arguments={})]
        with_more(data, events)
    shorten(data, EVERYTHING, Limits(), now_ns=1)
    assert "imported before" in run(capsys, *words, "ts=time@ms,price=price,quantity=quantity", code=1).err
    (data / "readmodel.db").unlink()
    assert "cannot be told" in run(capsys, *words, "ts=time@ms,price=price,quantity=quantity", code=1).err
    run(capsys, "replay", "rebuild", data)
    assert "imported before" in run(capsys, *words, "ts=time@ms,price=price,quantity=quantity", code=1).err
