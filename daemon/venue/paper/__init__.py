"""The paper venue: works orders against the market's own ticks, by the rules in `daemon/venue/README.md`."""

from daemon.venue.paper.options import VenueOptions
from daemon.venue.paper.venue import PaperVenue

__all__ = ["PaperVenue", "VenueOptions"]
