from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import msgspec
import pytest

from daemon.journal.writer import JournalWriter
from daemon.settings import VenueSettings
from daemon.trading.bar_strategy import BarStrategy
from daemon.trading.strategies import STRATEGIES
from replay.document import BacktestDocument
from replay.spec import BacktestSpec
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
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--to", "101", "--json"])
    assert json.loads(capsys.readouterr().out)["events"] == 101


@pytest.mark.parametrize(
    ("extra", "code", "says"),
    [
        (["--param", "fast"], 2, "expected NAME=VALUE"),
        (["--cash", "lots"], 2, "is not a decimal number"),
        (["--cash", "0"], 2, "above zero"),
        (["--param", "speed=5"], 2, "no parameter 'speed'"),
        (["--param", "quantity=none"], 2, "quantity: 'none' is not a decimal number"),
        (["--from", "10", "--to", "5"], 2, "--to 5 lies before --from 10"),
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
    [
        ["--taker-fee-ppm", "-1"],
        ["--maker-fee-ppm", "100001"],
        ["--maker-fee-ppm", "x"],
        ["--from", "0"],
        ["--seed", "-1"],
        ["--rounds", "x"],
    ],
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


def test_the_whole_report_is_as_its_schema_says(recorded, capsys):
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--json"])
    out = capsys.readouterr().out
    body = msgspec.json.decode(out, type=BacktestDocument)
    assert body.spec == BacktestSpec(
        data=(str(recorded),), strategy="ma_cross", parameters={"fast": 2, "slow": 4, "quantity": 3}
    )
    assert (body.data.first_seq, body.data.last_seq) == (1, 401)
    assert body.report.metrics["trips"] == len(body.report.trips)
    assert body.report.curve[0].equity == "100000"
    assert body.report.curve[-1].equity == body.equity["USD"]
    assert set(body.report.groups) == {"strategy", "instrument", "tag"}


def test_the_figures_are_told_to_people_with_their_intervals(recorded, capsys):
    main(["replay", "backtest", str(recorded), *ARGUMENTS])
    out = capsys.readouterr().out
    assert re.search(r"^deepest drawdown +\S+ %$", out, re.MULTILINE)
    assert re.search(r"^win rate +\d+\.\d\d %  \[\d+\.\d\d to \d+\.\d\d\]$", out, re.MULTILINE)
    assert re.search(r"^result    [0-9a-f]{64}$", out, re.MULTILINE)
    main(["replay", "backtest", str(recorded), *ARGUMENTS, "--rounds", "0"])
    assert "[" not in capsys.readouterr().out


def test_equal_runs_print_the_same_json_but_for_the_time_they_took(recorded, capsys):
    bodies = []
    for _ in range(2):
        main(
            ["replay", "backtest", str(recorded), *ARGUMENTS, "--json", "--latency", "1us+5us", "--seed", "3"]
        )
        body = json.loads(capsys.readouterr().out)
        bodies.append(
            {key: value for key, value in body.items() if key not in ("seconds", "events_per_second")}
        )
    assert bodies[0] == bodies[1]


def test_files_of_market_data_need_no_journal(tmp_path, capsys):
    path = tmp_path / "trades.csv"
    lines = [f"{1_700_000_000_000 + n},{100 + n % 7},1" for n in range(50)]
    path.write_text("\n".join(["t,p,q", *lines]) + "\n")
    columns = "ts=t@ms,price=p,quantity=q"
    options = ["--symbol", "BTC-USDT", "--venue", "demo", "--columns", columns]
    assert main(["replay", "backtest", str(path), *ARGUMENTS, *options, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["events"] == 51
    assert body["data"]["files"][0]["name"] == "trades.csv"


def test_lines_of_a_file_that_were_rejected_are_told(tmp_path, capsys):
    path = tmp_path / "trades.csv"
    path.write_text("t,p,q\n1700000000000,100,1\nnonsense\n1700000000001,100,1\n")
    options = ["--symbol", "BTC-USDT", "--venue", "demo", "--columns", "ts=t@ms,price=p,quantity=q"]
    assert main(["replay", "backtest", str(path), *ARGUMENTS, *options]) == 0
    assert "1 line of the files rejected" in capsys.readouterr().err


def test_an_interrupted_run_tells_what_it_came_to_so_far(recorded):
    program = (
        "import os, signal, sys; from replay import run; from tools.cli import main\n"
        "watched = run._Watched.batches\n"
        "def batches(self):\n"
        "    for number, batch in enumerate(watched(self)):\n"
        "        yield batch\n"
        "        os.kill(os.getpid(), signal.SIGINT) if number == 0 else None\n"
        "run._Watched.batches = batches\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", program, "replay", "backtest", str(recorded), *ARGUMENTS]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 128 + signal.SIGINT
    assert "the result is that of a part" in done.stdout
    assert "2 events" in done.stdout or "1 event " in done.stdout


def test_the_report_is_written_as_a_page(recorded, tmp_path, capsys):
    path = tmp_path / "report.html"
    assert main(["replay", "backtest", str(recorded), *ARGUMENTS, "--html", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result_sha256"]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert result in text


def test_a_page_that_cannot_be_written_is_told_in_one_line(recorded, tmp_path, capsys):
    path = tmp_path / "nowhere" / "report.html"
    assert main(["replay", "backtest", str(recorded), *ARGUMENTS, "--html", str(path)]) == 1
    assert f"{path}: cannot be written: No such file" in capsys.readouterr().err


def test_files_of_which_no_line_is_a_tick_are_no_backtest(tmp_path, capsys):
    file = tmp_path / "none.csv"
    file.write_text("time,price,quantity\n1700000000000,none,1\n")
    columns = ["--columns", "ts=time@ms,price=price,quantity=quantity", "--symbol", "A-USDT", "--venue", "v"]
    arguments = ["replay", "backtest", str(file), *columns, "--strategy", "ma_cross", "--param", "quantity=1"]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert "1 line of the files rejected" in told
    assert "no tick of the files was taken" in told
