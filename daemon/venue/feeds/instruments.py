"""Which instrument a venue's symbol is: known ones by (venue, symbol), new ones from defaults.

Gives ids and definitions; it does not record them. Scales follow from the venue's own precision,
and never change for an instrument that is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from schemas.errors import TapedError
from schemas.events import AssetClass, InstrumentDefined

MAX_INSTRUMENTS = 100_000
MAX_SCALE_SUM = 18
MAX_TERM = 2**63 - 1
"""Most that tick, lot and multiplier may be; the least is 1."""
_SYMBOL = re.compile(r"[^\s\x00-\x1f\x7f]{1,64}")
_QUOTE_CURRENCIES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "BIDR", "IDRT", "BTC", "ETH", "BNB", "XRP", "TRX",
    "DAI", "EUR", "GBP", "AUD", "BRL", "TRY", "JPY", "RUB", "UAH", "NGN", "ZAR", "IDR", "PLN", "RON",
    "ARS", "MXN", "COP", "CZK", "USD",
)  # fmt: skip
"""Assets that Binance quotes in, by its exchangeInfo; a symbol ends in one without a separator."""


class InstrumentError(TapedError):
    """A symbol is not one, is not known, or contradicts what is known of it."""


class InstrumentDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What to take for a symbol that is not known yet; None for a currency: read it off the symbol."""

    asset_class: AssetClass = AssetClass.CRYPTO
    price_scale: int = 8
    quantity_scale: int = 8
    tick_size: int = 1
    lot_size: int = 1
    multiplier: int = 1
    base_currency: str | None = None
    quote_currency: str | None = None
    session_zone: str = "UTC"


VENUE_DEFAULTS: Mapping[str, InstrumentDefaults] = {
    "binance": InstrumentDefaults(),
    "binance-usdm": InstrumentDefaults(),
    "coinbase": InstrumentDefaults(),
    # Kraken's prices have up to ten decimals (ALGO/XBT has nine), its lots eight.
    "kraken": InstrumentDefaults(price_scale=10),
}


class InstrumentRegistry:
    """Every instrument by venue and symbol.

    Args:
        known: definitions so far, in order of the journal; a later one replaces an earlier.
        closed: refuse symbols that are not known, as a live feed does that asked for certain ones.
    """

    def __init__(self, known: Iterable[InstrumentDefined] = (), *, closed: bool = False) -> None:
        self._by_symbol: dict[tuple[str, str], InstrumentDefined] = {}
        self._by_id: dict[int, InstrumentDefined] = {}
        self._closed = closed
        self._next_id = 1
        for definition in known:
            self.add(definition)

    def __len__(self) -> int:
        return len(self._by_symbol)

    def add(self, definition: InstrumentDefined) -> None:
        """Take over a definition from the journal."""
        self._by_symbol[definition.venue, definition.symbol] = definition
        self._by_id[definition.instrument_id] = definition
        self._next_id = max(self._next_id, definition.instrument_id + 1)

    def find(self, symbol: str, venue: str) -> InstrumentDefined | None:
        """Return the definition of a known instrument."""
        return self._by_symbol.get((venue, symbol))

    def symbol(self, instrument_id: int) -> str:
        """Return the symbol of an id that this registry gave or was told."""
        return self._by_id[instrument_id].symbol

    def draft(
        self, symbol: str, venue: str, defaults: InstrumentDefaults, *, ts_ns: int = 0
    ) -> InstrumentDefined:
        """Return the known definition, or the one that `resolve` would make; changes nothing.

        Raises:
            InstrumentError: the text cannot be a symbol, the registry is closed or full, or the
                scales, tick, lot or multiplier are out of range.
        """
        known = self.find(symbol, venue)
        return known if known is not None else self._define(symbol, venue, defaults, ts_ns)

    def resolve(
        self, symbol: str, venue: str, defaults: InstrumentDefaults, *, ts_ns: int = 0
    ) -> tuple[int, InstrumentDefined | None]:
        """Return the id of a symbol, with its definition when it is new and has to be published.

        Raises:
            InstrumentError: as `draft`.
        """
        known = self.find(symbol, venue)
        if known is not None:
            return known.instrument_id, None
        definition = self._define(symbol, venue, defaults, ts_ns)
        self.add(definition)
        return definition.instrument_id, definition

    def _define(self, symbol: str, venue: str, defaults: InstrumentDefaults, ts_ns: int) -> InstrumentDefined:
        if not _SYMBOL.fullmatch(symbol):
            raise InstrumentError(f"{symbol[:64]!r} is not a symbol")
        if self._closed:
            raise InstrumentError(f"unknown symbol {symbol} at {venue}")
        if len(self._by_symbol) >= MAX_INSTRUMENTS:
            raise InstrumentError(f"{symbol} at {venue} would be one of over {MAX_INSTRUMENTS} instruments")
        scales = (defaults.price_scale, defaults.quantity_scale)
        if min(scales) < 0 or sum(scales) > MAX_SCALE_SUM:
            raise InstrumentError(
                f"scales {scales[0]} and {scales[1]} of {symbol}: together 0 to {MAX_SCALE_SUM} decimals"
            )
        for name in ("tick_size", "lot_size", "multiplier"):
            term = getattr(defaults, name)
            if not 1 <= term <= MAX_TERM:
                raise InstrumentError(f"{name} {term} of {symbol}: expected 1 to {MAX_TERM}")
        base, quote = defaults.base_currency, defaults.quote_currency
        if base is None or quote is None:
            read = currencies(symbol, defaults.asset_class)
            base, quote = base or read[0], quote or read[1]
        return InstrumentDefined(
            ts_ns=ts_ns,
            instrument_id=self._next_id,
            symbol=symbol,
            venue=venue,
            asset_class=defaults.asset_class,
            base_currency=base,
            quote_currency=quote,
            price_scale=defaults.price_scale,
            quantity_scale=defaults.quantity_scale,
            tick_size=defaults.tick_size,
            lot_size=defaults.lot_size,
            multiplier=defaults.multiplier,
            session_zone=defaults.session_zone,
        )


def currencies(symbol: str, asset_class: AssetClass) -> tuple[str, str]:
    """Return `(base, quote)` as the symbol tells them.

    Raises:
        InstrumentError: a currency pair that does not show where it is to be cut.
    """
    if asset_class in (AssetClass.EQUITY, AssetClass.FUTURE):
        return symbol.partition("-")[0], "USD"
    for separator in "-/_":
        base, found, quote = symbol.partition(separator)
        if found and base and quote:
            return base, quote
    if asset_class is AssetClass.FOREX and len(symbol) == 6:  # noqa: PLR2004 - two ISO 4217 codes
        return symbol[:3], symbol[3:]
    for quote in _QUOTE_CURRENCIES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol[: -len(quote)], quote
    raise InstrumentError(
        f"{symbol} does not show its currencies; name base and quote"
        " (import: --base-currency, --quote-currency)"
    )
