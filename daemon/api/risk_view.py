"""Limits of risk as people see them: what is set and by whom, what equity did, which pauses hold."""

from __future__ import annotations

from typing import Any

from daemon.api.views import money
from daemon.trading.core import Core
from daemon.trading.risk.limits import KEYED, KINDS, kind_of
from daemon.trading.risk.state import Risk
from schemas.decimals import decimal_text

Document = dict[str, Any]

PPM_DECIMALS = 4
"""A share of the peak is told in percent, which has so many decimals in millionths."""


def risk_document(core: Core) -> Document:
    """Return the limits and what they are judged by."""
    risk = core.risk
    return {
        "currency": risk.currency or None,
        "limits": [_limit(risk, name) for name in sorted(risk.in_force())],
        "known": {name: kind.told for name, kind in sorted(KINDS.items())}
        | {f"{name}.NAME": kind.told for name, kind in sorted(KEYED.items())},
        "equity": _equity(risk) if risk.watches else None,
        "pauses": _pauses(core),
    }


def _limit(risk: Risk, name: str) -> Document:
    return {
        "name": name,
        "value": risk.in_force()[name],
        "configured": risk.configured.get(name),
        "set_by": "operator" if name in risk.changed else "configuration",
        "expected": kind_of(name).told,
    }


def _equity(risk: Risk) -> Document:
    watch = risk.watch
    drawdown = None
    if watch.equity is not None and watch.peak:
        fallen = max(0, watch.peak - watch.equity) * 100 * 10**PPM_DECIMALS // watch.peak
        drawdown = decimal_text(fallen, PPM_DECIMALS)
    return {
        "equity": _money(watch.equity),
        "peak": _money(watch.peak),
        "drawdown_percent": drawdown,
        "day_began_with": _money(watch.day_equity),
        "broken": sorted(watch.broken),
    }


def _money(value: int | None) -> str | None:
    return None if value is None else money(value)


def _pauses(core: Core) -> list[Document]:
    found = []
    for (instrument_id, strategy_id), pause in core.risk.protections.pauses.items():
        defined = None if instrument_id is None else core.instruments.get(instrument_id)
        found.append(
            {
                "instrument_id": instrument_id,
                "symbol": defined.symbol if defined else None,
                "strategy_id": strategy_id,
                "until_ns": pause.until_ns,
                "rule": pause.rule,
                "reason": pause.reason,
            }
        )
    return found
