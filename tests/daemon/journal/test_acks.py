"""Futures resolve when what they wait for is durable, in order, and not before."""

from __future__ import annotations

import asyncio

import pytest

from daemon.journal.acks import Acknowledgements


@pytest.fixture
async def acks():
    return Acknowledgements(asyncio.get_running_loop())


async def test_those_up_to_the_durable_number_resolve_and_no_others(acks):
    futures = [acks.wait_for(seq) for seq in (1, 2, 2, 5, 6)]
    acks.resolve(5)
    assert [future.done() for future in futures] == [True, True, True, True, False]


async def test_an_earlier_number_resolves_together_with_the_one_before_it(acks):
    later, earlier = acks.wait_for(9), acks.wait_for(3)
    acks.resolve(3)
    assert not earlier.done()
    acks.resolve(9)
    assert later.done()
    assert earlier.done()


async def test_one_who_no_longer_waits_is_passed_over(acks):
    gone, waiting = acks.wait_for(1), acks.wait_for(2)
    gone.cancel()
    acks.resolve(2)
    assert gone.cancelled()
    assert waiting.done()


async def test_a_failure_reaches_everybody_who_waits(acks):
    done, waiting = acks.wait_for(1), acks.wait_for(2)
    acks.resolve(1)
    acks.fail(RuntimeError("the disk is gone"))
    assert await done is None
    with pytest.raises(RuntimeError, match="the disk is gone"):
        await waiting
