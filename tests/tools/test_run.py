"""`taped run` and `taped demo` in processes of their own, and what they tell who starts them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time

import pytest

TAPED = (sys.executable, "-m", "tools.cli")


def environment(**more: str) -> dict[str, str]:
    return {**{key: value for key, value in os.environ.items() if not key.startswith("TAPED_")}, **more}


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TAPED, *words],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def demo(tmp_path):
    """A demo and its output up to the line that can be pasted."""
    words = ("demo", "--port", "0", "--for", "50", "--data", str(tmp_path / "its data"))
    with subprocess.Popen([*TAPED, *words], env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield [process.stdout.readline(), process.stdout.readline()]
        finally:
            process.terminate()


def test_the_line_a_demo_prints_is_all_another_shell_needs_to_order(demo, tmp_path) -> None:
    exported = re.fullmatch(r"  export (.*)\n", demo[1])
    assert exported
    variables = dict(word.split("=", 1) for word in shlex.split(exported[1]))
    assert variables["TAPED_TOKEN_FILE"] == str(tmp_path / "its data" / "admin.token")
    assert variables["TAPED_URL"] in demo[0]
    words = ("order", "submit", "--instrument", "BTC-USDT", "--side", "buy", "--quantity", "0.1")
    done = run(*words, "--price", "50000", **variables)
    assert (done.returncode, " submitted: " in done.stdout) == (0, True), done
    # The strategies trade while somebody still looks: all three within some ten seconds.
    end = time.monotonic() + 25
    symbols: set[str] = set()
    while symbols != {"BTC-USDT", "ETH-USDT", "SOL-USDT"}:
        assert time.monotonic() < end, symbols
        time.sleep(0.3)
        orders = json.loads(run("order", "list", "--json", **variables).stdout)["orders"]
        symbols = {order["symbol"] for order in orders if order["status"] == "filled"}


def test_a_paper_account_without_cash_is_warned_of_once_with_the_setting_that_gives_some(tmp_path) -> None:
    words = ("run", "--data", str(tmp_path / "data"), "--port", "0", "--for", "0.2")
    warnings = [line for line in run(*words).stderr.splitlines() if "no cash" in line]
    assert len(warnings) == 1
    setting = re.search(r"(TAPED_ACCOUNT__CASH)=(\S+) in the environment", warnings[0])
    assert setting
    assert "no cash" not in run(*words, **{setting[1]: setting[2]}).stderr
    assert "no cash" not in run(*words).stderr
