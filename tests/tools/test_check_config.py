"""`taped check-config`: all mistakes at once, and what may stand in a file."""

from __future__ import annotations

import json

import pytest

from tools.cli import main


@pytest.fixture
def wrong(tmp_path):
    file = tmp_path / "taped.toml"
    file.write_text("[api]\nport = 'x'\n[feed]\nkind = 'simulatd'\n[strategies.a]\nkind = 1\n")
    return file


def test_each_mistake_is_a_line(wrong, capsys):
    assert main(["check-config", str(wrong)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"taped: {wrong}: ") for line in lines)
    assert "did you mean simulated?" in lines[2]


def test_each_mistake_is_an_object_in_json(wrong, capsys):
    assert main(["check-config", str(wrong), "--json"]) == 1
    mistakes = json.loads(capsys.readouterr().err)["error"]["mistakes"]
    assert [mistake["key"] for mistake in mistakes] == ["strategies.a.kind", "api.port", "feed.kind"]


def test_a_description_lists_what_a_strategy_may_hold_and_every_default(capsys):
    assert main(["check-config", "--describe"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for name in ("kind ma_cross, rsi_reversion", "instruments a list of text none", "parameters a table"):
        assert any(line.startswith(f"strategies.NAME.{name}") for line in lines), name
    assert "api.port an integer from 0 to 65_535 8080 TCP port; 0 takes any free one" in lines


def test_quiet_prints_mistakes_alone(tmp_path, capsys):
    file = tmp_path / "taped.toml"
    file.write_text("[api]\nport = 8080\n")
    assert main(["check-config", "--quiet", str(file)]) == 0
    assert capsys.readouterr() == ("", "")
    file.write_text("[api]\nport = 99999\n")
    assert main(["check-config", "--quiet", str(file)]) == 1
    assert "api.port" in capsys.readouterr().err
