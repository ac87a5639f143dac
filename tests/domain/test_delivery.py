import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.delivery import (
    DEFAULT_SCHEDULE,
    LONGEST_WAIT,
    DeliveryState,
    OutcomeClass,
    RetrySchedule,
    parse_retry_after,
    schedule_of,
    state_after,
)

NOW = datetime(2026, 7, 20, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def wait_after(attempts: int, jitter: float = 0.0, retry_after: timedelta | None = None) -> timedelta:
    due = DEFAULT_SCHEDULE.next_attempt_at(attempts, NOW, NOW, jitter, retry_after)
    assert due is not None
    return due - NOW


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [
        (1, timedelta(seconds=5)),
        (2, timedelta(seconds=30)),
        (3, timedelta(minutes=2)),
        (4, timedelta(minutes=10)),
        (5, timedelta(minutes=30)),
        (6, timedelta(hours=1)),
        (7, timedelta(hours=2)),
        (8, timedelta(hours=4)),
        (500, timedelta(hours=4)),
    ],
)
def test_waits_grow_from_seconds_to_four_hours(attempts: int, wait: timedelta) -> None:
    assert wait_after(attempts) == wait


@pytest.mark.parametrize(("jitter", "seconds"), [(-1.0, 24), (-0.5, 27), (0.0, 30), (1.0, 36)])
def test_jitter_moves_a_wait_by_a_fifth_at_most(jitter: float, seconds: float) -> None:
    assert wait_after(2, jitter) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("asked", "jitter", "wait"),
    [
        (timedelta(seconds=90), 0.0, timedelta(seconds=90)),
        (timedelta(seconds=90), -1.0, timedelta(seconds=108)),  # never earlier than asked
        (timedelta(seconds=1), 0.0, timedelta(seconds=30)),  # never earlier than scheduled
        (timedelta(0), -1.0, timedelta(seconds=24)),
        (timedelta(days=3650), 1.0, LONGEST_WAIT),
    ],
)
def test_retry_after_is_honoured_between_the_schedule_and_a_day(
    asked: timedelta, jitter: float, wait: timedelta
) -> None:
    assert wait_after(2, jitter, asked) == wait


def test_nobody_is_asked_to_wait_for_more_than_a_day() -> None:
    assert timedelta(hours=24) == LONGEST_WAIT


def test_a_schedule_with_longer_waits_than_a_day_keeps_them() -> None:
    weekly = RetrySchedule(delays=(), every=7 * DAY, horizon=30 * DAY)
    assert weekly.next_attempt_at(1, NOW, NOW, 0.0, timedelta(seconds=1)) == NOW + 7 * DAY


def test_the_last_attempt_is_made_at_the_horizon_and_then_it_gives_up() -> None:
    end = NOW + DEFAULT_SCHEDULE.horizon
    almost = end - timedelta(minutes=1)
    assert DEFAULT_SCHEDULE.next_attempt_at(48, NOW, almost, 0.0) == end
    assert DEFAULT_SCHEDULE.next_attempt_at(48, NOW, almost, 0.0, DAY) == end
    assert DEFAULT_SCHEDULE.next_attempt_at(49, NOW, end, 0.0) is None
    assert DEFAULT_SCHEDULE.next_attempt_at(49, NOW, end + DAY, 0.0) is None


def test_a_dead_upstream_is_tried_about_fifty_times_in_seven_days() -> None:
    attempts, due = 0, NOW
    while (again := DEFAULT_SCHEDULE.next_attempt_at(attempts := attempts + 1, NOW, due, 0.0)) is not None:
        due = again
    assert due == NOW + timedelta(days=7)
    assert attempts == 50


def test_no_wait_precedes_the_first_attempt() -> None:
    with pytest.raises(ValueError, match="due at once"):
        DEFAULT_SCHEDULE.next_attempt_at(0, NOW, NOW, 0.0)


@given(
    attempts=st.integers(1, 10_000),
    elapsed=st.timedeltas(timedelta(0), timedelta(days=10)),
    jitter=st.floats(-1, 1),
    asked=st.none() | st.timedeltas(timedelta(0), timedelta(days=30_000)),
)
def test_every_next_attempt_is_in_the_future_and_within_the_horizon(
    attempts: int, elapsed: timedelta, jitter: float, asked: timedelta | None
) -> None:
    now, end = NOW + elapsed, NOW + DEFAULT_SCHEDULE.horizon
    due = DEFAULT_SCHEDULE.next_attempt_at(attempts, NOW, now, jitter, asked)
    assert (due is None) == (now >= end)
    assert due is None or now < due <= end


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", timedelta(0)),
        ("120", timedelta(seconds=120)),
        (" 120 ", timedelta(seconds=120)),
        ("315360000", timedelta(days=3650)),
        ("Mon, 20 Jul 2026 08:01:00 GMT", timedelta(minutes=1)),
        ("Monday, 20-Jul-26 08:01:00 GMT", timedelta(minutes=1)),
        ("Mon Jul 20 08:01:00 2026", timedelta(minutes=1)),
        ("Mon, 20 Jul 2020 08:01:00 GMT", timedelta(0)),
        ("Mon, 20 Jul 2026 15:01:00 +0700", timedelta(minutes=1)),  # no HTTP date, and clear all the same
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("99999999999", None),
        ("9" * 10_000, None),
        ("١٢٠", None),
        ("Mon, 32 Jul 2026 08:01:00 GMT", None),
        ("Mon, 20 Jul 99999 08:01:00 GMT", None),
        ("120, 60", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_else_not_at_all(
    header: str | None, wait: timedelta | None
) -> None:
    assert parse_retry_after(header, NOW) == wait


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_no_retry_after_header_is_an_error_or_a_negative_wait(header: str) -> None:
    wait = parse_retry_after(header, NOW)
    assert wait is None or wait >= timedelta(0)


@pytest.mark.parametrize(
    ("kind", "next_attempt", "state"),
    [
        (OutcomeClass.delivered, None, DeliveryState.delivered),
        (OutcomeClass.refused, None, DeliveryState.refused),
        (OutcomeClass.refused, NOW, DeliveryState.refused),
        (OutcomeClass.throttled, NOW, DeliveryState.pending),
        (OutcomeClass.unreachable, NOW, DeliveryState.pending),
        (OutcomeClass.ambiguous, NOW, DeliveryState.pending),
        (OutcomeClass.ambiguous, None, DeliveryState.exhausted),
    ],
)
def test_only_what_may_still_succeed_is_tried_again(
    kind: OutcomeClass, next_attempt: datetime | None, state: DeliveryState
) -> None:
    assert state_after(kind, next_attempt) is state


def test_a_schedule_as_it_is_written_repeats_its_last_wait_until_the_horizon() -> None:
    schedule = schedule_of([5, 60], 1)
    waits = [schedule.next_attempt_at(made, NOW, NOW, 0.0) for made in (1, 2, 3, 50)]
    assert waits == [NOW + timedelta(seconds=each) for each in (5, 60, 60, 60)]
    end = NOW + timedelta(hours=1)
    assert schedule.next_attempt_at(9, NOW, end - timedelta(seconds=10), 0.0) == end
    assert schedule.next_attempt_at(10, NOW, end, 0.0) is None


@example([3600, 3600, 3600], 2)
@given(
    delays=st.lists(st.integers(1, 90_000), min_size=1, max_size=6).filter(lambda each: each[-1] >= 600),
    hours=st.integers(1, 30),
)
def test_the_number_of_attempts_is_that_of_the_schedule_as_it_runs(delays: list[int], hours: int) -> None:
    schedule = schedule_of(delays, hours)
    due: datetime | None = NOW
    count = 0
    while due is not None:
        count += 1
        due = schedule.next_attempt_at(count, NOW, due, 0.0)
    assert schedule.attempts == count


def test_ten_thousand_failures_at_once_come_back_evenly_over_two_fifths_of_their_wait() -> None:
    """Kolmogorov and Smirnov: no further from an even spread than chance comes once in a thousand times."""
    source, base = random.Random(7), DEFAULT_SCHEDULE.delays[3]  # noqa: S311 - to be repeated, not secret
    waits = sorted(wait_after(4, source.uniform(-1, 1)) for _ in range(10_000))
    assert _distance([(each - 0.8 * base) / (0.4 * base) for each in waits]) < 1.95 / 100
    together = [wait_after(4)] * 10_000
    assert _distance([(each - 0.8 * base) / (0.4 * base) for each in together]) > 0.4  # the control: without jitter


def test_ten_thousand_that_were_asked_to_wait_never_come_back_before_that_and_are_spread_too() -> None:
    source, asked = random.Random(8), timedelta(hours=1)  # noqa: S311 - to be repeated, not secret
    waits = sorted(wait_after(4, source.uniform(-1, 1), asked) for _ in range(10_000))
    assert waits[0] >= asked
    assert _distance([(each - asked) / (0.2 * asked) for each in waits]) < 1.95 / 100


def _distance(places: list[float]) -> float:
    """How far sorted places in [0, 1] are from an even spread at most."""
    count = len(places)
    return max(max((n + 1) / count - each, each - n / count) for n, each in enumerate(places))
