"""How a connector knows its upstream, and is known to it, below HTTP: a private CA and a client certificate.

All of it is given in PEM among the credentials. What is wrong with it is told without quoting it.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.connectors.connector import InvalidConnectorSettings

CERTIFICATE, KEY, AUTHORITY = "client_certificate", "client_key", "ca_certificate"
TLS_CREDENTIALS = frozenset({CERTIFICATE, KEY, AUTHORITY})
"""Credentials that any kind of connector may have."""


def tls_of(credentials: Mapping[str, str], *, is_https: bool) -> ssl.SSLContext | None:
    """The TLS of a connector; None where its URL needs none.

    A private CA is trusted instead of those the operating system trusts, not beside them. Raises
    `InvalidConnectorSettings`.
    """
    given = TLS_CREDENTIALS & credentials.keys()
    if not is_https:
        if given:
            raise InvalidConnectorSettings(f"{', '.join(sorted(given))} can only be used with an https URL")
        return None
    authority = credentials.get(AUTHORITY)
    if authority is not None:
        _certificates(AUTHORITY, authority)
    context = ssl.create_default_context(cadata=authority)
    if given & {CERTIFICATE, KEY}:
        if not given >= {CERTIFICATE, KEY}:
            raise InvalidConnectorSettings(f"{CERTIFICATE} and {KEY} are given together")
        _show(context, credentials[CERTIFICATE], credentials[KEY])
    return context


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have the context show a client certificate.

    `ssl` reads keys from files alone, so the key lies there for a moment under a password that is nowhere else.
    """
    chain, private = _certificates(CERTIFICATE, certificate), _private_key(key)
    if _public(chain[0].public_key()) != _public(private.public_key()):
        raise InvalidConnectorSettings(f"{KEY} is not the key of the first certificate in {CERTIFICATE}")
    password = token_hex(32).encode()
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with TemporaryDirectory(prefix="gateway-") as folder:
        path = Path(folder) / "client.pem"
        path.write_bytes(locked + b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        try:
            context.load_cert_chain(path, password=password)
        except ssl.SSLError as error:
            raise InvalidConnectorSettings(f"{CERTIFICATE} and {KEY} cannot be used for TLS") from error


def _certificates(name: str, text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise InvalidConnectorSettings(f"{name} is not one or more certificates in PEM") from error


def _private_key(text: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(text.encode(), password=None)
    except TypeError as error:
        raise InvalidConnectorSettings(f"{KEY} is locked with a password: give it without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidConnectorSettings(f"{KEY} is not a private key in PEM") from error


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
