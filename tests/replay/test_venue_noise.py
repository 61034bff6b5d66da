from __future__ import annotations

from dataclasses import replace

import msgspec

from replay.spec import BacktestSpec
from replay.venue_noise import noisy_specs

SPEC = BacktestSpec(data=("d",), strategy="ma_cross")


def test_only_the_venue_and_the_seed_are_others():
    for spec in noisy_specs(SPEC, 20):
        assert msgspec.structs.replace(spec, venue=SPEC.venue, seed=SPEC.seed) == SPEC
        assert spec.seed != SPEC.seed


def test_venues_are_slower_and_dearer_within_the_limits():
    venues = [spec.venue for spec in noisy_specs(SPEC, 200, latency_us=1_000, slippage_ppm=30)]
    assert {venue.slippage for venue in venues} == {"ppm"}
    assert 0 <= min(venue.slippage_amount for venue in venues) < max(v.slippage_amount for v in venues) <= 30
    assert max(venue.latency_spread_us for venue in venues) <= 1_000
    assert len({venue.latency_spread_us for venue in venues}) > 100


def test_a_slippage_of_the_specs_own_varies_around_its_amount():
    venue = replace(SPEC.venue, slippage="ticks", slippage_amount=3)
    amounts = {s.venue.slippage_amount for s in noisy_specs(msgspec.structs.replace(SPEC, venue=venue), 100)}
    assert amounts == set(range(7))


def test_equal_seeds_give_equal_venues():
    assert noisy_specs(SPEC, 5) == noisy_specs(SPEC, 5)
    assert noisy_specs(SPEC, 5) != noisy_specs(msgspec.structs.replace(SPEC, seed=2), 5)
