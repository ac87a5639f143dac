"""The gateway's keys: files in one directory, never in the database.

``receipt-*.pem`` sign receipts, ``log-*.pem`` checkpoints of the log, ``token-*.pem`` access tokens (all Ed25519,
PKCS #8), ``encryption-*.key`` encrypt upstream credentials. The last name in order is the one in use; older ones
stay for verifying.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet
from joserfc.jwk import KeySet, OKPKey

from gateway.settings import Settings


class MissingKeys(RuntimeError):
    """Production is asked to start without its keys; the message says which and where."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Keys of one purpose, the one in use last."""

    all: tuple[OKPKey, ...]

    @property
    def current(self) -> OKPKey:
        return self.all[-1]

    @property
    def set(self) -> KeySet:
        return KeySet(list(self.all))


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything the gateway signs and encrypts with."""

    receipts: SigningKeys
    tokens: SigningKeys
    log: SigningKeys
    secrets: MultiFernet


def load_keys(settings: Settings) -> Keys:
    """Read the keys; in development, make those that are missing. Raises ``MissingKeys`` in production."""
    directory = settings.keys
    may_make = settings.mode == "development"
    if may_make:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not directory.is_dir():
        raise MissingKeys(f"GATEWAY_KEYS_DIR {directory} does not exist; production does not make keys")
    with _lock(directory, may_make):
        return Keys(
            receipts=_signing_keys(directory, "receipt", may_make),
            tokens=_signing_keys(directory, "token", may_make),
            log=_signing_keys(directory, "log", may_make),
            secrets=MultiFernet(
                [Fernet(path.read_bytes()) for path in _files(directory, "encryption", ".key", may_make)][::-1]
            ),
        )


@contextmanager
def _lock(directory: Path, may_make: bool) -> Iterator[None]:
    """One process at a time makes keys; a read-only directory in production needs no lock."""
    if not may_make:
        yield
        return
    with (directory / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _signing_keys(directory: Path, purpose: str, may_make: bool) -> SigningKeys:
    keys = []
    for path in _files(directory, purpose, ".pem", may_make):
        key = OKPKey.import_key(path.read_bytes())
        keys.append(OKPKey.import_key(path.read_bytes(), {"kid": key.thumbprint()}))
    return SigningKeys(tuple(keys))


_MAKERS: dict[str, Callable[[], bytes]] = {
    ".pem": lambda: OKPKey.generate_key("Ed25519").as_pem(private=True),
    ".key": Fernet.generate_key,
}


def _files(directory: Path, purpose: str, suffix: str, may_make: bool) -> list[Path]:
    pattern = f"{purpose}-*{suffix}"
    found = sorted(directory.glob(pattern))
    if found:
        return found
    if not may_make:
        raise MissingKeys(f"{directory} holds no {pattern}; production does not make keys")
    path = directory / f"{purpose}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{suffix}"
    # Written aside and renamed, so that a killed process leaves no half of a key.
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_bytes(_MAKERS[suffix]())
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.rename(path)
    return [path]
