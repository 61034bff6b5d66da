"""How long a message to the paper venue is under way: drawn from a seed and its number, not by chance.

Integer and exactly rounded decimal arithmetic only: every machine draws the same.
"""

from __future__ import annotations

from decimal import Context, Decimal
from hashlib import blake2b

from daemon.venue.paper.options import VenueOptions

_BITS = 64
_CONTEXT = Context(prec=20)
_LONGEST = 20
"""An exponential draw is cut at so many times its mean; one in 500 million is longer."""


def latency_ns(options: VenueOptions, number: int) -> int:
    """Return how long the message is under way, in nanoseconds.

    Args:
        options: the least time, the spread, the shape and the seed.
        number: of the journaled event that is the message.
    """
    base = options.latency_us * 1_000
    spread = options.latency_spread_us * 1_000
    if not spread:
        return base
    draw = _draw(options.seed, number)
    if options.latency_shape == "uniform":
        return base + (draw * spread >> _BITS)
    share = -_CONTEXT.ln(_CONTEXT.divide(Decimal(draw + 1), Decimal(1 << _BITS)))
    return base + int(min(share, Decimal(_LONGEST)) * spread)


def _draw(seed: int, number: int) -> int:
    """Return an integer of 64 bits."""
    digest = blake2b(f"{seed}:{number}".encode(), digest_size=_BITS // 8).digest()
    return int.from_bytes(digest, "big")
