"""What an answer means, at the edges: each class of status to its last number, and replies that are no good text."""

from datetime import UTC, datetime

import pytest

from gateway.connectors.outcome import outcome_of, reminder_refused
from gateway.connectors.transport import NoReply, Reply
from gateway.domain.delivery import OutcomeClass

NOW = datetime(2026, 7, 20, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (199, OutcomeClass.refused, "refused"),
        (200, OutcomeClass.delivered, "taken"),
        (299, OutcomeClass.delivered, "taken"),
        (300, OutcomeClass.refused, "redirected"),
        (399, OutcomeClass.refused, "redirected"),
        (400, OutcomeClass.refused, "refused"),
        (499, OutcomeClass.refused, "refused"),
        (500, OutcomeClass.unreachable, "could not take it now"),
        (599, OutcomeClass.unreachable, "could not take it now"),
    ],
)
def test_each_class_of_status_goes_to_its_last_number(status: int, kind: OutcomeClass, words: str) -> None:
    outcome = outcome_of(Reply(status, {}, b""), NOW)
    assert (outcome.kind, outcome.reply) == (kind, None)
    assert words in outcome.reason


@pytest.mark.parametrize(("sent", "kind"), [(True, OutcomeClass.ambiguous), (False, OutcomeClass.unreachable)])
def test_without_an_answer_it_is_unclear_only_if_something_was_sent(sent: bool, kind: OutcomeClass) -> None:
    assert outcome_of(NoReply(sent, "why"), NOW).kind is kind


@pytest.mark.parametrize("before", [b"", b"x"])
def test_a_reply_is_cut_between_letters_and_read_whatever_it_is(before: bytes) -> None:
    found = outcome_of(Reply(400, {}, before + "ệ".encode() * 1000 + b"\xff\xfe"), NOW).reply or ""
    assert found.strip("x") == "ệ" * 682
    assert outcome_of(Reply(400, {}, b"\xff"), NOW).reply == "\N{REPLACEMENT CHARACTER}"


def test_a_kind_that_takes_reports_alone_refuses_a_reminder_in_words() -> None:
    assert reminder_refused("dhis2").kind is OutcomeClass.refused
    assert "dhis2" in reminder_refused("dhis2").reason


def test_of_a_long_reply_no_secret_is_kept_that_was_cut_in_two() -> None:
    secret = "s3cret" * 300
    outcome = outcome_of(Reply(400, {}, (secret * 60).encode()), NOW, [secret])
    assert outcome.reply is not None
    assert "s3cret" not in outcome.reply


def test_of_a_long_reply_the_start_is_kept() -> None:
    assert outcome_of(Reply(400, {}, b"why " * 1_000_000), NOW, ["secret"]).reply == "why " * 512
