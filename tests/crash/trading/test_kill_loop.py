"""kill -9 while strategies trade, a few times; `kill_loop` runs any number."""

from __future__ import annotations

import subprocess
import sys


def test_after_kill_9_amid_trading_a_start_equals_an_uninterrupted_replay(tmp_path, project_root):
    command = [sys.executable, "-m", "tests.crash.trading.kill_loop", "--rounds", "4", "--seed", "3"]
    done = subprocess.run(
        [*command, "--folder", tmp_path],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 rounds" in done.stdout
    assert "none sent twice" in done.stdout
