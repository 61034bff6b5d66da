"""The page that publishes the promise names tests that exist, and the command runs just these."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tools import promise

CLAUSES = promise.clauses(promise.PAGE.read_text(encoding="utf-8"))
NAMES = sorted({name for clause in CLAUSES for name in clause.tests})


def test_every_clause_of_the_promise_names_tests_that_exist(project_root):
    table = promise.PAGE.read_text(encoding="utf-8").partition("| proven by |")[2].partition("\n\n")[0]
    assert len(CLAUSES) == table.count("\n") - 1, "each row of the table is a clause with its tests"
    assert set(NAMES) <= set(promise.places(project_root / "tests"))


@pytest.mark.parametrize("page", ["daemon/journal/README.md", "tests/crash/README.md"])
def test_every_test_that_a_page_names_exists(project_root, page):
    named = set(
        re.findall(r"`(?:\S+/)?(test_\w+)(?:\.py)?`", (project_root / page).read_text(encoding="utf-8"))
    )
    files = {path.stem for path in (project_root / "tests").rglob("test_*.py")}
    assert len(named) > 20
    assert sorted(named - files - set(promise.places(project_root / "tests"))) == []


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ({(name, "passed"): 1 for name in NAMES}, 0),
        ({(name, "passed"): 1 for name in NAMES[1:]}, 1),
        ({**{(name, "passed"): 1 for name in NAMES}, (NAMES[0], "failed"): 1}, 1),
        ({**{(name, "passed"): 1 for name in NAMES[1:]}, (NAMES[0], "skipped"): 1}, 1),
    ],
)
def test_the_promise_holds_where_each_test_passed_and_none_failed(monkeypatch, capsys, outcomes, code):
    monkeypatch.setattr(promise, "run", lambda names: Counter(outcomes))
    assert promise.main([]) == code
    assert ("not proven here" in capsys.readouterr().out) == bool(code)


def test_the_command_runs_the_tests_of_a_clause(monkeypatch, capfd):
    clause = promise.Clause("two and two", ("test_a_newer_format_is_refused_by_name",))
    monkeypatch.setattr(promise, "clauses", lambda page: [clause])
    assert promise.main(["--only", "two"]) == 0
    assert "1 of 1 test passed" in capfd.readouterr().out
    assert promise.main(["--only", "three"]) == 1
