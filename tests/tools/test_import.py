"""`taped import`: counts, refusals, and going on after a kill."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.readmodel.writer import ReadModelWriter
from schemas.events import InstrumentDefined, OperatorCommand, Quote, Trade
from tools import cli
from tools.import_history import History

LINE = (
    '1723161254000000000 {{"stream":"btcusdt@trade","data":{{"e":"trade","s":"BTCUSDT","t":{},'
    '"p":"{}","q":"2","T":1723161254000,"m":true}}}}\n'
)


def recording(path: Path, prices) -> Path:
    path.write_text("".join(LINE.format(number, price) for number, price in enumerate(prices, 1)))
    return path


def taped(*arguments):
    return cli.main([str(argument) for argument in arguments])


def imported(capsys, *arguments):
    capsys.readouterr()
    code = taped("import", *arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


def events_of(data):
    return [event for batch in JournalReader(data / "journal").batches() for event in batch.events]


def test_a_file_becomes_events_between_two_commands(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5", "1.6"])
    code, summary = imported(capsys, tmp_path / "D", path)
    assert code == 0
    assert summary["events"] == {"InstrumentDefined": 1, "Trade": 2}
    assert (summary["rejected"], summary["first_seq"], summary["last_seq"]) == ([], 1, 5)
    start, definition, first, second, end = events_of(tmp_path / "D")
    assert (start.command, start.arguments["file"], start.arguments["format"]) == (
        "import.start",
        "a.dat",
        "binance-raw",
    )
    assert (definition.symbol, first.price, second.price) == ("BTCUSDT", 150_000_000, 160_000_000)
    assert (end.command, end.arguments["events"], end.role) == ("import.end", 2, "admin")
    assert end.arguments["sha256"] == start.arguments["sha256"]


def test_damaged_lines_are_reported_and_the_exit_code_says_so(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5", "x", "1.6"])
    code, summary = imported(capsys, tmp_path / "D", path)
    assert code == 1
    assert [(row["line"], row["reason"]) for row in summary["rejected"]] == [
        (2, "'x' is not a decimal number")
    ]
    assert summary["events"]["Trade"] == 2


def test_the_list_of_rejections_is_bounded_and_their_count_is_not(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5"] + ["x"] * 1_500)
    _, summary = imported(capsys, tmp_path / "D", path)
    assert (len(summary["rejected"]), summary["rejected_count"]) == (1_000, 1_500)


def test_the_same_content_twice_is_refused_under_any_name_unless_asked_for(tmp_path, capsys):
    data = tmp_path / "D"
    path = recording(tmp_path / "a.dat", ["1.5"])
    other = recording(tmp_path / "b.dat", ["1.5"])
    assert taped("import", data, path) == 0
    before = JournalReader(data / "journal").last_seq
    assert taped("import", data, other) == 1
    assert "imported before" in capsys.readouterr().err
    assert JournalReader(data / "journal").last_seq == before
    code, summary = imported(capsys, data, other, "--again")
    assert (code, summary["events"]) == (0, {"Trade": 1})


def test_the_same_content_twice_in_one_command_is_refused_before_anything_is_written(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5"])
    assert taped("import", tmp_path / "D", path, path) == 1
    assert "named twice" in capsys.readouterr().err
    assert events_of(tmp_path / "D") == []


def test_a_file_that_cannot_be_told_stops_all_before_anything_is_written(tmp_path, capsys):
    good = recording(tmp_path / "a.dat", ["1.5"])
    bad = tmp_path / "b.dat"
    bad.write_text("what is this\n")
    assert taped("import", tmp_path / "D", good, bad) == 1
    assert "format cannot be told" in capsys.readouterr().err
    assert not (tmp_path / "D").exists()


def test_instruments_keep_their_ids_over_imports(tmp_path, capsys):
    first = recording(tmp_path / "a.dat", ["1.5"])
    second = recording(tmp_path / "b.dat", ["1.6"])
    assert taped("import", tmp_path / "D", first) == 0
    _, summary = imported(capsys, tmp_path / "D", second)
    assert summary["events"] == {"Trade": 1}
    events = events_of(tmp_path / "D")
    assert {event.instrument_id for event in events if isinstance(event, Trade)} == {1}


def test_ids_begin_anew_with_each_file(tmp_path, capsys):
    late = recording(tmp_path / "late.dat", ["1.5"] * 5)
    early = recording(tmp_path / "early.dat", ["1.6"] * 3)
    code, summary = imported(capsys, tmp_path / "D", late, early)
    assert (code, summary["events"]["Trade"]) == (0, 8)


def test_a_held_journal_is_left_alone(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5"])
    with JournalWriter.open(tmp_path / "D" / "journal"):
        assert taped("import", tmp_path / "D", path) == 1
    assert "taped:" in capsys.readouterr().err


def test_the_read_model_holds_the_import_at_its_end(tmp_path, capsys):
    apsw = pytest.importorskip("apsw")
    path = recording(tmp_path / "a.dat", ["1.5", "1.6"])
    _, summary = imported(capsys, tmp_path / "D", path)
    connection = apsw.Connection(str(tmp_path / "D" / "readmodel.db"), flags=apsw.SQLITE_OPEN_READONLY)
    (applied,) = connection.execute("SELECT value FROM meta WHERE name = 'applied_seq'").fetchone()
    assert applied == summary["last_seq"]
    assert connection.execute("SELECT file, events, finished FROM imports").fetchall() == [("a.dat", 2, 1)]
    connection.close()


def test_people_get_counts_with_their_nouns(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5", "x"])
    assert taped("import", tmp_path / "D", path) == 1
    out = capsys.readouterr().out
    assert out.startswith("1 line rejected:\n")
    assert "line 2: 'x' is not a decimal number" in out
    assert out.endswith("\n1 trade, 1 instrument; seq 1 to 4 (2 import marks)\n")


def test_numbers_in_text_have_thousands_separators(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5"] * 1_200)
    assert taped("import", tmp_path / "D", path) == 0
    assert "1,200 trades, 1 instrument; seq 1 to 1,203 (2 import marks)" in capsys.readouterr().out


def test_lines_rejected_for_one_cause_are_one_line_of_text(tmp_path, capsys):
    path = tmp_path / "a.csv"
    rows = "".join(f"170000000{n},1.5,1\n" for n in range(5))
    path.write_text(f"t,p,q\n{rows}x,1.5,1\n")
    assert csv_import(tmp_path / "D", path, "ts=t@ms,price=p,quantity=q") == 1
    out = capsys.readouterr().out
    assert "6 lines rejected:" in out
    assert "a.csv, lines 2, 3, 4 and 2 more: ts 1700000000 ms lies outside 1990 to 2100; is it @s?" in out
    assert out.count("a.csv, line") == 2


def test_a_symbol_that_hides_its_currencies_is_told_with_the_flags_that_name_them(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("t,p,q\n1700000000,1.5,1\n")
    assert csv_import(tmp_path / "D", path, COLUMNS, symbol="XYZZY") == 1
    assert "--base-currency, --quote-currency" in capsys.readouterr().out


COLUMNS = "ts=t,price=p,quantity=q"


def csv_import(data, path, columns, *more, symbol="A-B", venue="v"):
    return taped("import", data, path, "--symbol", symbol, "--venue", venue, "--columns", columns, *more)


def csv_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,p,q\n1700000000,1.5,1\n1700000001,1.6,1\n")
    return path


@pytest.mark.parametrize(
    ("columns", "symbol"), [("ts=t@ms,price=p,quantity=q", "A-B"), (COLUMNS, "XYZZY")], ids=["unit", "symbol"]
)
def test_an_import_that_accepted_nothing_does_not_stand_in_the_way_of_the_right_one(
    tmp_path, capsys, columns, symbol
):
    path = csv_file(tmp_path)
    assert csv_import(tmp_path / "D", path, columns, symbol=symbol) == 1
    out = capsys.readouterr().out
    assert "does not count as imported" in out
    assert "the journal is as it was" in out
    assert events_of(tmp_path / "D") == []
    assert csv_import(tmp_path / "D", path, COLUMNS) == 0
    assert [type(event) for event in events_of(tmp_path / "D")] == [
        OperatorCommand, InstrumentDefined, Trade, Trade, OperatorCommand
    ]  # fmt: skip


def test_a_recorded_import_of_no_events_does_not_count(tmp_path):
    path = csv_file(tmp_path)
    marks = [
        OperatorCommand(ts_ns=1, who="x", role="admin", command=command, arguments=arguments)
        for command, arguments in (
            ("import.start", {"file": "a.csv", "sha256": sha256_of(path), "format": "csv"}),
            ("import.end", {"sha256": sha256_of(path), "events": 0}),
        )
    ]
    with JournalWriter.open(tmp_path / "D" / "journal") as writer:
        writer.append(marks)
    assert csv_import(tmp_path / "D", path, COLUMNS) == 0


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--columns", COLUMNS, "--symbol", "A-B"], "which venue these ticks are of; give --venue"),
        (["--columns", COLUMNS, "--venue", "v"], "no column holds the symbol"),
        (["--columns", "ts=time@m,price=p,quantity=q", "--venue", "v", "--symbol", "A-B"], "unknown unit"),
        (["--columns", "ts=when,price=p,quantity=q", "--venue", "v", "--symbol", "A-B"], "no column 'when'"),
        (["--format", "csv", "--venue", "v", "--symbol", "A-B"], "give --columns"),
        (["--columns", COLUMNS, "--venue", "v", "--symbol", "A-B", "--price-scale", "19"], "0 to 18"),
    ],
)
def test_wrong_usage_ends_with_2_before_anything_is_written(tmp_path, capsys, arguments, says):
    assert taped("import", tmp_path / "D", csv_file(tmp_path), *arguments) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "D").exists()


def test_a_cut_archive_is_told_once_by_name(tmp_path, capsys):
    whole = gzip.compress("".join(LINE.format(n, "1.5") for n in range(1, 2_001)).encode())
    path = tmp_path / "a.dat.gz"
    path.write_bytes(whole[: len(whole) // 2])
    assert taped("import", tmp_path / "D", path) == 1
    out = capsys.readouterr().out
    assert "1 line rejected:" in out
    assert out.count("a.dat.gz") == 1
    assert "cut or damaged" in out


def history(data):
    found = History.of(data, JournalReader(data / "journal").last_seq)
    return found.finished, found.cut, found.registry


def test_tables_and_journal_tell_the_same_history(tmp_path, monkeypatch):
    data = tmp_path / "D"
    for name, prices in (("a.dat", ["1.5", "1.6"]), ("b.dat", ["1.7"])):
        assert taped("import", data, recording(tmp_path / name, prices)) == 0
    with JournalWriter.open(data / "journal") as writer:
        start = {"file": "c", "sha256": "c" * 64, "format": "csv", "resumed": 5}
        tick = Trade(ts_ns=1, received_ns=1, instrument_id=1, price=1, quantity=1)
        command = OperatorCommand(ts_ns=1, who="x", role="admin", command="import.start", arguments=start)
        writer.append([command, tick, tick])
    behind = history(data)
    reader = JournalReader(data / "journal")
    readmodel = ReadModelWriter(data / "readmodel.db", reader.journal_id)
    for batch in reader.batches(readmodel.applied_seq + 1):
        readmodel.apply(batch.first_seq, batch.events)
    readmodel.close()
    read = []
    batches = JournalReader.batches
    monkeypatch.setattr(
        JournalReader,
        "batches",
        lambda self, first=1, last=None: read.append(first) or batches(self, first, last),
    )
    tables = history(data)
    assert tables[:2] == behind[:2]
    assert tables[0] == {sha256_of(tmp_path / "a.dat"): 5, sha256_of(tmp_path / "b.dat"): 8}
    assert tables[1] == {"c" * 64: 7}
    assert tables[2].find("BTCUSDT", "binance") == behind[2].find("BTCUSDT", "binance")
    assert read == [9], "what is before the import that was cut off is not read again"


def test_given_columns_read_any_csv(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("when,cost,amount\n1723161254,1.25,3\n")
    code, summary = imported(
        capsys, tmp_path / "D", path, "--venue", "x", "--symbol", "A-B", "--price-scale", 2,
        "--columns", "ts=when,price=cost,quantity=amount",
    )  # fmt: skip
    assert (code, summary["events"]) == (0, {"InstrumentDefined": 1, "Trade": 1})
    assert events_of(tmp_path / "D")[2].price == 125


def start_import(data, path):
    return subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "import", str(data), str(path), "--batch", "500", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )


def wait_for_events(data, process):
    """Wait until some batches are in the journal."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if JournalReader(data / "journal").last_seq > 3_000:
                return
        except Exception:  # noqa: BLE001 - the journal is just being made
            time.sleep(0.01)
    assert process.poll() is None, "the import was over before it could be stopped"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_an_import_that_was_cut_off_goes_on_and_the_ticks_are_those_of_one_run(tmp_path, capsys, number):
    path = recording(tmp_path / "a.dat", [f"1.{price}" for price in range(60_000)])
    data, whole = tmp_path / "D", tmp_path / "W"
    process = start_import(data, path)
    wait_for_events(data, process)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[number]
    if number == signal.SIGINT:
        assert b"same command again" in errors
    kept = sum(isinstance(event, Trade) for event in events_of(data))
    assert 0 < kept < 60_000
    code, summary = imported(capsys, data, path)
    assert (code, summary["events"]["Trade"]) == (0, 60_000 - kept)
    assert summary["files"][0]["resumed_after"] == kept
    imported(capsys, whole, path)

    def ticks(folder):
        return [event for event in events_of(folder) if isinstance(event, Trade | Quote | InstrumentDefined)]

    assert ticks(data) == ticks(whole)
    ends = [event for event in events_of(data) if isinstance(event, OperatorCommand)]
    assert [event.command for event in ends] == ["import.start", "import.start", "import.end"]
    assert ends[-1].arguments["events"] == 60_000
    assert taped("import", data, path) == 1


def test_the_recorded_equity_day_is_imported_whole(market_data, tmp_path, capsys):
    code, summary = imported(
        capsys, tmp_path / "D", market_data / "lean/equity/usa/tick/spy/20131008_trade.zip"
    )
    assert (code, summary["events"]["Trade"], summary["rejected"]) == (0, 451_545, [])
    assert taped("journal", "verify", tmp_path / "D") == 0


def test_the_damaged_recording_is_reported_line_by_line(market_data, tmp_path, capsys):
    path = market_data / "crypto/binance_spot_trxusdt_trades_20250304_corrupted.csv.gz"
    code, summary = imported(capsys, tmp_path / "D", path)
    assert (code, summary["events"]["Trade"]) == (1, 9_998)
    assert [row["line"] for row in summary["rejected"]] == [4, 10_001]
