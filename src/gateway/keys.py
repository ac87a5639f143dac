"""The gateway's keys: files in one directory, never in the database.

``receipt-*.pem`` sign receipts, ``log-*.pem`` checkpoints of the log, ``token-*.pem`` access tokens (all Ed25519,
PKCS #8), ``encryption-*.key`` encrypt upstream credentials. The newest is in use once every process has read it; older
ones stay for verifying. The directory is looked at every few seconds, so that new keys are taken up, and removed ones
dropped, without a restart.
"""

import asyncio
import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography.fernet import Fernet, MultiFernet
from joserfc.jwk import KeySet, OKPKey

from gateway.key_files import PURPOSES, KeyFile, MissingKeys, key_files, make_key, unfit_keys
from gateway.settings import Settings

__all__ = ["Keys", "MissingKeys", "Secrets", "SigningKeys", "load_keys"]

_LOOK_SECONDS = 5.0

log = structlog.get_logger()


class SigningKeys:
    """Keys of one purpose, the newest last; ``since`` is when each may be signed with, in seconds since 1970."""

    def __init__(self, keys: Sequence[OKPKey], since: Sequence[float] = ()) -> None:
        self.all = tuple(keys)
        self._since = tuple(since) or (0.0,) * len(self.all)
        self.generation = 0
        """Counts how often the keys have changed."""

    @property
    def current(self) -> OKPKey:
        """The one to sign with: the newest that every process has had time to read."""
        if len(self.all) > 1:
            now = time.time()
            for key, since in zip(reversed(self.all), reversed(self._since), strict=True):
                if since <= now:
                    return key
        return self.all[0]

    @property
    def set(self) -> KeySet:
        return KeySet(list(self.all))

    def become(self, other: "SigningKeys") -> None:
        """Be what was read anew."""
        if [each.kid for each in self.all] != [each.kid for each in other.all]:
            self.generation += 1
        self.all, self._since = other.all, other._since


class Secrets(MultiFernet):
    """Encrypts with the newest key that every process has had time to read, and decrypts with any."""

    def __init__(self, keys: Sequence[Fernet], since: Sequence[float] = ()) -> None:
        super().__init__(keys[::-1])
        self._keys, self._since = tuple(keys), tuple(since) or (0.0,) * len(keys)

    def encrypt(self, msg: bytes) -> bytes:
        now = time.time()
        usable = [key for key, since in zip(self._keys, self._since, strict=True) if since <= now]
        return (usable or self._keys[:1])[-1].encrypt(msg)

    def become(self, other: "Secrets") -> None:
        """Be what was read anew."""
        self._keys, self._since, self._fernets = other._keys, other._since, other._fernets


@dataclass(slots=True)
class Keys:
    """Everything the gateway signs and encrypts with."""

    receipts: SigningKeys
    tokens: SigningKeys
    log: SigningKeys
    secrets: Secrets
    settings: Settings | None = field(default=None, repr=False)
    seen: tuple[tuple[str, int], ...] = field(default=(), repr=False)

    def look(self) -> bool:
        """Take up keys that are new, and drop those that are gone; whether anything had changed.

        Keys that cannot be read, or may not be used, change nothing, and are told in the log.
        """
        if self.settings is None or (seen := _seen(self.settings.keys)) == self.seen:
            return False
        self.seen = seen
        try:
            found = load_keys(self.settings)
        except (MissingKeys, OSError, ValueError) as error:
            log.error("keys could not be read anew", reason=str(error))
            return False
        self.receipts.become(found.receipts)
        self.tokens.become(found.tokens)
        self.log.become(found.log)
        self.secrets.become(found.secrets)
        log.info("keys read anew", receipts=len(self.receipts.all), tokens=len(self.tokens.all))
        return True

    async def follow(self) -> None:
        """Look for new keys every few seconds, for as long as this runs."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()


def load_keys(settings: Settings) -> Keys:
    """Read the keys; in development, make those that are missing. Raises ``MissingKeys`` in production."""
    directory = settings.keys
    may_make = settings.mode == "development"
    if may_make:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif unfit := list(unfit_keys(directory)):
        raise MissingKeys(" ".join(unfit))
    with _lock(directory, may_make):
        if may_make:
            for purpose in PURPOSES:
                if not key_files(directory, purpose):
                    make_key(directory, purpose, datetime.now(UTC), in_development=True)
        seen = _seen(directory)
        encryption = key_files(directory, "encryption")
        return Keys(
            receipts=_signing_keys(directory, "receipt"),
            tokens=_signing_keys(directory, "token"),
            log=_signing_keys(directory, "log"),
            secrets=Secrets([Fernet(each.path.read_bytes()) for each in encryption], _used_from(encryption)),
            settings=settings,
            seen=seen,
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


def _seen(directory: Path) -> tuple[tuple[str, int], ...]:
    """The key files of a directory, so that a change of them is noticed; empty where it cannot be read."""
    try:
        found = [each.path for purpose in PURPOSES for each in key_files(directory, purpose)]
        return tuple((path.name, path.stat().st_mtime_ns) for path in found)
    except OSError:
        return ()


def _used_from(files: Sequence[KeyFile]) -> list[float]:
    return [each.used_from for each in files]


def _signing_keys(directory: Path, purpose: str) -> SigningKeys:
    files = key_files(directory, purpose)
    keys = [OKPKey.import_key(each.path.read_bytes()) for each in files]
    named = [OKPKey.import_key(key.as_pem(private=True), {"kid": key.thumbprint()}) for key in keys]
    return SigningKeys(named, _used_from(files))
