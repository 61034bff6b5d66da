"""`taped replay export` as a user gives it."""

from __future__ import annotations

import json

import pytest

from daemon.journal.writer import JournalWriter
from tests.daemon.readmodel.conftest import SECOND, START, instrument, trade
from tools.cli import main


@pytest.fixture
def data(data_folder):
    """A data folder with a trade a second for ten seconds."""
    journal = JournalWriter.open(data_folder / "journal")
    journal.append([instrument(1), *(trade(START + n * SECOND, trade_id=n) for n in range(10))])
    journal.close()
    return data_folder


def lines(out, table):
    return (out / f"{table}.csv").read_text().splitlines()


def test_an_export_prints_its_tables_and_makes_a_file_each(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["replay", "export", str(data), str(out), "--format", "csv"]) == 0
    printed = capsys.readouterr().out
    assert "ticks          10" in printed
    assert printed.rstrip().endswith("events 1 to 11")
    names = {"ticks", "bars", "orders", "fills", "equity", "instruments"}
    assert {path.name for path in out.iterdir()} == {f"{name}.csv" for name in names} | {"export.json"}


def test_an_export_prints_json(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["replay", "export", str(data), str(out), "--what", "trades", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["rows"], body["last_seq"]) == ({"trades": 10, "instruments": 1}, 11)


@pytest.mark.parametrize(
    ("flags", "rows"),
    [
        (["--from", "5"], 7),
        (["--to", "5"], 4),
        (["--from", "2023-11-14T22:13:22Z", "--to", "2023-11-14T22:13:24Z"], 3),
        (["--from", "2023-11-14 22:13:22.5"], 7),
        (["--from", "2023-11-14", "--to", "2023-11-14"], 10),
        (["--to", "2023-11-14T22:13"], 10),
    ],
)
def test_a_range_is_given_by_number_time_minute_or_day(data, tmp_path, flags, rows):
    out = tmp_path / "out"
    assert main(["replay", "export", str(data), str(out), "--format", "csv", "--what", "trades", *flags]) == 0
    assert len(lines(out, "trades")) == rows + 1


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--from", "yesterday"], 2, "or a time such as 2024-08-08"),
        (["--from", "0"], 2, "expected 1 to"),
        (["--from", "9", "--to", "3"], 2, "--to lies before --from"),
        (["--what", "ticks,candles"], 2, "expected some of ticks, trades"),
        (["--interval", "5min"], 2, "expected some of 1s"),
        (["--instruments", "NOPE"], 1, "no instrument NOPE"),
        (["--from", "2030-01-01"], 1, "no event in the range"),
        (["--from", "99"], 1, "no event in the range"),
    ],
)
def test_what_cannot_be_exported_is_said(data, tmp_path, capsys, flags, code, says):
    out = tmp_path / "out"
    assert main(["replay", "export", str(data), str(out), "--format", "csv", *flags]) == code
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_an_export_that_is_there_is_replaced_only_by_force(data, tmp_path, capsys):
    words = ["replay", "export", str(data), str(tmp_path / "out"), "--format", "csv"]
    assert main(words) == 0
    assert main(words) == 1
    assert "give --force" in capsys.readouterr().err
    assert main([*words, "--what", "trades", "--force"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "trades.csv",
        "instruments.csv",
        "export.json",
    }
