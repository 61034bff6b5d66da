"""The `taped` command: what it lists, what it imports, and its exit codes."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import types
from decimal import Decimal
from importlib.metadata import version

import pytest

from schemas.errors import TapedError
from tools import cli
from tools.cli import COMMANDS, Command, Group, main
from tools.output import UsageError, print_json, progress, table_lines

LEAVES = [
    ((name, inner) if inner else (name,), command.module)
    for name, entry in COMMANDS.items()
    for inner, command in (entry.commands.items() if isinstance(entry, Group) else [("", entry)])
]


@pytest.fixture
def command(monkeypatch):
    """Put one more command into the table; its `run` is the function given."""

    def put(function):
        module = types.ModuleType("tools.test_command")

        def add(commands):
            parser = commands.add_parser("try", help="a command of the tests")
            parser.add_argument("--json", action="store_true")
            parser.set_defaults(run=function)

        module.add = add
        monkeypatch.setitem(sys.modules, "tools.test_command", module)
        monkeypatch.setattr(cli, "COMMANDS", {"try": Command("tools.test_command", "a command of the tests")})

    return put


def raising(error):
    def run(_arguments):
        raise error

    return run


def test_help_lists_every_command_with_what_it_does(capsys):
    assert main(["--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name, entry in COMMANDS.items():
        assert f"{name} {entry.help}" in printed


def test_version_is_that_of_the_distribution(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"taped {version('taped')}\n"


@pytest.mark.parametrize(("words", "module"), LEAVES, ids=[" ".join(words) for words, _ in LEAVES])
def test_every_command_has_a_module_with_help(words, module, capsys):
    assert main([*words, "--help"]) == 0
    assert f"usage: taped {' '.join(words)}" in capsys.readouterr().out
    assert module in sys.modules


@pytest.mark.parametrize(("words", "module"), LEAVES, ids=[" ".join(words) for words, _ in LEAVES])
def test_every_command_can_answer_in_json(words, module, capsys):
    del module
    parser = cli.build_parser(words)
    main([*words, "--help"])
    text = capsys.readouterr().out
    if "--json" not in text:
        members = members_of(parser, words)
        assert members, f"`taped {' '.join(words)}` has no --json"
        assert all("--json" in member.format_help() for member in members.values())


def members_of(parser, words):
    """Return the parsers under a command that has commands of its own."""
    for word in [*words, None]:
        choices = [
            action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)
        ]
        if word is None or not choices:
            return choices[0] if choices else {}
        parser = choices[0][word]
    return {}


def test_group_help_lists_its_commands(capsys):
    assert main(["replay", "--help"]) == 0
    out = capsys.readouterr().out
    assert "backtest" in out
    assert "rebuild" in out


@pytest.mark.parametrize(
    "words", [[], ["no-such-command"], ["replay"], ["replay", "x"], ["check-config", "--x"]]
)
def test_wrong_usage_is_2(words, capsys):
    assert main(words) == 2
    assert "usage: taped" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1])
def test_the_code_of_a_command_is_the_exit_code(command, code):
    command(lambda _arguments: code)
    assert main(["try"]) == code


def test_an_error_is_one_line_and_1(command, capsys):
    command(raising(TapedError("journal /x is\nlocked by 17", hint="stop it first")))
    assert main(["try"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "taped: journal /x is locked by 17; stop it first\n"
    assert captured.out == ""


def test_an_error_under_json_is_an_object(command, capsys):
    command(raising(TapedError("journal is locked", hint="stop it first")))
    assert main(["try", "--json"]) == 1
    error = json.loads(capsys.readouterr().err)
    assert error == {"error": {"message": "journal is locked", "hint": "stop it first"}}


def test_a_usage_error_of_a_command_is_2(command, capsys):
    command(raising(UsageError("--from-seq is above --to-seq")))
    assert main(["try"]) == 2
    assert "--from-seq" in capsys.readouterr().err


def test_an_error_of_the_system_names_the_file(command, capsys):
    command(raising(PermissionError(13, "Permission denied", "/var/lib/taped")))
    assert main(["try"]) == 1
    assert capsys.readouterr().err == "taped: /var/lib/taped: Permission denied\n"


def test_a_mistake_of_our_own_keeps_its_traceback(command):
    command(raising(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError):
        main(["try"])


def test_an_interrupt_is_130_and_quiet(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert main(["try"]) == 130
    assert capsys.readouterr() == ("", "")


def run_taped(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_a_reader_that_goes_away_is_no_noise(project_root):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "tools.cli", "check-config"],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=project_root,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_help_imports_no_command_and_nothing_heavy(project_root):
    code = (
        "import sys; from tools.cli import main; main(['--help']);print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=project_root, timeout=60, check=True
    )
    loaded = done.stderr
    for name in ("aiohttp", "apsw", "rich", "asyncio", *(module for _, module in LEAVES)):
        assert f"'{name}'" not in loaded


def test_check_config_shows_values_and_their_sources(tmp_path, capsys, monkeypatch):
    file = tmp_path / "taped.toml"
    file.write_text("[api]\nport = 1\n")
    monkeypatch.setenv("TAPED_LOG__LEVEL", "debug")
    assert main(["check-config", str(file)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["api.port", "1", "file", str(file)] in lines
    assert ["log.level", "debug", "environment", "TAPED_LOG__LEVEL"] in lines
    assert ["journal.linger_ms", "20", "default"] in lines


def test_check_config_in_json_holds_values_sources_and_the_hash(capsys):
    assert main(["check-config", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["api.port"] == {"value": 8080, "source": "default"}
    assert document["warnings"] == []
    assert len(document["config_hash"]) == 64


def test_check_config_describes_every_setting(capsys):
    assert main(["check-config", "--describe"]) == 0
    out = capsys.readouterr().out
    assert "an integer from 0 to 65_535" in out
    assert "TCP port" in out


def test_check_config_finds_a_wrong_setting(tmp_path, capsys):
    file = tmp_path / "taped.toml"
    file.write_text("[api]\nport = 'x'\n")
    assert main(["check-config", str(file)]) == 1
    assert f"{file}: api.port: is 'x', expected an integer" in capsys.readouterr().err


def test_check_config_warns_of_an_open_address(capsys, monkeypatch):
    monkeypatch.setenv("TAPED_API__HOST", "0.0.0.0")
    assert main(["check-config"]) == 0
    assert "warning: api.host is 0.0.0.0" in capsys.readouterr().err


def test_the_installed_command_is_this_one(project_root):
    done = run_taped("--version", cwd=project_root)
    assert (done.returncode, done.stdout) == (0, f"taped {version('taped')}\n")


def test_a_table_is_aligned_and_numbers_stand_right():
    assert table_lines(["name", "events"], [["Trade", 12], ["Quote", None], ["Bar", "1,234"]]) == [
        "name   events",
        "Trade      12",
        "Quote       -",
        "Bar     1,234",
    ]


def test_a_table_without_rows_is_its_header():
    assert table_lines(["name", "events"], []) == ["name  events"]


def test_json_keeps_every_digit(capsys):
    print_json({"price": Decimal("0.1234567890123456789"), "seq": 2**63})
    assert json.loads(capsys.readouterr().out) == {"price": "0.1234567890123456789", "seq": 2**63}


def test_progress_is_silent_where_nobody_looks(capsys):
    with progress("Importing", total=10, unit="events") as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")
