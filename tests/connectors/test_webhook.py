"""What is `webhook`'s own: messages and signatures of Standard Webhooks 1.0. The rest is in `test_conformance`."""

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from answering import AT, DISPATCH, SECRET, answering, outcome_with, send_to, upstream
from gateway.connectors.connector import ConnectorSettings, InvalidConnectorSettings
from gateway.connectors.registry import open_connector
from gateway.connectors.signing import signature, signatures, signing_keys
from gateway.domain.delivery import Event, OutcomeClass

OTHER = "whsec_" + b64encode(b"another secret, of 32 bytes too.").decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE_SECRET = "whsk_" + b64encode(PRIVATE.private_bytes_raw()).decode()
# The two below are of the tests of Svix's server, whose authors wrote the standard: sign_msg and
# test_asymmetric_key_signing.
SHARED_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY_PAIR = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
SHARED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
BY_KEY_PAIR = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


async def sent(secret: str = SECRET, **changes: Any) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a message that was taken."""
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(
            "webhook", system.url, {"signing_secret": secret}, dispatch=DISPATCH._replace(**changes)
        )
    assert outcome.kind is OutcomeClass.delivered
    [request] = system.requests
    return request


# What is sent


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Event.accepted, "report.accepted"),
        (Event.returned, "report.returned"),
        (Event.withdrawn, "report.withdrawn"),
        (Event.due, "obligation.due"),
        (Event.overdue, "obligation.overdue"),
    ],
)
async def test_a_message_says_what_happened_and_when_with_the_data_digit_for_digit(event: Event, name: str) -> None:
    _, body = await sent(event=event, body=b'{"retail_sales":12345678901234567890.1200000000}')
    expected = (
        f'{{"type":"{name}","timestamp":"2026-07-20T07:00:00Z",'
        '"data":{"retail_sales":12345678901234567890.1200000000}}'
    )
    assert body == expected.encode()


async def test_a_message_is_known_by_its_delivery_and_by_the_time_of_the_attempt() -> None:
    headers, _ = await sent()
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == str(DISPATCH.delivery)
    assert headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert "idempotency-key" not in headers


async def test_the_body_and_the_id_are_the_same_in_every_attempt_and_the_signature_is_not() -> None:
    (first, body), (second, again) = await sent(), await sent(attempted_at=datetime(2026, 7, 21, tzinfo=UTC))
    assert body == again
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]


# By which it is known to be ours


async def test_the_library_of_standard_webhooks_verifies_a_message_by_the_new_secret_and_by_the_old() -> None:
    headers, body = await sent(f"{OTHER} {SECRET}", attempted_at=datetime.now(UTC))
    for secret in (OTHER, SECRET):
        assert standardwebhooks.Webhook(secret).verify(body, headers) == json.loads(body)
    stranger = standardwebhooks.Webhook("whsec_" + b64encode(b"of somebody else, 24 bytes").decode())
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        stranger.verify(body, headers)


async def test_a_message_signed_by_a_private_key_is_verified_by_its_public_key_alone() -> None:
    headers, body = await sent(PRIVATE_SECRET)
    version, _, value = headers["webhook-signature"].partition(",")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert version == "v1a"
    PRIVATE.public_key().verify(b64decode(value), signed)
    with pytest.raises(InvalidSignature):
        PRIVATE.public_key().verify(b64decode(value), signed + b" ")


async def test_each_secret_gives_a_signature_in_the_order_they_are_given() -> None:
    headers, body = await sent(f"{PRIVATE_SECRET} {SECRET} {OTHER}")
    expected = [
        signature(key, str(DISPATCH.delivery), AT, body) for key in (PRIVATE, *signing_keys(f"{SECRET} {OTHER}"))
    ]
    assert headers["webhook-signature"].split(" ") == expected
    assert [each.split(",")[0] for each in expected] == ["v1a", "v1", "v1"]


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        (SHARED_SECRET, SHARED),
        (KEY_PAIR, BY_KEY_PAIR),
        (KEY_PAIR[: len("whsk_")] + b64encode(b64decode(KEY_PAIR[5:])[:32]).decode(), BY_KEY_PAIR),
        (f"{SHARED_SECRET} {KEY_PAIR}", f"{SHARED} {BY_KEY_PAIR}"),
    ],
)
def test_signatures_are_those_that_other_implementations_of_standard_webhooks_give(secrets: str, expected: str) -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    given = signatures(signing_keys(secrets), "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
    assert given == expected


def test_the_public_key_after_a_private_one_is_its_own() -> None:
    pair = b64decode(KEY_PAIR[5:])
    assert Ed25519PublicKey.from_public_bytes(pair[32:])
    with pytest.raises(InvalidConnectorSettings, match="its own public key"):
        signing_keys("whsk_" + b64encode(pair[:32] + PRIVATE.public_key().public_bytes_raw()).decode())


@pytest.mark.parametrize("credentials", [None, {}, {"bearer": "a.token"}])
def test_a_webhook_without_a_secret_does_not_open(credentials: dict[str, str] | None) -> None:
    settings = ConnectorSettings("n", "webhook", "http://a.example/", credentials=credentials)
    with pytest.raises(InvalidConnectorSettings, match="signing_secret"):
        open_connector(settings)


# What is answered


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
async def test_a_failure_that_an_upstream_of_reports_would_refuse_by_is_tried_again(status: int) -> None:
    outcome = await outcome_with("webhook", answering(f"{status} No", body=b"why"))
    assert (outcome.kind, outcome.status, outcome.reply) == (OutcomeClass.unreachable, status, "why")
    assert str(status) in outcome.reason


async def test_a_receiver_that_wants_no_more_is_left_to_a_person() -> None:
    outcome = await outcome_with("webhook", answering("410 Gone"))
    assert outcome.kind is OutcomeClass.refused
    assert "wants no more" in outcome.reason
