from __future__ import annotations

import msgspec
import pytest

from replay.measure import EquityPoint
from replay.optimise.study import COMPLETE, FAILED
from replay.optimise.trial import Kept, Markets, keep_events, returns_of, run_trial
from replay.run import run_spec

PLENTY = 1_000_000


def test_a_trial_is_the_backtest_of_its_specification(spec):
    outcome = run_trial(3, spec, Markets(PLENTY))
    result = run_spec(spec)
    assert (outcome.number, outcome.state) == (3, COMPLETE)
    assert outcome.result_sha256 == result.result_sha256
    assert outcome.metrics["orders"] == result.orders > 20


def test_kept_events_give_what_reading_them_again_gives(spec):
    markets = Markets(PLENTY)
    first, second = (run_trial(0, spec, markets) for _ in range(2))
    again = run_trial(0, spec, Markets(0))
    for outcome in (second, again):
        assert msgspec.structs.replace(outcome, seconds=first.seconds) == first


def test_a_market_is_kept_only_within_its_budget(spec):
    enough, few = Kept(spec, 4_001), Kept(spec, 4_000)
    for kept in (enough, few, enough, few):
        assert sum(len(batch.events) for batch in kept.batches()) == 4_001
    assert (enough.kept_events, few.kept_events) == (4_001, 0)


def test_a_reading_that_was_broken_off_keeps_nothing(spec):
    kept = Kept(spec, 4_001)
    next(kept.batches())
    assert kept.kept_events == 0
    assert sum(len(batch.events) for batch in kept.batches()) == 4_001


def test_markets_used_longest_ago_make_room(spec):
    markets = Markets(10_000)
    parts = [
        msgspec.structs.replace(spec, from_seq=first, to_seq=first + 999) for first in range(1, 3_000, 200)
    ]
    for part in parts:
        for _ in markets.of(part).batches():
            pass
    assert sum(kept.kept_events for kept in markets.kept) <= 10_000
    assert markets.of(parts[-1]).kept_events == 1_001  # and the definition in front


def test_periods_are_the_same_for_all_trials_of_a_market(spec):
    markets = Markets(PLENTY)
    other = msgspec.structs.replace(spec, parameters={"fast": 2, "slow": 90, "quantity": "10"})
    assert len(run_trial(0, spec, markets).returns) == len(run_trial(1, other, markets).returns) == 240


def test_a_backtest_that_cannot_run_is_a_failed_outcome_with_its_reason(spec):
    wrong = msgspec.structs.replace(spec, parameters={"fast": 50, "slow": 20, "quantity": "1"})
    outcome = run_trial(0, wrong, Markets(PLENTY))
    assert outcome.state == FAILED
    assert "fast is 50, expected less than slow" in outcome.reason
    nowhere = msgspec.structs.replace(spec, data=("/nowhere",))
    assert "/nowhere" in run_trial(0, nowhere, Markets(PLENTY)).reason


def test_a_strategy_that_stops_itself_is_a_failed_outcome(spec, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from daemon.trading.strategy import Strategy\n"
        "class Bad(Strategy):\n"
        "    kind = 'bad'\n"
        "    def on_trade(self, trade):\n"
        "        raise ValueError('no more')\n"
    )
    own = msgspec.structs.replace(spec, strategy="bad", parameters={}, strategies_folder=str(tmp_path))
    outcome = run_trial(0, own, Markets(PLENTY))
    assert outcome.state == FAILED
    assert "no more" in outcome.reason


def test_a_trial_that_is_stopped_is_a_failed_outcome(spec):
    assert run_trial(0, spec, Markets(PLENTY), stop=lambda: True).state == FAILED


def test_returns_are_between_even_steps_of_the_curve():
    curve = [EquityPoint(n, 100.0 * 1.01**n) for n in range(481)]
    assert returns_of(curve) == pytest.approx([1.01**2 - 1] * 240)


def test_nothing_is_returned_after_a_total_loss():
    curve = [EquityPoint(n, equity) for n, equity in enumerate((100.0, 50.0, -5.0, 20.0))]
    assert returns_of(curve) == [-0.5, -1.0, 0.0]


def test_money_paid_in_is_no_return():
    assert returns_of([EquityPoint(0, 100.0), EquityPoint(1, 160.0, flow=50.0)]) == pytest.approx([0.1])


@pytest.mark.parametrize("curve", [[], [EquityPoint(0, 1.0)]])
def test_a_curve_without_two_points_has_no_returns(curve):
    assert returns_of(curve) == []


def test_all_workers_together_keep_a_part_of_the_free_memory():
    assert 0 < keep_events(8) <= keep_events(1)
