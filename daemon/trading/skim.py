"""Many trades of one instrument at once, where only a strategy may have an answer to any of them.

For backtests: telling trades one by one costs 0.4 us each, here 0.05 and what the strategy takes. What it
comes to is the same, whether trades are told here or one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import length_hint
from typing import Protocol

from daemon.trading.books import Book, TradeHook, TradeScan
from daemon.trading.runners import Runners
from schemas.events import SUSPICIOUS, Trade


class View(Protocol):
    """What trades are told to; the core is one."""

    books: dict[int, Book]
    strategies: Runners


def is_plain(trades: Sequence[Trade]) -> bool:
    """Return whether all are of one instrument, and none is doubted."""
    # Two comparisons in one pass cost 20 ns a trade; most have no flags at all.
    instrument_id = trades[0].instrument_id
    return not [
        trade
        for trade in trades
        if trade.instrument_id != instrument_id or (trade.conditions and trade.conditions & SUSPICIOUS)
    ]


def skim(view: View, trades: Sequence[Trade], start: int) -> int | None:
    """Tell plain trades from `start` on, up to and with the first that somebody answers.

    Returns:
        The place behind the last one that was told; None when they must be told one by one.
    """
    book = view.books.get(trades[0].instrument_id)
    if book is None:
        return len(trades)
    if not book.trade_hooks:
        book.trade = trades[-1]
        return len(trades)
    if len(book.trade_hooks) > 1:
        return None
    ((on_trade, strategy_id),) = book.trade_hooks
    if book.trade_scan is None:
        return _told(view, book, trades, start, on_trade, strategy_id)
    return _scanned(view, book, trades, start, on_trade, strategy_id, book.trade_scan)


def _told(
    view: View, book: Book, trades: Sequence[Trade], start: int, on_trade: TradeHook, strategy_id: str
) -> int:
    pending = view.strategies.pending
    left = iter(trades[start:] if start else trades)
    try:
        for trade in left:
            book.trade = trade
            on_trade(trade)
            if pending:
                break
    except Exception as error:  # noqa: BLE001  # A strategy may raise anything.
        view.strategies.fail(strategy_id, error)
    return len(trades) - length_hint(left)


def _scanned(
    view: View,
    book: Book,
    trades: Sequence[Trade],
    start: int,
    on_trade: TradeHook,
    strategy_id: str,
    scan: TradeScan,
) -> int:
    pending, at, total = view.strategies.pending, start, len(trades)
    while at < total and not pending:
        try:
            at = scan(trades, at)
            if at == total:
                break
            book.trade = trades[at]
            on_trade(trades[at])
        except Exception as error:  # noqa: BLE001  # A strategy may raise anything.
            view.strategies.fail(strategy_id, error)
        at += 1
    book.trade = trades[at - 1]
    return at
