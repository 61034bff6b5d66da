"""The page that publishes the promise names tests that exist."""

from __future__ import annotations

import re


def test_every_clause_of_the_promise_names_tests_that_exist(project_root):
    page = (project_root / "daemon" / "journal" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in (project_root / "tests").rglob("test_*.py")
    )
    missing = sorted(name for name in named if not re.search(rf"def {name}\(", sources))
    assert len(named) > 12
    assert not missing
