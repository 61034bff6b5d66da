"""Risk: the rules an order must pass before it may leave, their limits, and what they are judged by."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.trading.orders import Order
from daemon.trading.risk.order_rules import ORDER_RULES, passes_at_once
from daemon.trading.risk.view import Proposal, Rule, View, free_cash
from daemon.trading.terms import flaw

__all__ = ["free_cash", "refusal"]


def refusal(order: Order, view: View) -> tuple[str, str] | None:
    """Return `(code, reason)` of the first rule that refuses the order, or None when it may leave.

    The order is a new one, or one that works already, on the terms it is to be replaced by: rules
    leave the order of that id out where they count what works.
    """
    if order.request.instrument_id not in view.books:
        return "UNKNOWN_INSTRUMENT", f"instrument {order.request.instrument_id} is not known"
    if passes_at_once(order, view):
        return None
    refused = flaw(order, view)
    if refused is not None:
        return refused
    proposal = Proposal(order, view)
    for code, order_rule in ORDER_RULES:
        reason = order_rule(proposal)
        if reason is not None:
            return code, reason
    return _beyond_limits(proposal)


def _beyond_limits(proposal: Proposal) -> tuple[str, str] | None:
    # Most of these are empty most of the time, and asking that first is a tenth of a call.
    risk = proposal.view.risk
    refused = _first(risk.always_asked, proposal) if risk.always_asked else None
    if refused is None and proposal.opening:
        if risk.protections.pauses:
            refused = risk.pause_of(proposal.order)
        if refused is None and risk.asked_when_opening:
            refused = _first(risk.asked_when_opening, proposal)
    return refused


def _first(rules: Sequence[Rule], proposal: Proposal) -> tuple[str, str] | None:
    for rule in rules:
        reason = rule.refusal(proposal)
        if reason is not None:
            return rule.code, reason
    return None
