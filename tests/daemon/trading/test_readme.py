"""The README's tables of states are those of the code."""

from __future__ import annotations

import re

from daemon.trading.commands import COMMANDS
from daemon.trading.order_states import NO_NEWS, TRANSITIONS


def names(kinds):
    return ", ".join(sorted(f"`{kind.__name__}`" for kind in kinds))


def state_table():
    events = dict.fromkeys(kind for steps in TRANSITIONS.values() for kind in steps)
    lines = ["| | " + " | ".join(status.name for status in TRANSITIONS) + " |"]
    lines.append("|---" * (len(TRANSITIONS) + 1) + "|")
    for kind in events:
        cells = [
            "" if kind not in steps else "stays" if steps[kind] is status else steps[kind].name
            for status, steps in TRANSITIONS.items()
        ]
        lines.append(f"| {kind.__name__} | " + " | ".join(cells) + " |")
    return lines


def no_news_table():
    lines = ["| status | event |", "|---|---|"]
    return lines + [f"| `{status.name}` | {names(kinds)} |" for status, kinds in NO_NEWS.items()]


def part(root, name):
    text = (root / "daemon" / "trading" / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- end -->", text, re.DOTALL)
    assert found, f"daemon/trading/README.md has no part marked {name}"
    return found[1].splitlines()


def test_the_readme_names_every_step_of_an_order(project_root):
    assert part(project_root, "states") == state_table()


def test_the_readme_names_what_is_no_news(project_root):
    assert part(project_root, "no news") == no_news_table()


def test_the_readme_names_every_command(project_root):
    text = (project_root / "daemon" / "trading" / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## Operator commands") :]
    shown = set(re.findall(r"`([a-z]+\.[a-z]+)`", table))
    assert shown == COMMANDS
