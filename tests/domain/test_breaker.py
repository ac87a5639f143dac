from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.breaker import PROBES, Breaker, BreakerPolicy, BreakerState, Ended, after
from gateway.domain.delivery import OutcomeClass

NOW = datetime(2026, 7, 20, 8, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = BreakerPolicy(failures=3, shortest=5 * SECOND, longest=60 * SECOND)
OPEN = Breaker(3, NOW - 5 * SECOND, 1, NOW, PROBES)
"""One whose pause ends now."""


def attempt(kind: OutcomeClass, begun: float = 0, ended: float = 0, retry_after: timedelta | None = None) -> Ended:
    """An attempt by seconds since now."""
    return Ended(kind, NOW + begun * SECOND, NOW + ended * SECOND, retry_after)


def fed(breaker: Breaker, *ended: Ended, concurrency: int = 8) -> Breaker:
    for each in ended:
        breaker = after(breaker, each, concurrency, POLICY)
    return breaker


@pytest.mark.parametrize("kind", [OutcomeClass.unreachable, OutcomeClass.throttled, OutcomeClass.ambiguous])
def test_failures_in_a_row_open_it(kind: OutcomeClass) -> None:
    before = fed(Breaker(), *[attempt(kind, at, at) for at in (0, 1)])
    assert before.state(NOW + SECOND) is BreakerState.closed
    opened = fed(before, attempt(kind, 2, 2))
    assert opened.until == NOW + 7 * SECOND
    assert opened.state(NOW + 6.9 * SECOND) is BreakerState.open
    assert (opened.state(NOW + 7 * SECOND), opened.limit) == (BreakerState.half_open, PROBES)


@pytest.mark.parametrize("kind", [OutcomeClass.delivered, OutcomeClass.refused])
def test_an_answer_of_the_upstream_starts_the_count_anew(kind: OutcomeClass) -> None:
    failing = fed(Breaker(), *[attempt(OutcomeClass.unreachable, at, at) for at in (0, 1)])
    assert fed(failing, attempt(kind, 2, 2)) == Breaker()


def test_many_failures_in_one_moment_are_one_mishap() -> None:
    burst = [attempt(OutcomeClass.ambiguous, 0, 0.1 * number) for number in range(20)]
    opened = fed(Breaker(), *burst)
    assert (opened.openings, opened.until) == (1, NOW + 5.2 * SECOND)


def test_a_try_that_fails_opens_it_again_for_twice_as_long_up_to_a_bound() -> None:
    breaker, pauses = OPEN, list[float]()
    for _ in range(6):
        assert breaker.until
        begun = (breaker.until - NOW).total_seconds()
        breaker = fed(breaker, attempt(OutcomeClass.unreachable, begun, begun))
        assert breaker.until
        pauses.append((breaker.until - NOW).total_seconds() - begun)
    assert pauses == [10, 20, 40, 60, 60, 60]


def test_an_attempt_begun_before_the_pause_ended_does_not_lengthen_it() -> None:
    late = fed(OPEN, attempt(OutcomeClass.ambiguous, -4, 3))
    assert (late.until, late.openings) == (OPEN.until, 1)


def test_after_an_outage_more_is_sent_with_each_success_until_all_is() -> None:
    limits, breaker = list[int | None](), OPEN
    for _ in range(6):
        breaker = fed(breaker, attempt(OutcomeClass.delivered))
        limits.append(breaker.limit)
    assert limits == [3, 4, 5, 6, 7, None]
    assert breaker == Breaker()


def test_a_success_during_the_pause_ends_it() -> None:
    breaker = fed(OPEN, attempt(OutcomeClass.delivered, -9, -3))
    assert breaker.state(NOW - 3 * SECOND) is BreakerState.half_open
    assert breaker.limit == PROBES


@pytest.mark.parametrize(("asked", "pause"), [(7, 10), (30, 30), (86_400, 60)])
def test_a_pause_is_as_long_as_the_upstream_asks_within_bounds(asked: float, pause: float) -> None:
    throttled = attempt(OutcomeClass.throttled, 0, 0, asked * SECOND)
    assert fed(OPEN, throttled).until == NOW + pause * SECOND


def test_ten_failures_open_it_for_a_quarter_of_a_second_and_at_most_five_minutes_by_themselves() -> None:
    assert BreakerPolicy() == BreakerPolicy(10, timedelta(milliseconds=250), timedelta(minutes=5))
    assert BreakerPolicy().pause(200) == timedelta(minutes=5)


def test_since_when_it_fails_is_known_until_it_answers() -> None:
    failing = fed(Breaker(), *[attempt(OutcomeClass.unreachable, at, at) for at in (1, 2)])
    assert (failing.failures, failing.failing_since) == (2, NOW + SECOND)
    for begun, ended in ((-9, -3), (0, 0)):  # within the pause, and after it
        answered = fed(OPEN, attempt(OutcomeClass.delivered, begun, ended))
        assert (answered.failures, answered.failing_since, answered.openings) == (0, None, 1)


def test_a_connector_that_takes_one_at_a_time_is_closed_by_one_success() -> None:
    assert fed(OPEN, attempt(OutcomeClass.delivered), concurrency=1) == Breaker()


@given(st.lists(st.tuples(st.sampled_from(OutcomeClass), st.floats(0, 30), st.floats(0, 30)), max_size=60))
def test_whatever_happens_a_pause_is_bounded_and_what_may_be_sent_is_never_nothing_for_good(
    happened: list[tuple[OutcomeClass, float, float]],
) -> None:
    breaker, clock = Breaker(), 0.0
    for kind, wait, took in happened:
        clock += wait
        breaker = fed(breaker, attempt(kind, clock - took, clock))
        assert breaker.until is None or breaker.until <= NOW + clock * SECOND + POLICY.longest
        assert breaker.limit is None or breaker.limit in range(PROBES, 8)
