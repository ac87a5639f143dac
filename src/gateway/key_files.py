"""Key files: what they are for, how they are called, how one is made, and what is wrong with those of production.

A name holds the time a key was made at (``receipt-20261129T230000Z.pem``): the last name in order is the newest key. A
new one is read by every process before any begins to sign with it: until then it only verifies.
"""

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.fernet import Fernet
from joserfc.jwk import OKPKey

from gateway.errors import Hindrance

DEVELOPMENT = "-development"
"""At the end of the names of keys that were made without anybody asking for them."""
TAKEN_UP = timedelta(seconds=30)
"""How long a new key is only read: every process looks for new ones every five seconds."""
_MADE_AT = re.compile(r"-(\d{8}T\d{6}Z)")


class MissingKeys(Hindrance):
    """There are no keys where there must be, or they may not be used; the message says which and where."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What keys of a kind are for, how their files end, and how one is made."""

    words: str
    suffix: str
    make: Callable[[], bytes]
    signs: bool = True


def _signing_key() -> bytes:
    return OKPKey.generate_key("Ed25519").as_pem(private=True)


PURPOSES: Mapping[str, Purpose] = {
    "receipt": Purpose("sign receipts", ".pem", _signing_key),
    "log": Purpose("sign checkpoints of the log", ".pem", _signing_key),
    "token": Purpose("sign access tokens", ".pem", _signing_key),
    "encryption": Purpose("encrypt credentials of connectors", ".key", Fernet.generate_key, signs=False),
}
"""Every kind of key the gateway has."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key file."""

    path: Path
    purpose: str

    @property
    def made_at(self) -> datetime | None:
        """When it was made, by its name; None for a name that does not say."""
        found = _MADE_AT.search(self.path.stem)
        try:
            return datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if found else None
        except ValueError:
            return None

    @property
    def used_from(self) -> float:
        """Since when it is used and not only read, in seconds since 1970."""
        made_at = self.made_at
        return 0.0 if made_at is None else (made_at + TAKEN_UP).timestamp()

    @property
    def is_of_development(self) -> bool:
        return self.path.stem.endswith(DEVELOPMENT)


def key_files(directory: Path, purpose: str) -> list[KeyFile]:
    """The key files of a purpose, the newest last."""
    pattern = f"{purpose}-*{PURPOSES[purpose].suffix}"
    return [KeyFile(path, purpose) for path in sorted(directory.glob(pattern))]


def make_key(directory: Path, purpose: str, at: datetime, *, in_development: bool = False) -> KeyFile:
    """A new key file, the newest of its purpose, which its owner alone may read. Raises ``MissingKeys``."""
    mark = DEVELOPMENT if in_development else ""
    path = directory / f"{purpose}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}{mark}{PURPOSES[purpose].suffix}"
    newest = [each.path.name for each in key_files(directory, purpose)][-1:]
    if newest and newest[0] >= path.name:
        raise MissingKeys(f"{directory / newest[0]} would stay the last in order: a new key would never be used")
    # Written aside and renamed, so that a killed process leaves no half of a key.
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(PURPOSES[purpose].make())
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.rename(path)
    return KeyFile(path, purpose)


def unfit_keys(directory: Path, purposes: Collection[str] = tuple(PURPOSES)) -> Iterator[str]:
    """Why the keys of a directory may not be used in production, each a sentence."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        yield f"GATEWAY_KEYS_DIR {directory} cannot be read or does not exist; production does not make keys by itself."
        return
    if may_be_written(directory, mode):
        yield f"{directory} can be written by others than its owner (chmod 700)."
    for purpose in purposes:
        found = key_files(directory, purpose)
        if not found:
            yield f"{directory} holds no {purpose} key: gateway keys rotate {purpose} makes one."
        for each in found:
            yield from _unfit(each)


def may_be_written(directory: Path, mode: int) -> bool:
    """Whether others than its owner may put files into a directory of that mode: not where it is mounted read-only."""
    return bool(mode & (stat.S_IWGRP | stat.S_IWOTH)) and not os.statvfs(directory).f_flag & os.ST_RDONLY


def _unfit(file: KeyFile) -> Iterator[str]:
    if file.is_of_development:
        yield f"{file.path} was made in development: make another with gateway keys rotate {file.purpose}."
    try:
        mode = file.path.stat().st_mode
        file.path.open("rb").close()
    except OSError as error:
        yield f"{file.path} cannot be read: {error.strerror}."
        return
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        yield f"{file.path} can be read by everybody, or written by its group (chmod 600)."
