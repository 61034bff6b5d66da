"""The registry gives each symbol of each venue one id, and one definition."""

from __future__ import annotations

import pytest

from daemon.venue.feeds.instruments import (
    InstrumentDefaults,
    InstrumentError,
    InstrumentRegistry,
    currencies,
)
from schemas.events import AssetClass

SPOT = InstrumentDefaults()


def test_a_new_symbol_is_defined_once_and_keeps_its_id():
    registry = InstrumentRegistry()
    first_id, definition = registry.resolve("BTCUSDT", "binance", SPOT, ts_ns=7)
    assert definition is not None
    assert (first_id, definition.instrument_id, definition.ts_ns) == (1, 1, 7)
    assert (definition.base_currency, definition.quote_currency) == ("BTC", "USDT")
    assert registry.resolve("BTCUSDT", "binance", SPOT) == (1, None)


def test_the_same_symbol_of_another_venue_is_another_instrument():
    registry = InstrumentRegistry()
    registry.resolve("BTCUSDT", "binance", SPOT)
    assert registry.resolve("BTCUSDT", "binance-usdm", SPOT)[0] == 2


def test_known_instruments_keep_ids_and_scales():
    before = InstrumentRegistry()
    _, known = before.resolve("BTCUSDT", "binance", InstrumentDefaults(price_scale=2))
    assert known is not None
    registry = InstrumentRegistry([known])
    assert registry.draft("BTCUSDT", "binance", SPOT).price_scale == 2
    assert registry.resolve("ETHUSDT", "binance", SPOT)[0] == 2


def test_a_draft_registers_nothing():
    registry = InstrumentRegistry()
    registry.draft("BTCUSDT", "binance", SPOT)
    assert registry.find("BTCUSDT", "binance") is None
    assert len(registry) == 0


def test_a_closed_registry_refuses_unknown_symbols():
    with pytest.raises(InstrumentError, match="unknown symbol DOGEUSDT"):
        InstrumentRegistry(closed=True).resolve("DOGEUSDT", "binance", SPOT)


@pytest.mark.parametrize("symbol", ["", "BTC USDT", "A" * 65, "BTC\x00USDT"])
def test_text_that_cannot_be_a_symbol_is_refused(symbol):
    with pytest.raises(InstrumentError, match="not a symbol"):
        InstrumentRegistry().resolve(symbol, "binance", SPOT)


def test_scales_whose_product_exceeds_money_are_refused():
    with pytest.raises(InstrumentError, match="together 0 to 18"):
        InstrumentRegistry().resolve("BTCUSDT", "x", InstrumentDefaults(price_scale=10, quantity_scale=9))


@pytest.mark.parametrize("term", ["tick_size", "lot_size", "multiplier"])
@pytest.mark.parametrize("value", [0, -1, 2**63])
def test_terms_that_break_money_are_refused(term, value):
    with pytest.raises(InstrumentError, match=f"{term} {value} of BTCUSDT: expected 1 to"):
        InstrumentRegistry().resolve("BTCUSDT", "x", InstrumentDefaults(**{term: value}))


@pytest.mark.parametrize(
    ("symbol", "kind", "pair"),
    [
        ("RENBTCETH", AssetClass.CRYPTO, ("RENBTC", "ETH")),
        ("NEOUSDC", AssetClass.CRYPTO, ("NEO", "USDC")),
        ("XBT/USD", AssetClass.CRYPTO, ("XBT", "USD")),
        ("ETH-USD", AssetClass.CRYPTO, ("ETH", "USD")),
        ("EURUSD", AssetClass.FOREX, ("EUR", "USD")),
        ("GC-201312", AssetClass.FUTURE, ("GC", "USD")),
        ("SPY", AssetClass.EQUITY, ("SPY", "USD")),
    ],
)
def test_currencies_are_read_off_the_symbol(symbol, kind, pair):
    assert currencies(symbol, kind) == pair


def test_a_pair_that_does_not_show_its_currencies_is_refused():
    with pytest.raises(InstrumentError, match="name base and quote"):
        currencies("XYZZY", AssetClass.CRYPTO)
