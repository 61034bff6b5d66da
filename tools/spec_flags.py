"""Flags that tell a `BacktestSpec`, for every command that runs backtests; and the flags of a spec."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from daemon.config_values import DECLARED, allowed
from daemon.venue.feeds.formats import FORMATS, ReadOptions
from daemon.venue.feeds.instruments import MAX_SCALE_SUM, MAX_TERM
from daemon.venue.fees import Fees, FeesError, parse_fees
from daemon.venue.paper import VenueOptions
from daemon.venue.paper.options import FILL_MODELS, LATENCY_SHAPES, SLIPPAGE_MODELS
from replay.spec import DAEMON_VENUE, MAX_SEED, BacktestSpec, SpecError
from tools.event_text import time_text
from tools.output import UsageError
from tools.parameters import parse_pairs
from tools.points import HELP, Point, point

_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}
_SPANS_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}
_LATENCY = re.compile(r"(\d+)(us|ms|s)(?:\+(\d+)(us|ms|s)(?::([a-z]+))?)?", re.ASCII)
_SLIPPAGE = re.compile(r"([a-z]+)(?::(\d+))?", re.ASCII)
_READING = {
    "--symbol": "instrument of the ticks, where the file does not say, or the only one to take",
    "--venue": "venue of the ticks, where the file does not say",
    "--base-currency": "of instruments whose symbol does not show it",
    "--quote-currency": "of instruments whose symbol does not show it",
    "--columns": "CSV: where things stand, as ts=COLUMN[@s|ms|us|ns|iso],price=COLUMN,quantity=COLUMN,...",
}


def add_spec_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a command."""
    parser.add_argument("data", nargs="+", metavar="DATA", help="data folder, or files of market data")
    parser.add_argument("--strategy", required=True, metavar="KIND", help="kind of strategy")
    parser.add_argument("--strategies-folder", metavar="DIR", help="folder of strategies of your own")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="parameter of the strategy; repeat"
    )
    parser.add_argument(
        "--instruments", default="", metavar="A,B", help="symbols; all that appear if left out"
    )
    parser.add_argument("--from", dest="first", type=point, default=Point(), metavar="SEQ|TIME", help=HELP)
    parser.add_argument(
        "--to",
        dest="last",
        type=point,
        default=Point(),
        metavar="SEQ|TIME",
        help="the same; what it names is included",
    )
    parser.add_argument(
        "--warmup",
        type=_span,
        default=0,
        metavar="TIME",
        help="tell strategies of so long before --from when they start, as 30m, 4h or 2d (none)",
    )
    parser.add_argument("--cash", default="100000", help="cash in each quote currency (%(default)s)")
    parser.add_argument(
        "--currency", default="", metavar="CODE", help="in which all is summed up; the first one if left out"
    )
    parser.add_argument(
        "--seed",
        type=between(0, MAX_SEED),
        default=1,
        metavar="N",
        help="of every draw: equal seeds, equal results (%(default)s)",
    )
    _add_venue_flags(parser)
    _add_reading_flags(parser)


def _add_venue_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("venue", "the paper venue, as the daemon's unless told otherwise")
    group.add_argument(
        "--fees", type=_fees, metavar="MAKER/TAKER", help="fees in millionths; or give each by itself:"
    )
    for name in ("maker_fee_ppm", "taker_fee_ppm"):
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=_setting(f"venue.{name}"),
            metavar="PPM",
            help=f"fee in millionths ({getattr(DAEMON_VENUE, name)})",
        )
    group.add_argument(
        "--fees-of",
        action="append",
        default=[],
        metavar="SYMBOL=MAKER/TAKER",
        help="other fees of an instrument; repeat",
    )
    group.add_argument(
        "--latency",
        type=_latency,
        metavar="TIME[+SPREAD[:SHAPE]]",
        help="how long orders are under way, as 5ms, or 5ms+20ms:exponential (none)",
    )
    group.add_argument(
        "--slippage",
        type=_slippage,
        metavar="MODEL[:AMOUNT]",
        help="how much worse taking fills are: ticks:1, ppm:50, or proportional:100, millionths for each"
        " multiple of the displayed quantity (none)",
    )
    group.add_argument(
        "--fill-model",
        choices=FILL_MODELS,
        default=DAEMON_VENUE.fill_model,
        help="a trade at a resting order's limit fills it in its turn, at once, or never (%(default)s)",
    )
    group.add_argument(
        "--no-funds-check",
        action="store_true",
        help="let the venue fill what the cash does not cover on arrival",
    )


def _add_reading_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("files", "where DATA is files, and what they do not tell themselves")
    group.add_argument("--format", choices=FORMATS, help="format of the files, where it cannot be told")
    for option, text in _READING.items():
        group.add_argument(option, type=_text, help=text)
    scale = between(0, MAX_SCALE_SUM)
    group.add_argument("--price-scale", type=scale, metavar="N", help="decimals of prices")
    group.add_argument("--quantity-scale", type=scale, metavar="N", help="decimals of quantities")
    group.add_argument(
        "--multiplier", type=between(1, MAX_TERM), metavar="N", help="value of one price unit of a contract"
    )


def _span(text: str) -> int:
    """Return nanoseconds."""
    found = re.fullmatch(r"([1-9][0-9]{0,7})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 90s, 30m, 4h or 2d")
    return int(found[1]) * _SPANS_NS[found[2]]


def spec_of(arguments: argparse.Namespace) -> BacktestSpec:
    """Return the spec that the flags tell.

    Raises:
        UsageError: they tell none.
    """
    first, last = arguments.first, arguments.last
    if None not in (first.ns, last.end_ns) and last.end_ns < first.ns:
        raise UsageError("--to lies before --from")
    if last.seq is not None and last.seq < (first.seq or 1):
        raise UsageError(f"--to {last.seq} lies before --from {first.seq or 1}")
    given = {name: getattr(arguments, name) for name in ReadOptions.__struct_fields__}
    try:
        return BacktestSpec(
            data=tuple(map(_text, arguments.data)),
            strategy=arguments.strategy,
            parameters=parse_pairs(arguments.param),
            instruments=tuple(name for name in arguments.instruments.split(",") if name),
            from_seq=first.seq,
            to_seq=last.seq,
            from_ns=first.ns,
            to_ns=last.end_ns,
            warmup_ns=arguments.warmup,
            cash=arguments.cash,
            currency=arguments.currency,
            venue=_venue(arguments),
            seed=arguments.seed,
            strategies_folder=arguments.strategies_folder,
            reading=ReadOptions(**{name: value for name, value in given.items() if value is not None}),
        )
    except SpecError as error:
        raise UsageError(f"--{error.message}", hint=error.hint) from error
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"DATA {error}") from error


def _venue(arguments: argparse.Namespace) -> VenueOptions:
    changes: dict[str, Any] = {**(arguments.latency or {}), **(arguments.slippage or {})}
    if arguments.fees is not None:
        changes["maker_fee_ppm"], changes["taker_fee_ppm"] = arguments.fees
    for name in ("maker_fee_ppm", "taker_fee_ppm"):
        if getattr(arguments, name) is not None:
            changes[name] = getattr(arguments, name)
    changes["fill_model"] = arguments.fill_model
    if arguments.no_funds_check:
        changes["check_funds"] = False
    changes["fees"] = dict(_fees_of(text) for text in arguments.fees_of)
    return replace(DAEMON_VENUE, **changes)


def flags_of(spec: BacktestSpec) -> list[str]:
    """Return the flags that make a spec, without those of its data, strategy and parameters."""
    venue, reading = spec.venue, spec.reading
    words: list[str] = []
    given = {
        "--strategies-folder": (spec.strategies_folder, None),
        "--instruments": (",".join(spec.instruments), ""),
        "--from": (spec.from_seq if spec.from_ns is None else time_text(spec.from_ns), None),
        "--to": (spec.to_seq if spec.to_ns is None else time_text(spec.to_ns), None),
        "--warmup": (f"{spec.warmup_ns // _SPANS_NS['s']}s", "0s"),
        "--cash": (spec.cash, "100000"),
        "--currency": (spec.currency, ""),
        "--seed": (spec.seed, 1),
        "--maker-fee-ppm": (venue.maker_fee_ppm, DAEMON_VENUE.maker_fee_ppm),
        "--taker-fee-ppm": (venue.taker_fee_ppm, DAEMON_VENUE.taker_fee_ppm),
        "--latency": (_latency_text(venue), _latency_text(DAEMON_VENUE)),
        "--slippage": (_slippage_text(venue), _slippage_text(DAEMON_VENUE)),
        "--fill-model": (venue.fill_model, DAEMON_VENUE.fill_model),
        **{
            f"--{name.replace('_', '-')}": (getattr(reading, name), None)
            for name in ReadOptions.__struct_fields__
        },
    }
    for flag, (value, default) in given.items():
        if value != default:
            words += [flag, str(value)]
    for symbol, fees in sorted(venue.fees.items()):
        words += ["--fees-of", f"{symbol}={fees.maker_ppm}/{fees.taker_ppm}"]
    return words if venue.check_funds else [*words, "--no-funds-check"]


def _latency_text(venue: VenueOptions) -> str:
    text = f"{venue.latency_us}us"
    if venue.latency_spread_us or venue.latency_shape != DAEMON_VENUE.latency_shape:
        text += f"+{venue.latency_spread_us}us:{venue.latency_shape}"
    return text


def _slippage_text(venue: VenueOptions) -> str:
    return f"{venue.slippage}:{venue.slippage_amount}" if venue.slippage_amount else venue.slippage


def _latency(text: str) -> dict[str, Any]:
    found = _LATENCY.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a time as 250us, 5ms or 1s, or two as 5ms+20ms")
    least, unit, spread, spread_unit, shape = found.groups()
    if shape is not None and shape not in LATENCY_SHAPES:
        raise argparse.ArgumentTypeError(f"{shape!r}, expected {' or '.join(LATENCY_SHAPES)}")
    return {
        "latency_us": _limited("venue.latency_us", int(least) * _UNITS[unit]),
        "latency_spread_us": _limited(
            "venue.latency_spread_us", int(spread or 0) * _UNITS[spread_unit or "us"]
        ),
        "latency_shape": shape or DAEMON_VENUE.latency_shape,
    }


def _slippage(text: str) -> dict[str, Any]:
    found = _SLIPPAGE.fullmatch(text)
    if found is None or found[1] not in SLIPPAGE_MODELS or (found[1] != "none" and found[2] is None):
        known = " or ".join(f"{name}:AMOUNT" for name in SLIPPAGE_MODELS if name != "none")
        raise argparse.ArgumentTypeError(f"{text!r}, expected none, {known}")
    return {
        "slippage": found[1],
        "slippage_amount": _limited("venue.slippage_amount", int(found[2] or 0)),
    }


def _fees(text: str) -> Fees:
    try:
        return parse_fees(text)
    except FeesError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fees_of(text: str) -> tuple[str, Fees]:
    symbol, sign, fees = text.partition("=")
    if not (symbol and sign):
        raise UsageError(f"--fees-of {text}: expected SYMBOL=MAKER/TAKER")
    try:
        return symbol, parse_fees(fees)
    except FeesError as error:
        raise UsageError(f"--fees-of {symbol}: {error.message}", hint=error.hint) from error


def _setting(key: str) -> Callable[[str], int]:
    """Return what reads a whole number within the limits of a setting."""

    def read(text: str) -> int:
        if not (text.isascii() and text.removeprefix("-").isdigit()):
            raise argparse.ArgumentTypeError(f"{text!r}, expected {allowed(DECLARED[key])}")
        return _limited(key, int(text))

    return read


def _limited(key: str, value: int) -> int:
    rule = DECLARED[key].rule
    assert rule.minimum is not None
    assert rule.maximum is not None
    if not rule.minimum <= value <= rule.maximum:
        raise argparse.ArgumentTypeError(f"{value}, expected {allowed(DECLARED[key])}")
    return value


def between(low: int, high: int) -> Callable[[str], int]:
    """Return what reads an integer of these limits, in plain digits."""

    def read(text: str) -> int:
        plain = text.isascii() and text.isdigit() and len(text) <= len(str(high))
        if not plain or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text}, expected {low} to {high}")
        return int(text)

    return read


def _text(text: str) -> str:
    """Refuse what the shell gave as bytes that are no text: no JSON can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("is not UTF-8 text") from None
    return text
