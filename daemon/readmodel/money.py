"""Projects positions, lots, account and equity, with the classes the core itself uses.

What the account refuses (the core halts on it) changes nothing here; it is in the history all the same.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import apsw
import msgspec

from daemon.readmodel.bars import DAY, MINUTE
from daemon.readmodel.database import storable
from daemon.readmodel.market import MarketProjection
from daemon.readmodel.money_text import from_text, to_text
from daemon.readmodel.rows import RowWriter
from daemon.trading.commands import CommandError, Deposit, parse
from daemon.trading.core import CURRENCY_SETTING
from daemon.trading.lots import Lot, Lots
from daemon.trading.money import money
from daemon.trading.portfolio import AccountError, Portfolio, Position, Realised
from daemon.trading.valuation import Exchange, Rates, worth_by_currency
from schemas.decimals import DecimalError
from schemas.events import CashWithdrawn, DaemonStarted, InstrumentDefined, OperatorCommand, OrderFilled

DAYS_OF_EQUITY = 400
_to_json = msgspec.json.encode


class MoneyProjection:
    """Follows money; state of earlier events is read from the tables at the start.

    Args:
        connection: the writer.
        market: gives the prices that positions are valued at.
        instruments: by id, kept by whoever projects them; call `instrument_defined` when one was.
        rates: margin rates of an instrument, as they are in force.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        market: MarketProjection,
        instruments: dict[int, InstrumentDefined],
        rates: Rates,
    ) -> None:
        self._connection = connection
        self._market = market
        self._instruments = instruments
        self._rates = rates
        self._exchange = Exchange(instruments)
        self.portfolio = _portfolio(connection)
        self._currency: str = connection.execute("SELECT value FROM meta WHERE name = 'currency'").get
        first = connection.execute("SELECT value FROM meta WHERE name = 'first_currency'").get
        self._first: str = first or self._currency
        self._newest_lots: dict[int, int] = dict(
            connection.execute("SELECT instrument_id, max(number) FROM lots GROUP BY instrument_id")
        )
        self._equity_minute: int | None = connection.execute("SELECT max(minute_ns) FROM equity").get
        self._equity: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._totals: dict[int, tuple[Any, ...]] = {}
        self._position_marks: dict[int, tuple[int, int]] = {}
        self._account_marks: dict[str, tuple[int, int]] = {}
        self._write_positions = RowWriter(connection, "INSERT OR REPLACE INTO positions", 9, most=32)
        self._write_lots = RowWriter(connection, "INSERT OR REPLACE INTO lots", 5, most=64)
        self._write_account = RowWriter(connection, "INSERT OR REPLACE INTO account", 8, most=8)
        self._write_equity = RowWriter(connection, "INSERT OR REPLACE INTO equity", 9, most=8)
        self._write_totals = RowWriter(connection, "INSERT OR REPLACE INTO equity_total", 9, most=8)

    def instrument_defined(self) -> None:
        """Take note that an instrument is new or other than it was."""
        self._exchange.forget()

    def started(self, event: DaemonStarted) -> None:
        """Take the settings of a start."""
        currency = event.settings.get(CURRENCY_SETTING)
        self._set_currency(currency if isinstance(currency, str) and currency else self._first)

    def command(self, seq: int, event: OperatorCommand) -> None:
        """Take a command; only deposits move money."""
        try:
            command = parse(event)
        except CommandError:
            return
        if isinstance(command, Deposit):
            self.portfolio.account.deposit(command.currency, command.amount)
            self._account_marks[command.currency] = (event.ts_ns, seq)
            if not self._first:
                self._first = command.currency
                self._set_meta("first_currency", self._first)
            if not self._currency:
                self._set_currency(self._first)

    def withdrawn(self, seq: int, event: CashWithdrawn) -> None:
        """Take a withdrawal."""
        try:
            self.portfolio.account.withdraw(event.currency, money(event.amount))
        except (AccountError, DecimalError):
            return
        self._account_marks[event.currency] = (event.ts_ns, seq)

    def fill(self, seq: int, event: OrderFilled, instrument: InstrumentDefined) -> Realised:
        """Take a fill that counted; return the profit it realised."""
        realised = self.portfolio.apply_fill(event, instrument)
        self._position_marks[event.instrument_id] = (event.ts_ns, seq)
        for currency in (instrument.quote_currency, event.fee_currency):
            self._account_marks[currency] = (event.ts_ns, seq)
        self._value(seq, event.received_ns - event.received_ns % MINUTE)
        return realised

    def clock(self, seq: int, ts_ns: int) -> None:
        """Note what the account is worth at the first tick of the clock in a minute."""
        minute_ns = ts_ns - ts_ns % MINUTE
        if self._equity_minute is None or minute_ns > self._equity_minute:
            self._value(seq, minute_ns)

    def _set_currency(self, currency: str) -> None:
        self._currency = currency
        self._set_meta("currency", currency)

    def _set_meta(self, name: str, value: str) -> None:
        self._connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))

    def _value(self, seq: int, minute_ns: int) -> None:
        """Note what the account is worth now, as the rows of that minute."""
        mark = self._market.mark
        worths = worth_by_currency(self.portfolio, self._instruments, mark, self._rates)
        if not worths:
            return
        for currency, worth in worths.items():
            sums = (worth.cash, worth.market_value, worth.equity, worth.gross)
            margins = (worth.initial, worth.maintenance)
            self._equity[currency, minute_ns] = (currency, minute_ns, seq, *map(to_text, sums + margins))
        if self._currency:
            worth, unknown = self._exchange.total(worths, self._currency, mark)
            sums = (worth.market_value, worth.equity, worth.gross, worth.initial)
            texts = map(to_text, (*sums, worth.maintenance))
            left_out = _to_json(sorted(unknown)).decode()
            self._totals[minute_ns] = (minute_ns, seq, self._currency, *texts, left_out)
        if self._equity_minute is None or minute_ns > self._equity_minute:
            self._equity_minute = minute_ns

    def flush(self) -> None:
        """Write what has changed."""
        positions: list[Any] = []
        for instrument_id, mark in self._position_marks.items():
            held = self.portfolio.positions[instrument_id]
            sums = (held.cost_basis, held.realised, held.cost_basis_fifo, held.realised_fifo)
            positions += (
                instrument_id, storable(held.quantity), *map(to_text, sums), held.lots.closed, *mark
            )  # fmt: skip
            self._flush_lots(instrument_id, held.lots)
        self._write_positions.write(positions)
        account: list[Any] = []
        for currency, mark in self._account_marks.items():
            of = self.portfolio.account
            books = (of.cash, of.deposits, of.withdrawals, of.fees, of.maker_fees)
            account += (currency, *(to_text(book.get(currency, 0)) for book in books), *mark)
        self._write_account.write(account)
        self._write_equity.write(list(chain.from_iterable(self._equity.values())))
        self._write_totals.write(list(chain.from_iterable(self._totals.values())))
        self._position_marks, self._account_marks, self._equity, self._totals = {}, {}, {}, {}

    def _flush_lots(self, instrument_id: int, lots: Lots) -> None:
        self._connection.execute(
            "DELETE FROM lots WHERE instrument_id = ? AND number < ?", (instrument_id, lots.closed)
        )
        # Lots change at both ends only: the oldest is closed in part, the newest may take more in.
        changed = dict(lots.numbered(self._newest_lots.get(instrument_id, 0)))
        changed.update([next(lots.numbered())] if lots else [])
        rows = (_lot_row(instrument_id, number, lot) for number, lot in changed.items())
        self._write_lots.write(list(chain.from_iterable(rows)))
        self._newest_lots[instrument_id] = lots.closed + max(0, len(lots) - 1)

    def prune(self) -> None:
        """Delete what has fallen out of the limits; call it after `flush`."""
        if self._equity_minute is not None:
            first_ns = self._equity_minute - DAYS_OF_EQUITY * DAY
            self._connection.execute("DELETE FROM equity WHERE minute_ns < ?", (first_ns,))
            self._connection.execute("DELETE FROM equity_total WHERE minute_ns < ?", (first_ns,))


def _lot_row(instrument_id: int, number: int, lot: Lot) -> tuple[Any, ...]:
    return instrument_id, number, storable(lot.quantity), to_text(lot.cost), lot.opened_ns


def _portfolio(connection: apsw.Connection) -> Portfolio:
    portfolio = Portfolio()
    lots: dict[int, list[Lot]] = {}
    for row in connection.execute(
        "SELECT instrument_id, quantity, cost, opened_ns FROM lots ORDER BY 1, number"
    ):
        lots.setdefault(row[0], []).append(Lot(int(row[1]), from_text(row[2]), row[3]))
    for row in connection.execute(
        "SELECT instrument_id, quantity, cost_basis, realised, realised_fifo, lots_closed FROM positions"
    ):
        cost_basis, realised, realised_fifo = map(from_text, row[2:5])
        open_lots = Lots(lots.get(row[0], ()), row[5])
        portfolio.positions[row[0]] = Position(int(row[1]), cost_basis, realised, realised_fifo, open_lots)
    account = portfolio.account
    books = (account.cash, account.deposits, account.withdrawals, account.fees, account.maker_fees)
    for row in connection.execute(
        "SELECT currency, cash, deposits, withdrawals, fees, maker_fees FROM account"
    ):
        for book, text in zip(books, row[1:], strict=True):
            book[row[0]] = from_text(text)
    return portfolio
