"""A run as the catalogue keeps it: all that it takes to repeat it, and what it came to.

Only runs that reached the end of their data are kept: a run that was cut off cannot be repeated.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from daemon.config import code_hash
from daemon.trading.money import MONEY_SCALE
from daemon.user_strategies import load_kinds
from replay.backtest import BacktestResult
from replay.source import DataIdentity
from replay.spec import BacktestSpec
from schemas.decimals import decimal_text

Origin = Literal["backtest", "optimise", "repeat"]
MAX_NOTE = 500
_DECIDING = ("backtest", "recorder", "run", "source", "spec", "times")
"""Modules of `replay` that a result depends on, beside the daemon's code."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        number: in its catalogue; 0 while it is in none.
        recorded_ns: when it ended.
        origin: what ran it.
        note: the operator's words.
        spec: what it was to be, with absolute paths.
        identity: which events it took.
        data_sha256: hash of these events, or empty where that was not to be had.
        code_sha256: of the code that decided, strategies of one's own included.
        python: of the interpreter, such as `CPython 3.11.2`.
        host: machine and its name.
        seconds: how long it took.
        events: market events it took.
        orders: that were asked for.
        denied: of these, by a rule.
        fills: of orders.
        deposits: paid in, by currency, decimal text.
        equity: at the end, by currency, decimal text.
        fees: paid, by currency, decimal text.
        result_sha256: hash of all its decisions and figures.
        metrics: figures of merit by name; None where one is not defined.
    """

    number: int = 0
    recorded_ns: int
    origin: Origin
    note: str = ""
    spec: BacktestSpec
    identity: DataIdentity
    data_sha256: str
    code_sha256: str
    python: str
    host: str
    seconds: float
    events: int
    orders: int
    denied: int
    fills: int
    deposits: dict[str, str]
    equity: dict[str, str]
    fees: dict[str, str]
    result_sha256: str
    metrics: dict[str, float | None]


def run_of(
    spec: BacktestSpec,
    identity: DataIdentity,
    result: BacktestResult,
    metrics: Mapping[str, float | None],
    *,
    now_ns: int,
    origin: Origin = "backtest",
    note: str = "",
    data_sha256: str = "",
) -> Run:
    """Return the run of a result that is whole."""
    assert not result.partial
    return Run(
        recorded_ns=now_ns,
        origin=origin,
        note=note[:MAX_NOTE],
        spec=absolute(spec),
        identity=identity,
        data_sha256=data_sha256,
        code_sha256=code_of(spec),
        python=python_version(),
        host=f"{platform.machine()} {platform.node()}".strip(),
        seconds=result.seconds,
        events=result.events,
        orders=result.orders,
        denied=result.denied,
        fills=result.fills,
        deposits=_texts(result.deposits),
        equity=_texts(result.equity),
        fees=_texts(result.fees),
        result_sha256=result.result_sha256,
        metrics=dict(metrics),
    )


def absolute(spec: BacktestSpec) -> BacktestSpec:
    """Return a spec that means the same wherever it is run from."""
    folder = spec.strategies_folder
    return msgspec.structs.replace(
        spec,
        data=tuple(str(Path(path).absolute()) for path in spec.data),
        strategies_folder=None if folder is None else str(Path(folder).absolute()),
    )


def pinned(spec: BacktestSpec, identity: DataIdentity) -> BacktestSpec:
    """Return a spec that takes the same events although the journal may have grown since."""
    if not identity.journal_id:
        return spec
    if spec.warmup_ns:  # What it is told of before counts from the time, which means the same event again.
        return msgspec.structs.replace(spec, to_seq=identity.last_seq, to_ns=None)
    return msgspec.structs.replace(
        spec, from_seq=identity.first_seq, to_seq=identity.last_seq, from_ns=None, to_ns=None
    )


def code_of(spec: BacktestSpec) -> str:
    """Return the hash of the code that decides a run of this spec."""
    package = resources.files("replay")
    ours = [(f"replay/{name}.py", (package / f"{name}.py").read_bytes()) for name in _DECIDING]
    folder = None if spec.strategies_folder is None else Path(spec.strategies_folder)
    return code_hash([*ours, *load_kinds(folder).sources])


def python_version() -> str:
    """Return what runs this, such as `CPython 3.11.2`."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def identity_sha256(identity: DataIdentity) -> str:
    """Return a hash of which events these are."""
    return hashlib.sha256(msgspec.json.encode(identity, order="deterministic")).hexdigest()


def _texts(money: Mapping[str, int]) -> dict[str, str]:
    return {currency: decimal_text(amount, MONEY_SCALE) for currency, amount in money.items()}
