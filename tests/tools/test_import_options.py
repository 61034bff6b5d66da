"""`taped import`: what its options may be, and that a cut import goes on with its own only."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.venue.feeds.formats import FORMATS
from schemas.events import OperatorCommand, Trade
from tools import cli

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


def cut_import(tmp_path, path, *options, keep, change=None):
    """Return a data folder with the first events of an import, as a kill leaves it."""
    assert taped("import", tmp_path / "first", path, *options) in (0, 1)
    events = events_of(tmp_path / "first")[:keep]
    if change:
        start = events[0]
        arguments = {**start.arguments, **change}
        events[0] = OperatorCommand(
            ts_ns=1, who="x", role="admin", command="import.start", arguments=arguments
        )
    with JournalWriter.open(tmp_path / "D" / "journal") as writer:
        writer.append(events)
    return tmp_path / "D"


def two_symbols(tmp_path):
    path = tmp_path / "two.dat"
    lines = [LINE.format(number, f"1.{number}") for number in range(1, 7)]
    lines += [line.replace("btcusdt", "ethusdt").replace("BTCUSDT", "ETHUSDT") for line in lines[:4]]
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--symbol", "ETHUSDT"], "symbol BTCUSDT then, ETHUSDT now"),
        ([], "symbol BTCUSDT then, none now"),
        (["--symbol", "BTCUSDT", "--venue", "elsewhere"], "venue binance then, elsewhere now"),
        (["--symbol", "BTCUSDT", "--price-scale", "0"], "price scale 8 then, 0 now"),
        (["--symbol", "BTCUSDT", "--quantity-scale", "1"], "quantity scale 8 then, 1 now"),
        (["--symbol", "BTCUSDT", "--multiplier", "2"], "multiplier 1 then, 2 now"),
        (["--symbol", "BTCUSDT", "--base-currency", "X"], "base currency none then, X now"),
        (
            ["--symbol", "BTCUSDT", "--format", "binance-usdm-raw"],
            "format binance-raw then, binance-usdm-raw",
        ),
    ],
)
def test_a_cut_import_does_not_go_on_with_other_options(tmp_path, capsys, options, says):
    path = two_symbols(tmp_path)
    data = cut_import(tmp_path, path, "--symbol", "BTCUSDT", keep=4)
    before = events_of(data)
    capsys.readouterr()
    assert taped("import", data, path, *options) == 1
    error = capsys.readouterr().err
    assert says in error
    assert "cut off after 2 ticks" in error
    assert "give the options of then" in error
    assert events_of(data) == before


@pytest.mark.parametrize(
    "spelling", [[], ["--venue", "binance", "--format", "binance-raw", "--multiplier", 1]]
)
def test_a_cut_import_goes_on_with_its_options_however_they_are_spelled(tmp_path, capsys, spelling):
    path = two_symbols(tmp_path)
    data = cut_import(tmp_path, path, "--symbol", "BTCUSDT", keep=4)
    code, summary = imported(capsys, data, path, "--symbol", "BTCUSDT", *spelling)
    assert (code, summary["events"]) == (1, {"Trade": 4})
    assert [event.trade_id for event in events_of(data) if isinstance(event, Trade)] == [1, 2, 3, 4, 5, 6]


def test_columns_of_a_cut_import_must_be_the_same_in_any_order(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("t,p,q,r\n" + "".join(f"170000000{n},1.5,1,2\n" for n in range(5)))
    options = ["--venue", "v", "--symbol", "A-B", "--columns"]
    data = cut_import(tmp_path, path, *options, "ts=t,price=p,quantity=q", keep=4)
    assert taped("import", data, path, *options, "ts=t,price=r,quantity=q") == 1
    assert "columns price=p,quantity=q,ts=t then, price=r,quantity=q,ts=t now" in capsys.readouterr().err
    code, summary = imported(capsys, data, path, *options, "quantity=q,price=p,ts=t")
    assert (code, summary["events"]) == (0, {"Trade": 3})


def test_the_day_that_a_folder_tells_is_part_of_how_a_file_is_read(tmp_path, capsys):
    rows = "".join(f"{34_200_000 + number},1000000,10,Q,0,0\n" for number in range(5))
    paths = [tmp_path / f"equity/usa/tick/spy/2013100{day}_trade.csv" for day in (7, 8)]
    paths[0].parent.mkdir(parents=True)
    for path in paths:
        path.write_text(rows)
    data = cut_import(tmp_path, paths[0], keep=4)
    assert taped("import", data, paths[1]) == 1
    assert "day 2013-10-07 then, 2013-10-08 now" in capsys.readouterr().err
    assert taped("import", data, paths[0]) == 0


def test_a_cut_import_of_more_ticks_than_the_file_gives_is_not_ended(tmp_path, capsys):
    path = recording(tmp_path / "a.dat", ["1.5", "1.6"])
    data = cut_import(tmp_path, path, keep=4, change={"resumed": 50})
    before = events_of(data)
    assert taped("import", data, path) == 1
    assert "gives 2 ticks, but 52 ticks of it were imported" in capsys.readouterr().err
    assert events_of(data) == before
    assert taped("import", data, path, "--again") == 0


def test_the_only_symbol_asked_for_is_the_only_one_taken_from_a_csv_that_tells_symbols(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("t,s,p,q\n1700000000,A-B,1.5,1\n1700000001,C-D,1.6,1\n1700000002,A-B,1.7,1\n")
    columns = "ts=t,symbol=s,price=p,quantity=q"
    code, summary = imported(
        capsys, tmp_path / "D", path, "--venue", "v", "--symbol", "A-B", "--columns", columns
    )
    assert (code, summary["events"]) == (1, {"InstrumentDefined": 1, "Trade": 2})
    assert [row["reason"] for row in summary["rejected"]] == ["symbol C-D, expected A-B"]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--multiplier", "0", "expected 1 to 9223372036854775807"),
        ("--multiplier", "-5", "expected 1 to 9223372036854775807"),
        ("--multiplier", str(2**63), "expected 1 to 9223372036854775807"),
        ("--multiplier", "1_0", "expected 1 to 9223372036854775807"),
        ("--price-scale", "-1", "expected 0 to 18"),
        ("--batch", "0", "expected 1 to 65536"),
        *(
            (option, "a\udcffb", "is not UTF-8 text")
            for option in ("--symbol", "--venue", "--base-currency", "--quote-currency", "--columns")
        ),
    ],
)
def test_an_option_out_of_its_limits_ends_with_2(tmp_path, capsys, option, value, says):
    path = recording(tmp_path / "a.dat", ["1.5"])
    assert taped("import", tmp_path / "D", path, f"{option}={value}") == 2
    assert f"{option}: {says}" in capsys.readouterr().err
    assert not (tmp_path / "D").exists()


def test_a_file_whose_name_is_no_text_is_wrong_usage(tmp_path, capsys):
    path = recording(tmp_path / "a\udcff.dat", ["1.5"])
    assert taped("import", tmp_path / "D", path) == 2
    assert "FILE: is not UTF-8 text" in capsys.readouterr().err


def test_a_damaged_archive_is_told_without_a_trace(tmp_path, capsys):
    path = tmp_path / "20131008_spy_trade_tick.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("20131008_spy_trade_tick.csv", "30000000,1000000,10,Q,0,0\n" * 500)
    data = bytearray(path.read_bytes())
    data[70:100] = bytes(30)
    path.write_bytes(data)
    assert taped("import", tmp_path / "D", path, "--format", "lean-equity", "--venue", "usa") == 1
    assert "cut or damaged" in capsys.readouterr().err
    assert not (tmp_path / "D").exists()


def test_a_small_gzip_that_was_cut_keeps_the_ticks_before_the_cut(tmp_path, capsys):
    whole = gzip.compress("".join(LINE.format(n, f"1.{n * 7_919}") for n in range(1, 301)).encode())
    path = tmp_path / "a.dat.gz"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    code, summary = imported(capsys, tmp_path / "D", path)
    assert code == 1
    assert summary["events"]["Trade"] > 100
    assert summary["rejected_count"] == 1


def test_every_format_stands_on_the_page_about_commands(project_root):
    page = (project_root / "tools" / "README.md").read_text()
    assert [name for name in FORMATS if f"`{name}`" not in page] == []
