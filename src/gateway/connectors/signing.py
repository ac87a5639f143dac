"""Signatures of Standard Webhooks 1.0, by which a receiver knows that a message is ours and new."""

import base64
import binascii
import hmac
from datetime import datetime
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.connectors.connector import InvalidConnectorSettings

SigningKey: TypeAlias = bytes | Ed25519PrivateKey
"""A secret that both sides know, or a private key of which the receiver knows the public one."""

_SECRET, _PRIVATE = "whsec_", "whsk_"
_SHORTEST_SECRET = 24
"""Bytes: the least that Standard Webhooks allows a shared secret to have."""
_SEED = 32
"""Bytes of an Ed25519 private key (RFC 8032). Many write the 32 of its public key after them."""


def signing_keys(secrets: str) -> list[SigningKey]:
    """The keys of one or more secrets with spaces between them: the receiver may know any of them.

    Raises `InvalidConnectorSettings`, which quotes nothing.
    """
    return [_signing_key(each) for each in secrets.split(" ")]


def signatures(keys: list[SigningKey], identity: str, at: datetime, body: bytes) -> str:
    """The value of `webhook-signature`: one signature a key, with spaces between them."""
    return " ".join(signature(key, identity, at, body) for key in keys)


def signature(key: SigningKey, identity: str, at: datetime, body: bytes) -> str:
    """Over `id.timestamp.body`: HMAC-SHA256 by a secret, version `v1`; Ed25519 by a private key, `v1a`."""
    signed = f"{identity}.{int(at.timestamp())}.".encode() + body
    if isinstance(key, bytes):
        return f"v1,{_base64(hmac.digest(key, signed, 'sha256'))}"
    return f"v1a,{_base64(key.sign(signed))}"


def _signing_key(secret: str) -> SigningKey:
    if secret.startswith(_PRIVATE):
        return _private_key(_bytes(secret.removeprefix(_PRIVATE)))
    key = _bytes(secret.removeprefix(_SECRET))
    if not secret.startswith(_SECRET) or len(key) < _SHORTEST_SECRET:
        raise InvalidConnectorSettings(
            f"signing_secret is {_SECRET} and at least {_SHORTEST_SECRET} bytes in base64, or {_PRIVATE} and a private"
            " key, or several of these with a space between them"
        )
    return key


def _private_key(key: bytes) -> Ed25519PrivateKey:
    """Of the seed alone, or of the seed and then its public key, which is how Svix writes it."""
    if len(key) in {_SEED, 2 * _SEED}:
        private = Ed25519PrivateKey.from_private_bytes(key[:_SEED])
        if key[_SEED:] in {b"", private.public_key().public_bytes_raw()}:
            return private
    raise InvalidConnectorSettings(
        f"signing_secret: {_PRIVATE} goes before {_SEED} bytes of an Ed25519 private key in base64, or those and its"
        " own public key"
    )


def _bytes(text: str) -> bytes:
    """Empty where the text is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
