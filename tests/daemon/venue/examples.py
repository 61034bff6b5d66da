"""Worked examples as text: ticks and orders on the left, the venue's reports on the right of a bar."""

from __future__ import annotations

import re

from daemon.venue.paper import VenueOptions
from schemas.events import (
    CancelRejected,
    ClockTicked,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
    OrderType,
    ReplaceRejected,
    ReplaceRequested,
    TimeInForce,
)
from tests.daemon.venue.tape import BUY, SELL, Tape, cancel, deposit, hours, instrument, order, quote, trade

SECOND = 10**9
START = 1_699_999_985 * SECOND
"""22:13:05 UTC, 79,985 seconds after midnight."""
_TIMES = {"us": 1_000, "ms": 1_000_000, "s": SECOND}
_WORDS = {
    OrderAccepted: "accepted",
    OrderRejected: "rejected",
    OrderCanceled: "canceled",
    OrderExpired: "expired",
    CancelRejected: "cancel-rejected",
    ReplaceRejected: "replace-rejected",
}
_SIDES = {"buy": BUY, "sell": SELL}


class Example:
    """One example under way: an instrument of whole prices and quantities, and a tick every microsecond."""

    def __init__(self) -> None:
        self.options: dict[str, object] = {}
        self.cash = "1000000000"
        self.before: list[object] = []
        self.now = START
        self.names: dict[str, int] = {}
        self._tape: Tape | None = None

    @property
    def tape(self) -> Tape:
        if self._tape is None:
            self._tape = Tape(VenueOptions(**self.options))
            self._tape.start(*self.before, instrument(price_scale=0), deposit(self.cash))
        return self._tape

    def run(self, line: str) -> str:
        """Carry out one line; return the reports it caused, as the line would tell them."""
        self.now += 1_000
        step = re.fullmatch(r"(?:\+(\d+)(us|ms|s) )?(.+)", line)
        if step[1]:
            self.now += int(step[1]) * _TIMES[step[2]]
        words = step[3].split()
        if words[0] == "venue":
            self.options = {name: _value(text) for name, text in (word.split("=") for word in words[1:])}
            return ""
        if words[0] == "cash":
            self.cash = words[1]
            return ""
        if words[0] == "hours":
            self.before = [hours(int(words[1]), int(words[2]))]
            return ""
        return ", ".join(filter(None, map(self._told, self.tape.take(self._event(words)))))

    def _event(self, words):
        match words:
            case ["quote", bid, ask]:
                (bid, bid_quantity), (ask, ask_quantity) = _offer(bid), _offer(ask)
                return quote(bid, ask, bid_quantity, ask_quantity, ts_ns=self.now)
            case ["trade", what, *aggressor]:
                price, quantity = _offer(what)
                sides = {"aggressor": _SIDES[aggressor[0]]} if aggressor else {}
                return trade(price, quantity, ts_ns=self.now, **sides)
            case ["clock"]:
                return ClockTicked(ts_ns=self.now, synchronized=True)
            case ["cancel", name]:
                return cancel(self.names[name], ts_ns=self.now)
            case ["replace", name, *terms]:
                return self._replace(name, terms)
        name, side, quantity, *terms = words
        request = order(_SIDES[side], int(quantity), ts_ns=self.now, **self._terms(terms))
        self.names[name.rstrip(":")] = self.tape.core.next_seq
        return request

    def _replace(self, name, terms):
        wish = {"quantity": None, "price": None, "stop_price": None}
        for key, value in zip(terms[::2], terms[1::2], strict=True):
            wish[{"quantity": "quantity", "at": "price", "stop": "stop_price"}[key]] = int(value)
        return ReplaceRequested(ts_ns=self.now, order_id=self.names[name], source="operator:t", **wish)

    def _terms(self, terms):
        fields: dict[str, object] = {}
        words = iter(terms)
        for word in words:
            match word:
                case "at":
                    fields["price"] = int(next(words))
                case "stop":
                    fields["stop_price"] = int(next(words))
                case "trail":
                    text = next(words)
                    if text.endswith("ppm"):
                        fields["trail_ppm"] = int(text.removesuffix("ppm"))
                    else:
                        fields["trail_amount"] = int(text)
                case "post-only" | "reduce-only":
                    fields[word.replace("-", "_")] = True
                case "GTD":
                    fields["time_in_force"] = TimeInForce.GTD
                    fields["expire_ns"] = self.now + int(next(words).removesuffix("s")) * SECOND
                case _:
                    fields["time_in_force"] = TimeInForce[word]
        return fields | {"order_type": _type_of(fields)}

    def _told(self, event) -> str:
        name = next((n for n, i in self.names.items() if i == getattr(event, "order_id", None)), None)
        match event:
            case OrderFilled():
                return f"{name} filled {event.quantity} at {event.price} {event.liquidity.name.lower()}"
            case OrderTriggered():
                return f"{name} triggered at {event.price}"
            case OrderReplaced():
                at = "" if event.price is None else f" at {event.price}"
                stop = "" if event.stop_price is None else f" stop {event.stop_price}"
                return f"{name} replaced {event.quantity}{at}{stop}"
            case _ if type(event) in _WORDS:
                return f"{name} {_WORDS[type(event)]}"
        return ""


def _type_of(fields) -> OrderType:
    if "trail_amount" in fields or "trail_ppm" in fields:
        return OrderType.TRAILING_STOP
    if "stop_price" in fields:
        return OrderType.STOP_LIMIT if "price" in fields else OrderType.STOP
    return OrderType.LIMIT if "price" in fields else OrderType.MARKET


def _value(text):
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.lstrip("-").isdigit() else text


def _offer(text):
    price, _, quantity = text.partition("x")
    return (None if price == "-" else int(price)), (int(quantity) if quantity else None)
