"""What leaves is durable, leaves once, and is of an order that may still be there."""

from __future__ import annotations

import pytest

from daemon.venue.boundary import SendBoundary, SendError
from schemas.events import OrderAccepted, OrderCanceled
from tests.daemon.venue.tape import BUY, Tape, cancel, command, deposit, instrument, order, quote


@pytest.fixture
def tape():
    fresh = Tape(lazy=True).start(instrument(), deposit())
    fresh.take(quote(99, 101))
    return fresh


def test_a_durable_effect_leaves_and_its_reports_come_back(tape):
    tape.take(order(BUY, 5, 90))
    boundary = SendBoundary(tape.venue, tape.core)
    seq, effect = tape.effects[0]
    assert [type(e) for e in boundary.send(seq, effect, durable_seq=seq, now_ns=7)] == [OrderAccepted]


def test_what_is_not_durable_does_not_leave(tape):
    tape.take(order(BUY, 5, 90))
    seq, effect = tape.effects[0]
    with pytest.raises(SendError, match="durable up to"):
        tape.boundary.send(seq, effect, durable_seq=seq - 1, now_ns=7)
    assert tape.venue.idle


def test_what_has_left_does_not_leave_again_nor_does_anything_before_it(tape):
    tape.take(order(BUY, 5, 90))
    tape.take(order(BUY, 6, 90))
    first, second = tape.effects
    tape.boundary.send(*second, durable_seq=second[0], now_ns=7)
    for seq, effect in (first, second):
        with pytest.raises(SendError, match="has left before"):
            tape.boundary.send(seq, effect, durable_seq=second[0], now_ns=7)
    assert [working.remaining for working in tape.venue.matching.working.values()] == [6]


def test_while_trading_is_halted_an_order_is_canceled_here_and_its_cancel_goes_nowhere(tape):
    tape.take(order(BUY, 5, 90))
    tape.take(cancel(next(iter(tape.core.orders))))
    tape.take(command("trading.halt", reason="x"))
    sent = []
    tape.venue.send = lambda effects, *_: sent.append(effects) or []
    tape.flush()
    assert sent == []
    assert isinstance(tape.merged[-1], OrderCanceled)
    assert not tape.core.orders.working
