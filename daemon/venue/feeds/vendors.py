"""The vendors' files that are read: which one a file is, what its instruments are, and who parses it."""

from __future__ import annotations

from daemon.venue.feeds import binance_public, histdata, kraken_history, taped_tables, tardis
from daemon.venue.feeds.instruments import VENUE_DEFAULTS, InstrumentDefaults
from daemon.venue.feeds.parsing import Listing
from daemon.venue.feeds.vendor_rows import ByVenue, RowParser, VendorFile
from schemas.events import AssetClass

_MODULES = (binance_public, kraken_history, histdata, tardis, taped_tables)
FORMATS = tuple(name for module in _MODULES for name in module.FORMATS)
NAMED_BY_ROWS = frozenset({*tardis.FORMATS, *taped_tables.FORMATS})
"""Formats whose rows tell symbol and venue."""
_HISTDATA = InstrumentDefaults(
    asset_class=AssetClass.FOREX, price_scale=6, quantity_scale=0, session_zone=histdata.ZONE
)


def recognise(path: str, member: str, first_line: str) -> VendorFile | None:
    """Return what a file is, or None where it is none of the vendors' or could be another's.

    Args:
        path: of the file, with slashes.
        member: name inside a zip, else empty.
        first_line: its first line that is not blank.

    Raises:
        VendorError: a file of a vendor that is not read.
    """
    found = (module.recognise(path, member, first_line) for module in _MODULES)
    return next((file for file in found if file is not None), None)


def describe(kind: str, path: str, member: str, first_line: str) -> VendorFile | None:
    """Return what a file is when its format was given, or None where it is not of that format."""
    found = recognise(path, member, first_line)
    if found is None and kind in kraken_history.FORMATS:
        found = kraken_history.describe(path, member, first_line)
    return found if found is not None and found.format == kind else None


def defaults_of(file: VendorFile, venue: str) -> InstrumentDefaults:
    """Return what to take for instruments of a file that are not known yet."""
    if file.format in histdata.FORMATS:
        return _HISTDATA
    return VENUE_DEFAULTS.get(venue, InstrumentDefaults())


def rows_of(file: VendorFile, listing: Listing) -> RowParser:
    """Return who parses the rows of a file whose name tells the instrument."""
    kind = file.format
    if kind in binance_public.ROWS:
        return binance_public.ROWS[kind](listing)
    if kind == kraken_history.TRADES:
        return kraken_history.TradeRows(listing)
    if kind == kraken_history.OHLCVT:
        return kraken_history.BarRows(listing, file.interval_ns)
    assert kind in histdata.FORMATS
    return histdata.TickRows(listing) if kind == histdata.TICKS else histdata.BarRows(listing)


def rows_by_venue(file: VendorFile, listings: ByVenue, header: str) -> RowParser:
    """Return who parses the rows of a file that name their instruments."""
    if file.format == tardis.TRADES:
        return tardis.TradeRows(listings)
    if file.format == tardis.QUOTES:
        return tardis.QuoteRows(listings)
    return taped_tables.TableRows(header, listings)
