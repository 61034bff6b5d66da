"""kill -9 in the middle of whatever the writer does, 200 times; `kill_loop` runs any number."""

from __future__ import annotations

import subprocess
import sys


def test_200_rounds_of_kill_9_lose_no_acknowledged_event(tmp_path, project_root):
    command = [sys.executable, "-m", "tests.crash.journal.kill_loop", "--rounds", "200", "--seed", "7"]
    done = subprocess.run(
        [*command, "--folder", tmp_path],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "200 rounds of kill -9" in done.stdout
    assert "0 lost" in done.stdout
