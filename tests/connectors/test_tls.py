"""Certificates among the credentials: what cannot be used is told when the connector is made, and is not quoted."""

from pathlib import Path
from tempfile import gettempdir

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from answering import settings
from certificates import certified
from gateway.connectors.connector import InvalidConnectorSettings
from gateway.connectors.registry import open_connector

OURS, OTHER = certified("gateway"), certified("other")
LOCKED = (
    load_pem_private_key(OURS.key.encode(), None)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    .decode()
)
UNUSUAL = ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        ({"ca_certificate": "no PEM"}, "ca_certificate is not one or more certificates"),
        ({"ca_certificate": ""}, "ca_certificate is not one or more certificates"),
        ({"ca_certificate": OURS.key}, "ca_certificate is not one or more certificates"),
        ({"client_certificate": OURS.certificate}, "are given together"),
        ({"client_key": OURS.key}, "are given together"),
        ({"client_certificate": "no PEM", "client_key": OURS.key}, "client_certificate is not"),
        ({"client_certificate": OURS.certificate, "client_key": "no PEM"}, "client_key is not a private key"),
        ({"client_certificate": OURS.certificate, "client_key": OURS.certificate}, "client_key is not a private key"),
        ({"client_certificate": OURS.certificate, "client_key": LOCKED}, "locked with a password"),
        ({"client_certificate": OURS.certificate, "client_key": OTHER.key}, "not the key of the first certificate"),
        ({"client_certificate": OURS.certificate, "client_key": UNUSUAL}, "not the key of the first certificate"),
        ({"client_certificate": "bí mật", "client_key": OURS.key}, "client_certificate is not"),
    ],
)
def test_certificates_and_keys_that_cannot_be_used_do_not_open(credentials: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidConnectorSettings, match=words) as refusal:
        open_connector(settings("http_json", "https://a.example/", credentials))
    assert "BEGIN" not in str(refusal.value)


def test_certificates_are_only_for_a_url_with_tls() -> None:
    with pytest.raises(InvalidConnectorSettings, match="only be used with an https URL"):
        open_connector(settings("http_json", "http://a.example/", {"ca_certificate": OURS.certificate}))
    options = {"token_url": "https://a.example/token"}
    open_connector(settings("lgsp", "http://a.example/", {"ca_certificate": OURS.certificate}, options=options))


def test_a_certificate_with_those_that_vouch_for_it_opens_and_leaves_nothing_behind() -> None:
    before = set(Path(gettempdir()).glob("gateway-*"))
    chain = {"client_certificate": OURS.certificate + OTHER.certificate, "client_key": OURS.key}
    open_connector(settings("http_json", "https://a.example/", chain))
    assert set(Path(gettempdir()).glob("gateway-*")) <= before
