from __future__ import annotations

import json

import pytest

from daemon.journal.writer import JournalWriter
from schemas.events import AssetClass, InstrumentDefined, Trade
from tools.cli import main

ARGUMENTS = ["--strategy", "ma_cross", "--param", "fast=2", "--param", "slow=4", "--param", "quantity=3"]


@pytest.fixture
def recorded(data_folder):
    """A data folder with 400 trades up and down."""
    writer = JournalWriter.open(data_folder / "journal")
    instrument = InstrumentDefined(
        ts_ns=0,
        instrument_id=1,
        symbol="I",
        venue="V",
        asset_class=AssetClass.EQUITY,
        base_currency="I",
        quote_currency="USD",
        price_scale=2,
        quantity_scale=0,
    )
    writer.append([instrument])
    prices = [10_000 + 100 * (n % 20 if n % 40 < 20 else 20 - n % 20) for n in range(400)]
    writer.append(
        [
            Trade(ts_ns=n, received_ns=n, instrument_id=1, price=price, quantity=50)
            for n, price in enumerate(prices)
        ]
    )
    writer.close()
    return data_folder


def test_a_backtest_prints_json_with_money_as_text(recorded, capsys):
    code = main(["replay", "backtest", str(recorded), *ARGUMENTS, "--taker-fee-ppm", "1000", "--json"])
    body = json.loads(capsys.readouterr().out)
    assert code == 0
    assert body["events"] == 401
    assert body["orders"] == body["fills"] > 10
    assert body["deposits"] == {"USD": "100000"}
    assert body["positions"]["I@V"]["quantity"] in ("0", "3")
    assert len(body["decisions_sha256"]) == 64


def test_a_backtest_prints_tables_for_people(recorded, capsys):
    assert main(["replay", "backtest", str(recorded), *ARGUMENTS]) == 0
    out = capsys.readouterr().out
    assert "401 events" in out
    assert "I@V" in out


def test_a_part_of_the_journal_can_be_taken(recorded, capsys):
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--to-seq", "101", "--json"])
    assert json.loads(capsys.readouterr().out)["events"] == 101


@pytest.mark.parametrize(
    ("extra", "code", "says"),
    [
        (["--param", "fast"], 2, "expected NAME=VALUE"),
        (["--cash", "lots"], 2, "is not a decimal number"),
        (["--cash", "0"], 2, "above zero"),
        (["--param", "speed=5"], 1, "no parameter 'speed'"),
        (["--instruments", "NOPE"], 1, "no instrument NOPE"),
    ],
)
def test_what_cannot_run_is_told_in_one_line(recorded, capsys, extra, code, says):
    assert main(["replay", "backtest", str(recorded), *ARGUMENTS, *extra]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_folder_without_a_journal_is_a_clear_error(data_folder, capsys):
    assert main(["replay", "backtest", str(data_folder), *ARGUMENTS]) == 1
    assert "journal" in capsys.readouterr().err
