from __future__ import annotations

import json
import re

import pytest

from daemon.journal.writer import JournalWriter
from daemon.settings import VenueSettings
from daemon.trading.bar_strategy import BarStrategy
from daemon.trading.strategies import STRATEGIES
from schemas.events import AssetClass, InstrumentDefined, Trade
from tools.backtest import allowed_values
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
        (["--param", "speed=5"], 2, "no parameter 'speed'"),
        (["--param", "quantity=none"], 2, "quantity: 'none' is not a decimal number"),
        (["--from-seq", "10", "--to-seq", "5"], 2, "--to-seq 5 lies before --from-seq 10"),
        (["--instruments", "NOPE"], 1, "no instrument NOPE"),
    ],
)
def test_what_cannot_run_is_told_in_one_line(recorded, capsys, extra, code, says):
    assert main(["replay", "backtest", str(recorded), *ARGUMENTS, *extra]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_parameter_that_must_be_given_is_told_as_wrong_usage(recorded, capsys):
    assert main(["replay", "backtest", str(recorded), "--strategy", "ma_cross"]) == 2
    assert "quantity must be given" in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra",
    [["--taker-fee-ppm", "-1"], ["--maker-fee-ppm", "100001"], ["--maker-fee-ppm", "x"], ["--from-seq", "0"]],
)
def test_numbers_are_limited_as_the_settings_are(recorded, capsys, extra):
    assert main(["replay", "backtest", str(recorded), *ARGUMENTS, *extra]) == 2
    assert extra[0] in capsys.readouterr().err


def test_the_daemons_fees_are_the_default_and_are_told(recorded, capsys):
    assert main(["replay", "backtest", str(recorded), *ARGUMENTS, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    settings = VenueSettings()
    assert body["maker_fee_ppm"] == settings.maker_fee_ppm > 0
    assert body["taker_fee_ppm"] == settings.taker_fee_ppm > 0
    assert float(body["fees"]["USD"]) > 0
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--taker-fee-ppm", "250"])
    assert "fees: 1,000 ppm resting, 250 ppm taking" in capsys.readouterr().out


def test_denied_orders_are_counted_by_rule_with_the_reason_of_the_first(recorded, capsys):
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--cash", "1", "--json"])
    body = json.loads(capsys.readouterr().out)
    assert body["denials"]["CASH"]["count"] == body["denied"] > 1
    assert "1 USD is free" in body["denials"]["CASH"]["example"]
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--cash", "1"])
    out = capsys.readouterr().out
    assert "CASH" in out
    assert "1 USD is free" in out


def test_a_strategy_that_heard_nothing_says_what_it_listens_to(recorded, capsys):
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--param", "source=quote"])
    out = capsys.readouterr().out
    assert "note: I@V: no Quote events, which ma_cross listens to; try --param source=trade" in out
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--param", "source=quote", "--json"])
    body = json.loads(capsys.readouterr().out)
    assert body["unheard"] == {"I@V": {"listens": ["Quote"], "saw": ["Trade"]}}
    main(["replay", "backtest", str(recorded), *ARGUMENTS])
    assert "note:" not in capsys.readouterr().out


def test_help_and_readme_list_every_parameter_of_every_strategy(project_root, capsys):
    assert main(["replay", "backtest", "--help"]) == 0
    out = capsys.readouterr().out
    readme = (project_root / "daemon/trading/strategies/README.md").read_text(encoding="utf-8")
    sections = {part.split("\n")[0].strip("`"): part for part in readme.split("\n### ")[1:]}
    shared = sections["Shared by all that decide on bars"]
    for kind, strategy in STRATEGIES.items():
        assert f"strategy {kind}: " in out
        assert f"| `{kind}` |" in readme
        rows = sections[kind] + (shared if issubclass(strategy, BarStrategy) else "")
        for parameter in strategy.parameters:
            words = f"{parameter.name} +{re.escape(allowed_values(parameter))}.*{re.escape(parameter.doc)}"
            assert re.search(rf"^ +{words}$", out, re.MULTILINE)
            row = re.search(rf"^\| `{parameter.name}` \| (.*)$", rows, re.MULTILINE)
            assert row is not None
            assert row[1].startswith(f"{allowed_values(parameter)} | ")
            assert row[1].endswith(f"| {parameter.doc} |")


def test_a_folder_without_a_journal_is_a_clear_error(data_folder, capsys):
    assert main(["replay", "backtest", str(data_folder), *ARGUMENTS]) == 1
    assert "journal" in capsys.readouterr().err
