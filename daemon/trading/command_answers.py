"""What the core answers to operators: what they asked for as events, or why it changes nothing."""

from __future__ import annotations

from functools import partial

from msgspec import structs

from daemon.trading.commands import (
    CommandError,
    Kill,
    SetInstrumentState,
    SetLimits,
    SetParameters,
    SetTradingState,
    StartStrategy,
    StopStrategy,
    Withdraw,
    parse,
)
from daemon.trading.decisions import Decisions
from daemon.trading.money import MONEY_SCALE
from daemon.trading.orders import KILL
from daemon.trading.risk import free_cash
from daemon.trading.risk.limits import MAX_LIMITS
from daemon.trading.runners import MAX_STRATEGIES
from daemon.trading.strategy import StrategyError, check_parameters
from schemas.decimals import decimal_text
from schemas.errors import TapedError
from schemas.events import (
    CancelRequested,
    CashWithdrawn,
    OperatorCommand,
    RiskLimitsChanged,
    StrategyParametersChanged,
    StrategyStarted,
    StrategyStopped,
    TradingState,
)


class CommandAnswers(Decisions):
    """Carries operator commands out."""

    def answer(self, seq: int, event: OperatorCommand) -> None:  # noqa: ARG002
        """Queue what the command asks for, or why it changes nothing."""
        try:
            command = parse(event)
            match command:
                case SetTradingState():
                    self.set_state(command.state, reason=command.reason, source=f"operator:{event.who}")
                case SetInstrumentState():
                    self.set_instrument_state(
                        self._instrument_id(command.instrument),
                        command.state,
                        reason=command.reason,
                        source=f"operator:{event.who}",
                    )
                case Kill():
                    self._kill(command, event.who)
                case Withdraw():
                    self._withdraw(command, event.who)
                case SetLimits():
                    self._set_limits(command, event.who)
                case StartStrategy():
                    self._start(command)
                case StopStrategy():
                    self._stop(command, event.who)
                case SetParameters():
                    self._set_parameters(command)
                case _:  # Deposits and resets have moved the account already; the rest concerns other parts.
                    pass
        except TapedError as error:
            self.refuse(str(error))

    def _kill(self, command: Kill, who: str) -> None:
        view = self._view
        self.set_state(TradingState.HALTED, reason=command.reason, source=f"operator:{who}")
        for order_id in (*view.orders.held, *view.orders.working):
            self._pending.append(partial(CancelRequested, order_id=order_id, source=KILL))
        if command.flatten:
            # A strategy counts what it holds by its own fills, and would go on counting what is closed now.
            for strategy_id in view.strategies:
                reason = f"kill switch of {who}"
                self._pending.append(partial(StrategyStopped, strategy_id=strategy_id, reason=reason))
            self.follow_all()

    def _withdraw(self, command: Withdraw, who: str) -> None:
        currency, free = command.currency, free_cash(command.currency, self._view)
        amount = decimal_text(command.amount, MONEY_SCALE)
        if command.amount > free:
            raise CommandError(
                f"withdraw of {amount} {currency}: {decimal_text(free, MONEY_SCALE)} {currency} are free"
            )
        self._pending.append(
            partial(CashWithdrawn, currency=currency, amount=amount, source=f"operator:{who}")
        )

    def _set_limits(self, command: SetLimits, who: str) -> None:
        risk = self._view.risk
        chosen = risk.chosen.set(command.limits)
        if len(chosen.changed) > MAX_LIMITS:
            raise CommandError(f"risk.set: more than {MAX_LIMITS} limits")
        chosen.limits()  # Refused here and not when it is recorded.
        self._pending.append(partial(RiskLimitsChanged, limits=command.limits, source=f"operator:{who}"))

    def _start(self, command: StartStrategy) -> None:
        strategies = self._view.strategies
        if command.strategy_id in strategies:
            raise CommandError(f"strategy {command.strategy_id} runs already")
        if len(strategies) >= MAX_STRATEGIES:
            raise StrategyError(f"{MAX_STRATEGIES} strategies run already")
        kind = strategies.kind(command.kind)
        draft = partial(
            StrategyStarted,
            strategy_id=command.strategy_id,
            kind=command.kind,
            parameters=check_parameters(kind, command.parameters),
            instrument_ids=[self._instrument_id(symbol) for symbol in command.instruments],
        )
        strategies.prepare(draft(ts_ns=0))  # Refused here and not when it is recorded.
        self._pending.append(draft)

    def _stop(self, command: StopStrategy, who: str) -> None:
        if command.strategy_id not in self._view.strategies:
            raise CommandError(f"strategy {command.strategy_id} does not run")
        self._pending.append(
            partial(StrategyStopped, strategy_id=command.strategy_id, reason=f"stopped by {who}")
        )

    def _set_parameters(self, command: SetParameters) -> None:
        runner = self._view.strategies.get(command.strategy_id)
        if runner is None:
            raise CommandError(f"strategy {command.strategy_id} does not run")
        kind = self._view.strategies.kind(runner.kind)
        parameters = check_parameters(kind, {**runner.parameters, **command.parameters})
        if parameters == runner.strategy.values:
            raise CommandError(f"strategy {command.strategy_id} has these parameters already")
        self._view.strategies.prepare(structs.replace(runner.started, parameters=parameters))
        self._pending.append(
            partial(StrategyParametersChanged, strategy_id=command.strategy_id, parameters=parameters)
        )

    def _instrument_id(self, text: str) -> int:
        instrument = self._view.find_instrument(text)
        if instrument is None:
            symbol, _, venue = text.rpartition("@")
            instrument = self._view.find_instrument(symbol, venue)
        if instrument is None:
            raise CommandError(f"there is no instrument {text[:100]!r}")
        return instrument.instrument_id
