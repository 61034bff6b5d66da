"""The README's table of rules is that of the code."""

from __future__ import annotations

import re

import pytest

from daemon.trading.lots import MAX_LOTS
from daemon.trading.order_table import MAX_WORKING_ORDERS
from daemon.trading.risk import protections
from daemon.trading.risk.limit_rules import ALWAYS, WHEN_OPENING
from daemon.trading.risk.limits import KEYED, KINDS
from daemon.trading.risk.order_rules import MAX_VALUE, ORDER_RULES

PROTECTIONS = [
    (protections.COOLDOWN, "cooldown_s"),
    (protections.STOP_GUARD, "stop_guard_losses"),
    (protections.LOW_PROFIT, "low_profit"),
    (protections.DRAWDOWN_GUARD, "drawdown_guard_ppm"),
]


@pytest.fixture
def page(project_root) -> str:
    return (project_root / "daemon" / "trading" / "risk" / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_rule_with_its_setting_in_the_order_in_which_they_are_asked(page):
    table = re.search(r"<!-- rules -->\n(.*?)<!-- end -->", page, re.DOTALL)[1]
    shown = re.findall(r"^\| `([A-Z_]+)` \| (?:`(\w+)`)? *\|", table, re.MULTILINE)
    expected = [
        *((code, "") for code, _ in ORDER_RULES),
        *((kind.code, kind.setting) for kind in ALWAYS),
        *PROTECTIONS,
        *((kind.code, kind.setting) for kind in WHEN_OPENING),
    ]
    assert shown == expected


def test_the_readme_names_every_limit(page):
    assert [name for name in (*KINDS, *KEYED) if f"`{name}`" not in page] == []


def test_the_numbers_in_the_readme_are_those_of_the_code(page):
    assert f"{MAX_WORKING_ORDERS:,} orders work or are held" in page
    assert f"more than 10^{len(str(MAX_VALUE)) - 1}" in page
    assert f"at most {MAX_LOTS:,} open lots" in page
    assert f"At most {protections.MAX_CLOSES:,} closes" in page
