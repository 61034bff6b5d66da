"""The strategy that the README shows is a strategy: it loads, trades, and comes back as it was."""

from __future__ import annotations

import json
import re

import pytest

from daemon.journal.writer import JournalWriter
from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from daemon.user_strategies import load_kinds
from schemas.codec import CODEC
from schemas.events import OrderFilled, is_decision
from tools.cli import main

MINUTE = 60 * 10**9
NOON = 1_700_049_600 * 10**9


@pytest.fixture
def folder(project_root, tmp_path):
    """A folder with the README's strategy in it."""
    text = (project_root / "daemon/trading/strategies/README.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    made = tmp_path / "strategies"
    made.mkdir(mode=0o755)
    (made / "buy_the_dip.py").write_text(source)
    (made / "buy_the_dip.py").chmod(0o644)
    return made


def falls_and_rises(make):
    """Return trades of 100 minutes: level at 10,000, a fall to 9,800, and a rise to 10,100."""
    prices = [
        *[10_000] * 20,
        *range(9_990, 9_790, -10),
        *[9_800] * 20,
        *range(9_800, 10_110, 10),
        *[10_100] * 9,
    ]
    return [make.trade(price, 50, ts_ns=NOON + number * MINUTE) for number, price in enumerate(prices)]


def test_the_example_runs_in_a_backtest_from_its_folder(folder, make, data_folder, capsys):
    with JournalWriter.open(data_folder / "journal") as writer:
        writer.append([make.instrument()])
        writer.append(falls_and_rises(make))
    arguments = ["--strategy", "buy_the_dip", "--param", "length=15", "--param", "quantity=3"]
    where = ["replay", "backtest", str(data_folder), "--strategies-folder", str(folder)]
    assert main([*where, *arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["orders"], result["positions"]["I1@V"]["quantity"]) == (2, "0")
    assert main([*where[:3], *arguments]) == 2
    assert "there is no kind 'buy_the_dip'" in capsys.readouterr().err


def test_the_configuration_that_is_shown_beside_it_is_a_configuration(folder, project_root, capsys):
    text = (project_root / "daemon/trading/strategies/README.md").read_text(encoding="utf-8")
    block = re.search(r"^( {4}strategies_folder.*?)\n\n[^ ]", text, re.DOTALL | re.MULTILINE)
    file = folder.parent / "taped.toml"
    file.write_text(re.sub(r"^ {4}", "", block[1], flags=re.MULTILINE))
    assert main(["check-config", str(file)]) == 0
    assert "buy_the_dip" in capsys.readouterr().out


def test_the_example_comes_back_from_a_snapshot_as_it_was(folder, make):
    kinds = load_kinds(folder).classes
    desk = make.Desk(Core(make.journal, kinds=kinds))
    parameters = {"param__length": 15, "param__quantity": "3", "param__stop": "5"}
    desk.take(make.instrument(), make.deposit())
    desk.take(
        make.command("strategy.start", strategy_id="d", kind="buy_the_dip", instruments=["I1"], **parameters)
    )
    for trade in falls_and_rises(make):
        desk.take(trade)
    merged = desk.merged
    assert any(isinstance(event, OrderFilled) for event in merged)
    for cut in [number for number, event in enumerate(merged) if not is_decision(event)]:
        replayed = Core(make.journal, kinds=kinds)
        replayed.replay(1, merged[:cut])
        loaded = load(make.journal, list(dump(replayed).parts()), kinds=kinds)
        rest, _ = loaded.run([event for event in merged[cut:] if not is_decision(event)])
        assert CODEC.encode(rest) == CODEC.encode(merged[cut:])
        assert loaded.state() == desk.core.state()
