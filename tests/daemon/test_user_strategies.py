"""Strategies of one's own: what is loaded, what is refused and how, and what the code hash covers."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from daemon import user_strategies
from daemon.app import Daemon
from daemon.config import code_hash, load
from daemon.config_values import ConfigError
from daemon.journal.reader import JournalReader
from daemon.settings import StrategySettings
from daemon.trading.strategies import STRATEGIES
from daemon.user_strategies import UserStrategyError, load_kinds
from schemas.events import DaemonStarted, StrategyStarted
from tests.daemon.test_engine import MARKET
from tools.cli import main

GOOD = '''
from dataclasses import dataclass
from daemon.trading.strategy import Parameter, Strategy

@dataclass
class Memory:
    last: "int" = 0

class Mine(Strategy):
    """Does nothing."""
    kind = "mine"
    parameters = (Parameter("speed", int, "how fast", 1, minimum=1, maximum=9),)
'''


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "strategies"
    made.mkdir(mode=0o755)
    return made


def put(folder, name, text, mode=0o644):
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_in_the_folder_brings_its_kinds(folder):
    put(folder, "mine.py", GOOD)
    kinds = load_kinds(folder)
    assert kinds.classes["mine"].__doc__ == "Does nothing."
    assert list(kinds.classes)[: len(STRATEGIES)] == list(STRATEGIES)
    assert kinds.places == {"mine": str(folder / "mine.py")}


def test_without_a_folder_there_are_tapeds_own_kinds(monkeypatch):
    monkeypatch.setattr(user_strategies, "entry_points", lambda group: [])
    kinds = load_kinds(None)
    assert kinds.classes == dict(STRATEGIES)
    assert code_hash(kinds.sources) == code_hash()


def test_files_that_begin_with_an_underscore_and_other_files_are_left_alone(folder):
    put(folder, "_draft.py", "raise RuntimeError")
    put(folder, "notes.txt", "raise RuntimeError")
    put(folder, "mine.py", GOOD)
    assert set(load_kinds(folder).classes) == {*STRATEGIES, "mine"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_like_this", "cannot be loaded: line 1: ModuleNotFoundError"),
        ("\n\nclass X(:", "cannot be loaded: line 3: SyntaxError"),
        ("x = 1\nraise ValueError('why')", "cannot be loaded: line 2: ValueError: why"),
        ("raise SystemExit(3)", "cannot be loaded: line 1: SystemExit: 3"),
        ("x = 1", "holds no strategy"),
        (GOOD.replace('"mine"', '"ma_cross"'), "kind 'ma_cross' is that of taped itself"),
        (GOOD.replace('"mine"', '"Not mine"'), "the kind of Mine is 'Not mine'"),
        (GOOD.replace('"mine"', "3"), "the kind of Mine is 3"),
        (
            GOOD.replace("(Parameter(", "('speed', *(Parameter(").replace("9),)", "9),))"),
            "the parameters of Mine are not all of class Parameter",
        ),
        ("x = '" + "y" * 1_000_000 + "'", "is longer than 1,000,000 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(folder, text, says):
    path = put(folder, "mine.py", text)
    with pytest.raises(UserStrategyError) as caught:
        load_kinds(folder)
    assert str(caught.value).startswith(f"{path}: {says}")


def test_two_files_with_one_kind_are_told_apart(folder):
    first, second = put(folder, "a.py", GOOD), put(folder, "b.py", GOOD)
    with pytest.raises(UserStrategyError, match=f"{second}: kind 'mine' is that of {first}"):
        load_kinds(folder)


@pytest.mark.parametrize("what", ["mine.py", "."])
def test_what_anybody_can_write_is_refused_and_not_run(folder, what):
    put(folder, "mine.py", GOOD + "\nraise RuntimeError('it was run')")
    (folder / what).chmod(0o777)
    with pytest.raises(UserStrategyError, match=r"anybody on this machine can write it.*chmod o-w"):
        load_kinds(folder)


def test_a_folder_that_is_none_is_told(folder):
    with pytest.raises(UserStrategyError, match="cannot be read: No such file"):
        load_kinds(folder / "nothing")
    with pytest.raises(UserStrategyError, match="is no folder"):
        load_kinds(put(folder, "mine.py", GOOD))


def test_the_code_hash_covers_every_byte_of_it(folder):
    path = put(folder, "mine.py", GOOD)
    first = code_hash(load_kinds(folder).sources)
    assert first != code_hash()
    assert code_hash(load_kinds(folder).sources) == first
    path.write_text(GOOD + "# A word more.\n")
    assert code_hash(load_kinds(folder).sources) != first


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package of two modules; returns how its entry points are set."""
    root = tmp_path / "site" / "their_strategies"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "rules.py").write_text("LEVEL = 3\n")
    (root / "main.py").write_text("from their_strategies.rules import LEVEL\n" + GOOD)
    monkeypatch.syspath_prepend(str(root.parent))

    def offer(value):
        entry = EntryPoint("their", value, user_strategies.GROUP)
        monkeypatch.setattr(user_strategies, "entry_points", lambda group: [entry])
        return root

    yield offer
    for name in [name for name in sys.modules if name.startswith("their_strategies")]:
        del sys.modules[name]


@pytest.mark.parametrize("value", ["their_strategies.main", "their_strategies.main:Mine"])
def test_an_entry_point_brings_a_class_or_those_of_a_module(package, value):
    package(value)
    kinds = load_kinds(None)
    assert kinds.classes["mine"].__name__ == "Mine"
    assert kinds.places["mine"] == f"entry point their = {value}"


def test_the_code_hash_covers_the_whole_package_of_an_entry_point(package):
    root = package("their_strategies.main")
    first = code_hash(load_kinds(None).sources)
    (root / "rules.py").write_text("LEVEL = 4\n")
    assert code_hash(load_kinds(None).sources) != first


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("their_strategies.main:Nobody", "cannot be loaded: AttributeError"),
        ("their_strategies.nothing", "cannot be loaded: ModuleNotFoundError"),
        ("their_strategies.main:Memory", "is no subclass of Strategy"),
        ("their_strategies.rules", "holds no strategy"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(package, value, says):
    package(value)
    with pytest.raises(UserStrategyError, match=f"entry point their = {value}: .*{says}"):
        load_kinds(None)


def test_check_config_knows_the_kinds_of_the_folder(folder, tmp_path, capsys):
    put(folder, "mine.py", GOOD)
    file = tmp_path / "taped.toml"
    table = "\n[strategies.a]\nkind = 'mine'\nparameters = { speed = 5 }\n"
    file.write_text("strategies_folder = 'strategies'\n" + table)
    assert main(["check-config", str(file)]) == 0
    file.write_text("strategies_folder = 'strategies'\n" + table.replace("5", "50"))
    assert main(["check-config", str(file)]) == 1
    assert "mine: speed is 50, expected 1 to 9" in capsys.readouterr().err


def test_check_config_tells_what_is_wrong_with_the_folder(folder, tmp_path, capsys):
    put(folder, "mine.py", GOOD, mode=0o666)
    file = tmp_path / "taped.toml"
    file.write_text("strategies_folder = 'strategies'\n")
    assert main(["check-config", str(file)]) == 1
    error = capsys.readouterr().err
    assert f"{file}: strategies_folder: {folder / 'mine.py'}: anybody on this machine can write it" in error


@asynccontextmanager
async def daemon(data, folder):
    """A daemon without a market that knows the strategies of a folder, and one that it runs."""
    flags = {"data": data, "feed.kind": "none", "api.port": 0, "journal.segment_mib": 1}
    configuration = load(None, {}, {**flags, "strategies_folder": folder})
    strategies = {"a": StrategySettings("mine", ("BTC-USDT",), {"speed": 3})}
    settings = replace(configuration.settings, strategies=strategies)
    made = Daemon(configuration._replace(settings=settings))
    ready = asyncio.Event()
    task = asyncio.create_task(made.run(lambda _: ready.set()))
    await ready.wait()
    yield made
    made.stop("the test ends")
    assert await task == 0


async def test_a_daemon_runs_a_strategy_of_the_folder_and_again_after_a_restart(folder, tmp_path):
    put(folder, "mine.py", GOOD)
    for _ in range(2):
        async with daemon(tmp_path / "data", folder) as made:
            core = made.engine.core
            if not core.instruments:
                await made.engine.execute(MARKET)
            while "a" not in core.strategies:  # noqa: ASYNC110  # nobody tells of it
                await asyncio.sleep(0.01)
            assert core.strategies["a"].strategy.values["speed"] == 3
    events = [e for batch in JournalReader(tmp_path / "data" / "journal").batches() for e in batch.events]
    hashes = {event.code_hash for event in events if isinstance(event, DaemonStarted)}
    assert hashes == {code_hash(load_kinds(folder).sources)} != {code_hash()}
    assert sum(isinstance(event, StrategyStarted) for event in events) == 1


@pytest.mark.parametrize("bars", ["['1x']", "['1m up']", "[1]", "'1m'"])
def test_bars_that_are_none_are_refused_before_anything_is_opened(tmp_path, bars):
    file = tmp_path / "taped.toml"
    file.write_text(f"[history]\nbars = {bars}\n")
    with pytest.raises(ConfigError, match=r"history\.bars"):
        load(file)
