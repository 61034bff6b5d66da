"""Which parts get on: told by the parts themselves, never by another one's timer."""

from __future__ import annotations

import asyncio
import time

from daemon.progress import LOOP_S, Progress


def test_a_part_that_does_no_round_stands_still():
    now, last = [0], [0]
    progress = Progress(clock_ns=lambda: now[0])
    progress.watch("thermal", lambda: last[0])
    now[0] = 5 * 10**9
    assert progress.stalled() == []
    now[0] += 1
    assert progress.stalled() == ["thermal"]
    assert progress.ages_s() == {"thermal": 5.000000001}
    last[0] = now[0]
    assert progress.stalled() == []


def test_a_part_that_was_stopped_in_good_order_is_not_missed():
    progress = Progress()
    progress.watch("journal", lambda: 0)
    progress.forget("journal")
    progress.forget("journal")
    assert progress.stalled() == []


async def test_the_loop_is_seen_to_get_on_and_to_hang():
    progress = Progress()
    task = asyncio.ensure_future(progress.follow_loop())
    await asyncio.sleep(LOOP_S * 2)
    assert progress.ages_s()["loop"] < LOOP_S * 2
    time.sleep(LOOP_S * 3)  # noqa: ASYNC251  # It shall hang.
    assert progress.stalled(LOOP_S * 2) == ["loop"]
    task.cancel()
    await asyncio.wait({task})
    assert progress.ages_s() == {}
