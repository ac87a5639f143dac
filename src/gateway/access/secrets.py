"""Client secrets: 256 random bits, so that a plain SHA-256 is enough to keep them by."""

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """A secret for a new client, shown once."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def matches(secret: str, kept: bytes) -> bool:
    """Whether a secret is the one kept, in constant time."""
    return hmac.compare_digest(secret_hash(secret), kept)
