"""Restricts trading for a reason of the machine's, and takes back only what it restricted itself.

What an operator or the core has restricted is neither changed nor undone here: trading that is not
active is left alone, unless its present state bears the mark of whoever asks.
"""

from __future__ import annotations

from schemas.events import Event, OperatorCommand, TradingState


def source_of(who: str) -> str:
    """Return the source that a trading state bears which `who` has set."""
    return f"operator:{who}"


def restrain(
    who: str, wanted: str | None, state: TradingState, source: str, *, reason: str, now_ns: int
) -> list[Event]:
    """Return the command that brings trading to where a reason of the machine's wants it, if any is needed.

    Args:
        who: whose reason it is; no operator's name holds a slash, these all do.
        wanted: the command that restricts, or None while there is no reason to.
        state: the trading state in force.
        source: who set it.
        reason: for people.
        now_ns: time of the command.
    """
    if wanted is not None and state is TradingState.ACTIVE:
        command = wanted
    elif wanted is None and state is not TradingState.ACTIVE and source == source_of(who):
        command = "trading.resume"
    else:
        return []
    return [
        OperatorCommand(ts_ns=now_ns, who=who, role="system", command=command, arguments={"reason": reason})
    ]
