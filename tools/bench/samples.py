"""Market data for benchmarks: recorded where there is some, else generated to look like it."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

from schemas.events import AssetClass, InstrumentDefined, Side, Trade

RECORDINGS = ("binance_spot_btcusdt_20240808.gz", "binance_spot_ethusdt_20240808.gz")
_START_NS = 1_700_000_000_000_000_000
_WRAP = '{{"stream":"btcusdt@{}","data":{}}}'


def bitcoin(instrument_id: int = 1) -> InstrumentDefined:
    """Return a BTC-USDT instrument with eight decimals each."""
    return InstrumentDefined(
        ts_ns=_START_NS,
        instrument_id=instrument_id,
        symbol="BTC-USDT",
        venue="BENCH",
        asset_class=AssetClass.CRYPTO,
        base_currency="BTC",
        quote_currency="USDT",
        price_scale=8,
        quantity_scale=8,
    )


def trades(count: int, *, instrument_id: int = 1, seed: int = 1) -> list[Trade]:
    """Return trades of a random walk around 60,000, a millisecond apart, as a venue tells them."""
    chance = random.Random(seed)  # noqa: S311  # a market, not a secret
    price = 60_000 * 10**8
    out = []
    for n in range(count):
        price += chance.randint(-50, 50) * 10**6
        ts_ns = _START_NS + n * 1_000_000
        out.append(
            Trade(
                ts_ns=ts_ns,
                received_ns=ts_ns + 1_270_000,
                instrument_id=instrument_id,
                price=price,
                quantity=chance.randint(1, 1000) * 10**4,
                aggressor=Side.BUY if chance.random() < 0.5 else Side.SELL,  # noqa: PLR2004
                trade_id=3_735_693_015 + n,
            )
        )
    return out


def binance_lines(market_data: Path | None, limit: int) -> tuple[list[bytes], str]:
    """Return raw recorded lines (`<receive ns> <JSON>`) and where they came from."""
    if market_data is not None:
        lines: list[bytes] = []
        for name in RECORDINGS:
            with gzip.open(market_data / "crypto" / name) as file:
                lines += file.read().splitlines()
        return lines[:limit], "recorded"
    return _generated_lines(limit), "generated"


def _generated_lines(count: int) -> list[bytes]:
    lines = []
    for n, trade in enumerate(trades(count)):
        price, quantity = trade.price / 10**8, trade.quantity / 10**8
        if n % 4:
            data = (
                f'{{"u":{50_000_000_000 + n},"s":"BTCUSDT","b":"{price:.8f}","B":"{quantity:.8f}",'
                f'"a":"{price + 0.01:.8f}","A":"1.25000000"}}'
            )
            message = _WRAP.format("bookTicker", data)
        else:
            at = trade.ts_ns // 1_000_000
            data = (
                f'{{"e":"trade","E":{at},"s":"BTCUSDT","t":{3_000_000 + n // 4},"p":"{price:.8f}",'
                f'"q":"{quantity:.8f}","T":{at},"m":true,"M":true}}'
            )
            message = _WRAP.format("trade", data)
        lines.append(f"{trade.received_ns} {message}".encode())
    return lines
