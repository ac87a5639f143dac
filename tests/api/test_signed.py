"""Signed reports: a detached signature over the exact bytes, by a certificate that is the agency's."""

import base64
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from joserfc.jwk import ECKey
from joserfc.jws import deserialize_compact, serialize_compact
from typer.testing import CliRunner

from factories import a_balanced_row, a_form, a_regime, a_report, a_row, a_small_report, body
from files import CSV, a_csv, a_group, an_adx, push_file
from gateway.api.deps import Gateway
from gateway.app import build_app
from gateway.cli import cli
from gateway.evidence.anchors import Anchors
from gateway.evidence.signatures import SignatureRegistry
from gateway_under_test import add_account, asked, bearer, counts, findings, have, push, put, refused, rules, shown
from signing import HOUR, Certificate, authority, trust, with_header

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Signing:
    """A gateway that trusts ``ca``, which vouches for ``signer``, who may sign for H26.18."""

    client: httpx.AsyncClient
    ca: Certificate
    signer: Certificate
    anchors: Path

    async def push(self, document: object, signature: str | None = None, **headers: str) -> httpx.Response:
        content = document if isinstance(document, bytes) else body(document)
        signature = self.signer.sign(content) if signature is None else signature
        return await push(self.client, content, Report_Signature=signature, **headers)

    def rereads(self, gateway: Gateway) -> None:
        """Let the gateway look at its trust anchors now rather than in five seconds."""
        gateway.anchors._looked_at -= 10


@dataclass(frozen=True, slots=True)
class Ours:
    """A gateway with trust anchors, and its API: made once, since making it takes longer than a test."""

    gateway: Gateway
    app: FastAPI


_made: dict[int, Ours] = {}


@pytest.fixture
def ours(gateway: Gateway, tmp_path: Path) -> Gateway:
    if id(gateway) not in _made:
        with_anchors = replace(gateway, anchors=Anchors(None))
        _made[id(gateway)] = Ours(with_anchors, build_app(with_anchors))
    (tmp_path / "anchors").mkdir()
    _made[id(gateway)].gateway.anchors.__init__(tmp_path / "anchors")  # type: ignore[misc]
    return _made[id(gateway)].gateway


@pytest.fixture
async def signing(gateway: Gateway, ours: Gateway, tmp_path: Path) -> AsyncIterator[Signing]:
    ca, scopes = authority("Root CA"), ("reports:write", "reports:read", "clients:write", "catalog:write")
    signer = ca.issue("Sở Nông nghiệp và Môi trường Hà Nội")
    trust(tmp_path / "anchors", ca=ca)
    account = await add_account(ours.engine, scopes, None)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(_made[id(gateway)].app),
        base_url="http://gateway.test",
        headers=bearer(ours.tokens, account.id, scopes, None),
    ) as client:
        await have(client, "/agencies/H26.18/signers", {"signers": [{"subject": signer.subject}]})
        made = Signing(client, ca, signer, tmp_path / "anchors")
        made.rereads(ours)
        assert len(ours.anchors.current().anchors) == 1
        yield made


async def required(signing: Signing) -> None:
    """Have a form whose regime wants its reports signed."""
    await have(signing.client, "/forms/TEST_01/versions/1", a_form())
    await have(signing.client, "/regimes/TEST", a_regime(signature="required"))


def said(answer: httpx.Response) -> list[str]:
    """What findings about the signature say, in English."""
    return [each["message"] for each in findings(answer) if each["rule"] == "signature"]


async def test_the_signer_of_a_report_is_stored_and_shown(signing: Signing) -> None:
    content = body(a_report())
    signature = signing.signer.sign(content)

    answer = await signing.push(content, signature)

    assert answer.status_code == 201, answer.text
    report = await asked(signing.client, f"/reports/{answer.json()['id']}")
    signer = report["signer"]
    assert signer["subject"] == signing.signer.subject
    assert signer["issuer"] == signing.ca.subject
    assert signer["serial"] == f"{signing.signer.certificate.serial_number:x}"
    assert signer["trusted"] is True
    assert len(signer["sha256"]) == 64
    kept = await signing.client.get(f"/v1/reports/{report['id']}/signature")
    assert (kept.text, kept.headers["content-type"]) == (signature, "application/jose")


SAID = {"form": "TTHC_06A", "agency": "H26.18", "period": "2098-Q3"}


async def push_signed(signing: Signing, signed: str, **parameters: str) -> httpx.Response:
    """Push a CSV file that was signed with some parameters, with these."""
    content = a_csv([a_row()])
    signature = signing.signer.sign(content, query=signed)
    return await push_file(signing.client, content, CSV, headers=[("Report-Signature", signature)], **parameters)


async def test_what_is_said_beside_a_file_is_signed_with_it(signing: Signing) -> None:
    first = await push_signed(signing, urlencode(SAID), **SAID)
    assert first.status_code == 201, first.text
    more = SAID | {"corrects": first.json()["id"], "reason": "bổ sung & sửa"}
    again = await push_signed(signing, urlencode(dict(reversed(more.items()))), **more)
    assert again.status_code == 201, again.text
    assert (await asked(signing.client, f"/reports/{again.json()['id']}"))["signer"]["trusted"] is True


@pytest.mark.parametrize(
    "signed",
    [
        "",
        urlencode(SAID | {"period": "2098-Q2"}),
        urlencode(SAID | {"nil": "not_applicable"}),
        urlencode(SAID) + "&form=X",
        urlencode(SAID) + "&part=2",
        "%",
    ],
)
async def test_a_file_is_refused_whose_parameters_are_not_those_that_were_signed(signing: Signing, signed: str) -> None:
    [found] = said(await push_signed(signing, signed, **SAID))
    assert "The parameters are not those that were signed" in found


async def test_a_correction_is_signed_with_which_report_of_the_file_it_is(signing: Signing) -> None:
    names = {"orgUnit": "H26.18", "dataSet": "TTHC_06A"}
    content = an_adx(*(a_group([a_balanced_row()], period=f"2093-{month}-01/P3M", **names) for month in ("04", "07")))

    async def pushed(signed: dict[str, str], **given: str) -> httpx.Response:
        headers = [("Report-Signature", signing.signer.sign(content, query=urlencode(signed)))]
        return await push_file(signing.client, content, "application/adx+xml", headers=headers, **given)

    parts = (await pushed({})).json()["parts"]
    assert [each["status"] for each in parts] == ["accepted", "accepted"]
    given = {"corrects": parts[1]["id"], "reason": "đã xem lại", "part": "2"}
    [found] = said(await pushed(given | {"part": "1"}, **given))
    assert "The parameters are not those that were signed" in found
    [found] = said(await pushed({name: given[name] for name in ("corrects", "reason")}, **given))
    assert "The parameters are not those that were signed" in found
    answer = await pushed(given, **given)
    assert answer.status_code == 201, answer.text


async def test_a_report_in_json_is_signed_without_parameters(signing: Signing) -> None:
    content = body(a_report())
    signature = signing.signer.sign(content, query="reason=x")
    [found] = said(await signing.push(content, signature, Accept_Language="en"))
    assert "The parameters are not those that were signed" in found


async def test_anybody_can_check_the_signature_with_a_jose_library_and_the_bytes(signing: Signing) -> None:
    report = (await signing.push(a_report())).json()["id"]
    signature = (await signing.client.get(f"/v1/reports/{report}/signature")).text
    payload = (await signing.client.get(f"/v1/reports/{report}/payload")).content
    key = signing.signer.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    public = ECKey.import_key(signing.signer.certificate.public_key().public_bytes(*PEM))
    assert (
        deserialize_compact(signature, public, registry=SignatureRegistry("ES256"), payload=payload).payload == payload
    )


KEYS: dict[str, Callable[[], Any]] = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA of 2048 bits": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KEYS)
async def test_certificates_of_other_kinds_sign_as_well(signing: Signing, kind: str) -> None:
    signer = signing.ca.issue("Sở Nông nghiệp và Môi trường Hà Nội", KEYS[kind]())
    content = body(a_report())
    assert (await signing.push(content, signer.sign(content))).status_code == 201


async def test_what_the_command_signs_is_taken(signing: Signing, tmp_path: Path) -> None:
    for name, content in (("key", signing.signer.private), ("chain", signing.signer.chain), ("r", body(a_report()))):
        (tmp_path / name).write_bytes(content)
    options = ["--key", str(tmp_path / "key"), "--certificate", str(tmp_path / "chain")]
    signature = CliRunner().invoke(cli, ["sign", str(tmp_path / "r"), *options]).stdout.strip()
    assert (await signing.push((tmp_path / "r").read_bytes(), signature)).status_code == 201

    other = [*options[:3], str(tmp_path / "r")]
    assert CliRunner().invoke(cli, ["sign", str(tmp_path / "r"), *other]).exit_code == 1


async def test_what_was_signed_while_the_certificate_was_valid_is_taken_after_it_expired(signing: Signing) -> None:
    expired, content = signing.ca.issue(NAME, since=3 * HOUR, until=-HOUR), body(a_report())
    assert (await signing.push(content, expired.sign(content, datetime.now(UTC) - 2 * HOUR))).status_code == 201


async def test_a_payload_that_is_not_encoded_is_taken_as_well(signing: Signing) -> None:
    content, signer = body(a_report()), signing.signer
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    header: dict[str, Any] = {"alg": "ES256", "x5c": x5c(signer), "sigT": at, "b64": False, "crit": ["b64", "sigT"]}
    key = ECKey.import_key(signer.private)
    whole = serialize_compact(header, content, key, registry=SignatureRegistry("ES256"))
    signature = f"{whole.split('.')[0]}..{whole.rsplit('.')[-1]}"

    assert (await signing.push(content, signature)).status_code == 201


async def test_a_signature_must_be_there_where_the_regime_requires_it(signing: Signing) -> None:
    await required(signing)
    assert (await asked(signing.client, "/regimes/TEST"))["signature"] == "required"

    refusal = await push(signing.client, a_small_report(), Accept_Language="en")

    assert rules(findings(refusal)) == ["signature"]
    assert "requires signed reports" in said(refusal)[0]
    assert (await signing.push(a_small_report())).status_code == 201


async def test_a_line_of_a_batch_cannot_be_signed_and_says_so(signing: Signing) -> None:
    await required(signing)

    line = shown(await push(signing.client, a_small_report(), to="/batch", Accept_Language="en"))
    assert rules(line["findings"]) == ["signature"]
    assert "a line of a batch cannot be signed" in line["findings"][0]["message"]
    header = await push(signing.client, a_small_report(), to="/batch", Report_Signature="e30..AA")
    assert refused(header, 400, "malformed-request")["errors"][0]["pointer"] == "Report-Signature"


async def test_validation_says_what_a_push_would_be_told_of_its_signature(signing: Signing) -> None:
    await required(signing)
    content = body(a_small_report())

    without = shown(await push(signing.client, content, to="/validate"))
    signed = shown(await push(signing.client, content, to="/validate", Report_Signature=signing.signer.sign(content)))

    assert (without["accepted"], rules(without["findings"])) == (False, ["signature"])
    assert signed == {"accepted": True, "findings": []}


Bad = Callable[[Signing, bytes], str]
BAD: dict[str, tuple[Bad, str]] = {
    "over other bytes": (lambda s, content: s.signer.sign(content + b" "), "does not hold for exactly these bytes"),
    "by somebody who is not registered": (
        lambda s, content: s.ca.issue("Somebody else").sign(content),
        "not registered for H26.18",
    ),
    "by another authority of the same name": (
        lambda s, content: authority("Root CA").issue(NAME).sign(content),
        "no path leads",
    ),
    "by a certificate that signed itself": (lambda s, content: authority(NAME).sign(content), "no path leads"),
    "by a signer that made a certificate of its own": (
        lambda s, content: s.signer.issue(NAME).sign(content),
        "no path leads",
    ),
    "by a certificate not for signing": (
        lambda s, content: s.ca.issue(NAME, may_sign=False).sign(content),
        "not for signing",
    ),
    "by a certificate that had expired then": (
        lambda s, content: s.ca.issue(NAME, since=2 * HOUR, until=-HOUR).sign(content),
        "valid when it was signed",
    ),
    "before the certificate was valid": (
        lambda s, content: s.signer.sign(content, datetime.now(UTC) - 2 * HOUR),
        "valid when it was signed",
    ),
    "in the future": (lambda s, content: s.signer.sign(content, datetime.now(UTC) + HOUR / 2), "in the future"),
    "too long ago": (
        lambda s, content: s.ca.issue(NAME, since=3 * DAY).sign(content, datetime.now(UTC) - 2 * DAY),
        "older than 86400 s",
    ),
    "by an RSA key of 1024 bits": (lambda s, content: weakly_signed(s.ca, content), "does not hold"),
    "with an algorithm that is not the key's": (
        lambda s, content: with_header(s.signer.sign(content), alg="RS256"),
        "does not hold",
    ),
    "with another's certificate": (
        lambda s, content: with_header(s.ca.issue("X").sign(content), x5c=x5c(s.signer)),
        "does not hold",
    ),
    "with a time that was changed": (
        lambda s, content: with_header(s.signer.sign(content), iat=int(datetime.now(UTC).timestamp()) - 9),
        "does not hold",
    ),
}
NAME = "Sở Nông nghiệp và Môi trường Hà Nội"


@pytest.mark.parametrize("how", BAD)
async def test_a_signature_that_does_not_hold_is_a_finding_and_nothing_is_counted(signing: Signing, how: str) -> None:
    make, words = BAD[how]
    content = body(a_report())

    refusal = await signing.push(content, make(signing, content), Accept_Language="en")

    assert rules(findings(refusal)) == ["signature"] * len(said(refusal))
    assert any(words in each for each in said(refusal)), said(refusal)
    kept = await asked(signing.client, f"/reports/{refusal.json()['report']}")
    assert (kept["status"], kept["signer"]["trusted"]) == ("rejected", False)


MALFORMED: dict[str, str] = {
    "no JWS": "abc",
    "with its payload": "e30.e30.AAAA",
    "no JSON": "AAAA..AAAA",
    "no header to speak of": "e30..AAAA",
    "too long": "A" * 17_000 + "..AAAA",
}


@pytest.mark.parametrize("how", MALFORMED)
async def test_what_is_no_signature_is_400_and_keeps_nothing(signing: Signing, ours: Gateway, how: str) -> None:
    before = await counts(ours.engine)
    problem = refused(await signing.push(a_report(), MALFORMED[how]), 400, "malformed-request")
    assert problem["errors"][0]["pointer"] == "Report-Signature"
    assert await counts(ours.engine) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": None},
        {"x5c": None},
        {"x5c": []},
        {"x5c": ["AAAA"]},
        {"iat": None},
        {"iat": "now"},
        {"iat": 1e400},
        {"sigT": "yesterday"},
        {"crit": ["exp"]},
    ],
    ids=str,
)
async def test_a_header_without_what_it_takes_is_400(signing: Signing, changes: dict[str, Any]) -> None:
    content = body(a_report())
    refused(await signing.push(content, with_header(signing.signer.sign(content), **changes)), 400, "malformed-request")


async def test_two_signatures_are_400(signing: Signing) -> None:
    content = body(a_report())
    headers = [("Content-Type", "application/json"), *[("Report-Signature", signing.signer.sign(content))] * 2]
    refused(await signing.client.post("/v1/reports", content=content, headers=headers), 400, "malformed-request")


async def test_a_chain_may_come_with_the_report_or_lie_among_the_anchors(signing: Signing, ours: Gateway) -> None:
    between = signing.ca.issue("Sub CA", is_authority=True, may_sign=False)
    signer, content = between.issue(NAME), body(a_report())
    alone = Certificate(signer.certificate, signer.key)

    assert "no path" in str(said(await signing.push(content, alone.sign(content), Accept_Language="en")))
    assert (await signing.push(content, signer.sign(content))).status_code == 201
    trust(signing.anchors, sub=between)
    signing.rereads(ours)
    content = body(a_report(period="2098-Q2"))
    assert (await signing.push(content, alone.sign(content))).status_code == 201


async def test_what_a_revoked_certificate_signs_is_refused_whenever_it_says_it_signed(
    signing: Signing, ours: Gateway
) -> None:
    content = body(a_report())
    long_ago = signing.signer.sign(content, datetime.now(UTC) - HOUR / 2)
    revoked_since = datetime.now(UTC) - HOUR / 4
    (signing.anchors / "ca.crl").write_bytes(authority("Root CA").revoke(signing.signer))
    signing.rereads(ours)
    assert shown(await push(signing.client, content, to="/validate", Report_Signature=long_ago))["accepted"]

    (signing.anchors / "ca.crl").write_bytes(signing.ca.revoke(signing.signer, at=revoked_since))
    signing.rereads(ours)

    refusal = await signing.push(content, long_ago, Accept_Language="en")
    assert said(refusal) == ["The signature is not taken: its certificate is revoked."]


async def test_trust_ends_when_the_anchor_or_the_registration_does(signing: Signing, ours: Gateway) -> None:
    assert (await signing.push(a_report())).status_code == 201
    await have(signing.client, "/agencies/H26.18/signers", {"signers": []})
    assert "not registered" in str(said(await signing.push(a_report(period="2098-Q2"), Accept_Language="en")))

    (signing.anchors / "ca.pem").unlink()
    signing.rereads(ours)
    assert "no path" in str(said(await signing.push(a_report(period="2098-Q2"), Accept_Language="en")))


async def test_a_broken_file_among_the_anchors_changes_nothing(signing: Signing, ours: Gateway) -> None:
    (signing.anchors / "broken.pem").write_text("-----BEGIN CERTIFICATE-----")
    signing.rereads(ours)
    assert (await signing.push(a_report())).status_code == 201


async def test_a_signed_repeat_is_a_repeat(signing: Signing) -> None:
    content = body(a_report())
    first = await signing.push(content, **{"Idempotency-Key": "k"})

    again = await signing.push(content, signing.signer.sign(content), **{"Idempotency-Key": "k"})
    without = await push(signing.client, content)

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert (without.status_code, without.json()["id"]) == (200, first.json()["id"])


async def test_bytes_refused_for_their_signature_are_taken_with_a_better_one(signing: Signing) -> None:
    content = body(a_report())
    assert (await signing.push(content, authority("X").sign(content))).status_code == 422
    assert (await signing.push(content)).status_code == 201


async def test_a_renewed_certificate_of_the_same_name_signs_on(signing: Signing) -> None:
    renewed, content = signing.ca.issue(NAME), body(a_report())
    assert (await signing.push(content, renewed.sign(content))).status_code == 201


async def test_a_signer_is_registered_by_a_certificate_as_by_its_name(signing: Signing) -> None:
    other = signing.ca.issue("Another, of Hà Nội")
    pem = {"certificate": other.chain.decode()}

    shown_now = await have(signing.client, "/agencies/H26.18/signers", {"signers": [pem, {"subject": other.subject}]})

    assert [each["subject"] for each in shown_now["signers"]] == [other.subject]
    assert await asked(signing.client, "/agencies/H26.18/signers") == shown_now


@pytest.mark.parametrize(
    "signer",
    [{}, {"subject": "CN=A", "certificate": "B"}, {"subject": "no name"}, {"certificate": "none"}, {"subject": ""}],
    ids=str,
)
async def test_a_signer_that_names_nobody_is_400(signing: Signing, signer: dict[str, str]) -> None:
    refused(await put(signing.client, "/agencies/H26.18/signers", {"signers": [signer]}), 400, "malformed-request")


def weakly_signed(ca: Certificate, content: bytes) -> str:
    """A signature that holds, by a key that is too short."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is too short is the point
    header = {"alg": "RS256", "x5c": x5c(ca.issue(NAME, key)), "iat": int(datetime.now(UTC).timestamp())}
    head, payload = (urlsafe_b64encode(each).rstrip(b"=") for each in (json.dumps(header).encode(), content))
    signature = urlsafe_b64encode(key.sign(head + b"." + payload, PKCS1v15(), SHA256())).rstrip(b"=")
    return f"{head.decode()}..{signature.decode()}"


def x5c(signer: Certificate) -> list[str]:
    return [base64.b64encode(signer.certificate.public_bytes(Encoding.DER)).decode()]


PEM = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
