"""Settings: which source wins, what is refused and how clearly, and what the hashes hang on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import code_hash, config_hash, flat, is_loopback, load
from daemon.config_values import DECLARED, ConfigError, ConfigMistakesError
from daemon.settings import Settings, StrategySettings
from daemon.trading.commands import CommandError, parse
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import check_parameters
from schemas.events import OperatorCommand
from tools.cli import main


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        file = tmp_path / "taped.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def refused(file=None, env=None, flags=None):
    with pytest.raises(ConfigError) as error:
        load(file, env or {}, flags or {})
    return str(error.value)


def test_without_any_source_all_values_are_the_declared_defaults():
    configuration = load(None)
    assert configuration.settings == Settings()
    assert set(configuration.sources.values()) == {"default"}
    assert configuration.warnings == ()


def test_flags_win_over_environment_over_file_over_defaults(write):
    file = write("[api]\nport = 1001\nhost = '::1'\nmax_websockets = 5\n")
    configuration = load(
        file, {"TAPED_API__PORT": "1002", "TAPED_API__HOST": "127.0.0.2"}, {"api.port": 1003, "data": None}
    )
    api = configuration.settings.api
    assert (api.port, api.host, api.max_websockets, api.max_body_bytes) == (1003, "127.0.0.2", 5, 65_536)
    sources = configuration.sources
    assert sources["api.port"] == "flag"
    assert sources["api.host"] == "environment TAPED_API__HOST"
    assert sources["api.max_websockets"] == f"file {file}"
    assert sources["api.max_body_bytes"] == "default"
    assert sources["data"] == "default"


def test_every_kind_of_value_can_come_from_the_environment():
    settings = load(
        None,
        {
            "TAPED_DATA": "/srv/taped",
            "TAPED_LOG__FILE": "",
            "TAPED_FEED__RATE": "12.5",
            "TAPED_FEED__RESTAMP": "yes",
            "TAPED_FEED__INSTRUMENTS": "BTC-USDT, ETH-USDT",
            "TAPED_FEED__PATHS": "a.gz,b.gz",
            "TAPED_ACCOUNT__CASH": "USDT=100.50,EUR=0.01",
            "TAPED_TOKEN_FILE": "not a setting",
            "HOME": "left alone",
        },
    ).settings
    assert settings.data == Path("/srv/taped")
    assert settings.log.file is None
    assert settings.feed.rate == 12.5
    assert settings.feed.restamp is True
    assert settings.feed.instruments == ("BTC-USDT", "ETH-USDT")
    assert settings.feed.paths == (Path("a.gz"), Path("b.gz"))
    assert settings.account.cash == {"USDT": "100.50", "EUR": "0.01"}


def test_relative_paths_in_a_file_start_at_its_folder(write, tmp_path):
    file = write("data = 'd'\n[feed]\npaths = ['x.gz', '/abs/y.gz']\n")
    settings = load(file, {"TAPED_LOG__FILE": "here.log"}).settings
    assert settings.data == tmp_path / "d"
    assert settings.feed.paths == (tmp_path / "x.gz", Path("/abs/y.gz"))
    assert settings.log.file == Path("here.log")


def test_strategies_are_read_with_their_parameters(write):
    file = write(
        "[strategies.fast-one]\nkind = 'ma_cross'\ninstruments = ['BTC-USDT']\n"
        "parameters = { fast = 2, share = 0.5, quantity = '1', live = true }\n"
    )
    configuration = load(file)
    assert configuration.settings.strategies == {
        "fast-one": StrategySettings(
            "ma_cross", ("BTC-USDT",), {"fast": 2, "share": 0.5, "quantity": "1", "live": True}
        )
    }
    assert configuration.sources["strategies.fast-one"] == f"file {file}"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("prot = 1", "prot", "no such setting"),
        ("[api]\nprot = 1", "api.prot", "did you mean api.port?"),
        ("[apo]\nport = 1", "apo", "did you mean api?"),
        ("api = 1", "api", "is 1, expected a table; write [api]"),
        ("[api]\nport = '8080'", "api.port", "is '8080', expected an integer from 0 to 65_535"),
        ("[api]\nport = true", "api.port", "is True, expected an integer from 0 to 65_535"),
        ("[api]\nport = 65536", "api.port", "is 65536, expected an integer from 0 to 65_535"),
        ("[api]\nport = -1", "api.port", "is -1, expected an integer from 0 to 65_535"),
        ("[api]\nhost = ''", "api.host", "is '', expected text"),
        ("[log]\nlevel = 'loud'", "log.level", "is 'loud', expected debug or info or warning or error"),
        ("[feed]\nrate = nan", "feed.rate", "is nan, expected a number from 0.1 to 50_000"),
        ("[feed]\nrestamp = 1", "feed.restamp", "is 1, expected true or false"),
        ("[feed]\npaths = 'a'", "feed.paths", "is 'a', expected a list of paths"),
        ("[feed]\ninstruments = [1]", "feed.instruments", "is 1, expected a list of text"),
        ("data = ''", "data", "is '', expected a path"),
        ("data = 3", "data", "is 3, expected a path"),
        ("[feed]\nkind = 'file'", "feed.kind", "feed.paths names no recording"),
        ("[account]\ncash = 5", "account.cash", "expected a table; write cash ="),
        ("[account]\ncash = { USDT = 5 }", "account.cash.USDT", "is 5, expected decimal text"),
        ("[account]\ncash = { USDT = '-1' }", "account.cash.USDT", "is '-1', expected a decimal"),
        ("[account]\ncash = { USDT = 'NaN' }", "account.cash.USDT", "is 'NaN', expected a decimal"),
        ("[account]\ncash = { USDT = '1e3' }", "account.cash.USDT", "is '1e3', expected a decimal"),
        ("[account]\ncash = { usdt = '1' }", "account.cash.usdt", "capital letters"),
        ("[feed]\nrate = 1" + "0" * 400, "feed.rate", "expected a number from 0.1 to 50_000"),
        ("[feed]\nkind = 0x1" + "0" * 9_000, "feed.kind", "is a number of thousands of digits"),
        ("data = 1" + "0" * 9_000, "", "is not TOML"),
        ("data = " + "[" * 9_000, "", "is not TOML"),
        ("strategies = 1", "strategies", "expected tables"),
        ("[strategies.a]\nkind = 1", "strategies.a.kind", "expected the name of a strategy"),
        ("[strategies.a]", "strategies.a.kind", "is None, expected the name of a strategy"),
        ("[strategies.a]\nkind = 'x'\nparam = {}", "strategies.a.param", "did you mean parameters?"),
        ("[strategies.a]\nkind = 'x'\ninstruments = 'A'", "strategies.a.instruments", "a list of text"),
        ("[strategies.a]\nkind = 'x'\nparameters = { p = [1] }", "strategies.a.parameters.p", "a number"),
        ("[strategies.'a b']\nkind = 'x'", "strategies.a b", "letters, digits"),
    ],
)
def test_a_wrong_setting_is_told_with_file_key_found_and_allowed(write, text, key, words):
    file = write(text)
    message = refused(file)
    assert f"{key}: " in message or not key
    assert words in message
    assert str(file) in message


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"TAPED_API__PRT": "1"}, "TAPED_API__PRT: no such setting; did you mean TAPED_API__PORT?"),
        ({"TAPED_API_PORT": "1"}, "did you mean TAPED_API__PORT?"),
        ({"TAPED_API__PORT": "many"}, "TAPED_API__PORT: api.port: is 'many', expected an integer"),
        ({"TAPED_FEED__SPEED": "inf"}, "TAPED_FEED__SPEED: feed.speed: is inf"),
        ({"TAPED_ACCOUNT__CASH": "100"}, "expected NAME=VALUE,NAME=VALUE"),
        ({"TAPED_FEED__KIND": "file"}, "environment TAPED_FEED__KIND: feed.kind"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(env, words):
    assert words in refused(env=env)


@pytest.mark.parametrize(
    ("flags", "words"),
    [({"api.prt": 1}, "did you mean api.port?"), ({"api.port": "1"}, "flag: api.port: is '1'")],
)
def test_a_wrong_flag_is_told(flags, words):
    assert words in refused(flags=flags)


def test_bad_toml_is_told_with_its_line(write):
    assert re.search(r"taped\.toml: is not TOML: .*line 2", refused(write("data = 'x'\nport 8080\n")))


def test_bytes_that_are_no_text_are_told(tmp_path):
    file = tmp_path / "taped.toml"
    file.write_bytes(b"data = '\xff'")
    assert "is not TOML" in refused(file)


def test_a_file_that_is_not_there_is_told(tmp_path):
    assert "gone.toml: cannot be read: No such file" in refused(tmp_path / "gone.toml")


def test_a_folder_in_place_of_a_file_is_told(tmp_path):
    assert "cannot be read: Is a directory" in refused(tmp_path)


def test_an_endless_file_is_refused_before_it_is_parsed():
    assert "longer than" in refused(Path("/dev/zero"))


@pytest.mark.parametrize(
    "amount",
    ["1_000", "+5", ".5", "5.", "0", "0.0", "-1", "-0", " 5", "5 ", "", "\u0665", "1e3", "inf",
     f"0.{1:019d}", "1000000000000001", f"5.{0:0300d}"],
)  # fmt: skip
def test_cash_that_the_deposit_would_refuse_is_refused_in_the_settings(amount):
    assert "account.cash.USDT: is " in refused(flags={"account.cash": {"USDT": amount}})


@given(amount=st.text(alphabet="0123456789.+-_ e\u0665", max_size=40))
def test_cash_of_the_settings_is_what_the_deposit_accepts(amount):
    arguments = {"currency": "USDT", "amount": amount}
    deposit = OperatorCommand(ts_ns=1, who="x", role="admin", command="account.deposit", arguments=arguments)
    try:
        parse(deposit)
    except CommandError:
        refused(flags={"account.cash": {"USDT": amount}})
    else:
        load(None, {}, {"account.cash": {"USDT": amount}})


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**300])
def test_a_parameter_that_no_journal_can_hold_is_refused(write, number):
    file = write(f"[strategies.a]\nkind = 'x'\nparameters = {{ n = {number} }}\n")
    assert "strategies.a.parameters.n: is" in refused(file)
    assert "an integer of 64 bits" in refused(file)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_a_parameter_may_take_all_of_64_bits(write, number):
    file = write(f"[strategies.a]\nkind = 'x'\nparameters = {{ n = {number} }}\n")
    assert load(file).settings.strategies["a"].parameters == {"n": number}


def test_a_network_address_is_allowed_with_a_warning_that_reading_needs_a_token():
    (warning,) = load(None, {"TAPED_API__HOST": "0.0.0.0"}).warnings
    assert "api.host is 0.0.0.0" in warning
    assert "reading needs a token" in warning


def test_check_config_finds_all_strategies_that_the_daemon_would_not_start(write, capsys):
    file = write(
        "[strategies.a]\nkind = 'ma_cros'\n[strategies.b]\nkind = 'ma_cross'\nparameters = { fats = 2 }\n"
        "[strategies.c]\nkind = 'ma_cross'\nparameters = { fast = 2, slow = 5, quantity = '1' }\n"
    )
    assert main(["check-config", str(file)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"taped: {file}: strategies.a: there is no strategy kind 'ma_cros'; there is")
    assert second.startswith(f"taped: {file}: strategies.b: ma_cross has no parameter 'fats'")
    assert main(["check-config", str(file), "--json"]) == 1
    mistakes = json.loads(capsys.readouterr().err)["error"]["mistakes"]
    assert [mistake["key"] for mistake in mistakes] == ["strategies.a", "strategies.b"]


def test_check_config_tells_a_single_wrong_strategy_with_its_place(write, capsys):
    file = write("[strategies.a]\nkind = 'ma_cros'\n")
    assert main(["check-config", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"taped: {file}: strategies.a: there is no strategy kind")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("192.168.1.2", False),
        ("pi", False),
    ],
)
def test_loopback_is_told_from_the_network(host, expected):
    assert is_loopback(host) is expected


def test_the_config_hash_hangs_on_values_and_not_on_where_they_came_from(write):
    from_file = load(write("[api]\nport = 9\n")).settings
    from_flag = load(None, {}, {"api.port": 9}).settings
    assert config_hash(from_file) == config_hash(from_flag)
    assert config_hash(from_flag) != config_hash(load(None).settings)
    assert re.fullmatch("[0-9a-f]{64}", config_hash(from_flag))


def test_the_config_hash_sees_strategies(write):
    plain = load(None).settings
    with_one = load(write("[strategies.a]\nkind = 'ma_cross'\n")).settings
    assert config_hash(plain) != config_hash(with_one)


def test_the_code_hash_is_stable_within_one_checkout():
    assert code_hash() == code_hash()
    assert re.fullmatch("[0-9a-f]{64}", code_hash())


def test_every_declared_default_passes_its_own_check():
    values = {key: value for key, value in flat(Settings()).items() if value is not None}
    assert flat(load(None, {}, values).settings) == flat(Settings())


def test_every_setting_says_what_it_is_for():
    assert all(len(declared.rule.doc) > 10 for declared in DECLARED.values())


def test_all_mistakes_of_all_sources_are_told_at_once(write):
    file = write(
        "prot = 1\nlog = 3\n[api]\nport = 'x'\nhots = 'y'\n[account]\ncash = { usdt = '1', EUR = 5 }\n"
        "[strategies.a]\nparams = {}\ninstruments = 1\nparameters = { p = [1], q = [2] }\n"
        "[strategies.'b c']\nkind = 'x'\n"
    )
    with pytest.raises(ConfigMistakesError) as error:
        load(file, {"TAPED_API__PRT": "1", "TAPED_FEED__RATE": "fast"}, {"log.levl": "info"})
    assert [mistake.key for mistake in error.value.mistakes] == [
        "strategies.a.params",
        "strategies.a.kind",
        "strategies.a.instruments",
        "strategies.a.parameters.p",
        "strategies.a.parameters.q",
        "strategies.b c",
        "prot",
        "log",
        "api.port",
        "api.hots",
        "account.cash.usdt",
        "account.cash.EUR",
        "TAPED_API__PRT",
        "feed.rate",
        "log.levl",
    ]
    assert str(error.value).startswith("15 mistakes in the settings: (1) ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[feed]\nkind = 'simulatd'", "did you mean simulated?"),
        ("[log]\nlevel = 'warn'", "did you mean warning?"),
    ],
)
def test_a_misspelled_choice_gets_the_nearest_one(write, text, hint):
    assert refused(write(text)).endswith(hint)


def test_the_example_file_holds_the_defaults_but_for_those_it_names(project_root):
    file = project_root / "systemd" / "taped.toml"
    example, default = flat(load(file).settings), flat(Settings())
    different = {key for key in default if example[key] != default[key]}
    assert different == {"data", "log.format", "risk.synchronized_clock"}
    head = file.read_text(encoding="utf-8").partition("\n\n")[0]
    assert "but for data, log.format and" in head


def test_a_service_installed_as_described_trades_nothing(project_root):
    settings = load(project_root / "systemd" / "taped.toml").settings
    assert settings.strategies == {}
    assert settings.account.cash == {}


def test_what_the_example_file_comments_out_is_right(project_root, write):
    text = (project_root / "systemd" / "taped.toml").read_text(encoding="utf-8")
    settings = load(write(re.sub(r"^# (?=\[?[\w.@\"-]+(\]$| = ))", "", text, flags=re.MULTILINE))).settings
    assert settings.account.cash == {"USDT": "100000"}
    assert list(settings.calendars) == ["NYSE", "GC-201312@COMEX"]
    strategy = settings.strategies["btc-cross"]
    check_parameters(STRATEGIES[strategy.kind], strategy.parameters)


def test_the_example_file_names_every_section_and_holds_only_known_settings(project_root):
    file = project_root / "systemd" / "taped.toml"
    settings = load(file).settings
    assert settings.data == Path("/var/lib/taped")
    text = file.read_text(encoding="utf-8")
    missing = [
        key for key in DECLARED if not re.search(rf"^(# )?{key.split('.')[-1]} = ", text, re.MULTILINE)
    ]
    assert not missing


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("at = '24:00'", r"allocation\.at: is '24:00', expected a time of day"),
        ("least_days = 50", r"allocation\.least_days: is 50, more than allocation\.days keeps"),
        ("method = 'best'", r"allocation\.method: is 'best'"),
    ],
)
def test_an_allocation_that_cannot_be_is_told(tmp_path, lines, says):
    file = tmp_path / "taped.toml"
    file.write_text(f"[allocation]\n{lines}\n")
    with pytest.raises(ConfigError, match=says):
        load(file)
