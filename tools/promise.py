"""`python -m tools.promise`: runs the tests that prove the journal's promise, clause by clause.

The clauses and the names of their tests are read from the table in daemon/journal/README.md, so what
is published there is what is run here.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tools.output import print_table
from tools.wording import counted

ROOT = Path(__file__).resolve().parent.parent
_OUTCOMES = ("passed", "failed", "skipped")
PAGE = ROOT / "daemon" / "journal" / "README.md"


class Clause(NamedTuple):
    """One line of the promise, and the tests that prove it."""

    text: str
    tests: tuple[str, ...]


def clauses(page: str) -> list[Clause]:
    """Return the rows of the page whose last column names tests."""
    rows = re.findall(r"^\| (.+) \| ((?:`test_\w+`(?:, )?)+) \|$", page, re.MULTILINE)
    return [Clause(text, tuple(re.findall(r"test_\w+", names))) for text, names in rows]


def places(tests: Path) -> dict[str, str]:
    """Return the file that defines each test, as pytest names it."""
    found: dict[str, str] = {}
    definition = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
    for path in sorted(tests.rglob("test_*.py")):
        for name in definition.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def run(names: list[str]) -> Counter[tuple[str, str]]:
    """Run tests; return how many cases of each passed, failed or were skipped."""
    files = places(ROOT / "tests")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"),
                *(f"{files[name]}::{name}" for name in names),
            ],
            cwd=ROOT,
            check=False,
        )
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314  # Written by the line above.
    return Counter((case.attrib["name"].partition("[")[0], _outcome(case)) for case in cases)


def _outcome(case: ET.Element) -> str:
    tags = {child.tag for child in case}
    if tags & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in tags else "passed"


def main(argv: list[str] | None = None) -> int:
    """Run the tests of all clauses, or of some; 0 when each test passed at least once and none failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.promise", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="clauses that hold this text")
    arguments = parser.parse_args(argv)
    chosen = [clause for clause in clauses(PAGE.read_text(encoding="utf-8")) if arguments.only in clause.text]
    outcomes = run(sorted({name for clause in chosen for name in clause.tests})) if chosen else Counter()
    for clause in chosen:
        print(clause.text)
        print_table(
            [*_OUTCOMES, "test"], [[*(outcomes[name, it] for it in _OUTCOMES), name] for name in clause.tests]
        )
        print()
    names = [name for clause in chosen for name in clause.tests]
    proven = [name for name in names if outcomes[name, "passed"] and not outcomes[name, "failed"]]
    missing = [name for name in names if name not in proven]
    print(f"{len(proven)} of {counted(len(names), 'test')} passed")
    for name in missing:
        print(f"not proven here: {name}")
    return 1 if missing or not names else 0


if __name__ == "__main__":
    sys.exit(main())
