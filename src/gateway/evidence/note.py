"""Signed notes and checkpoints, as C2SP has them (signed-note, tlog-checkpoint, tlog-cosignature).

A note is text, an empty line and signature lines. A checkpoint is a note whose text says of a log, by the name that is
its *origin*, how many entries it has and what their root is. A *vkey* is a public key as text, with the name it is for.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import OKPKey

if TYPE_CHECKING:
    from gateway.keys import SigningKeys  # brings the settings along, which a verifier has none of


_ED25519, _COSIGNATURE = 1, 4
"""Types of signature (C2SP signed-note): Ed25519 over the text, and over the text with a time."""
_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/]+={0,2})\Z")
_MOST_BYTES = 1_000_000


class InvalidNote(ValueError):
    """Not a signed note, or not signed as it should be; the message says what."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: whose it says it is, and what they wrote."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note, nothing of which has been verified yet. ``text`` ends with a line end."""

    text: str
    signatures: Sequence[Signature]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: how many entries a log has, and their root; ``at``: when it was signed, if known."""

    origin: str
    size: int
    root: bytes
    at: datetime | None = None

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with the name that it is for (a vkey)."""

    name: str
    kind: int
    key: Ed25519PublicKey

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, self.kind, self.key)

    @property
    def vkey(self) -> str:
        encoded = base64.b64encode(bytes([self.kind]) + self.key.public_bytes_raw()).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def verify(self, note: Note) -> datetime | None:
        """That a note has a good signature of this key; the time that a cosignature bears. Raises ``InvalidNote``."""
        mine = [each for each in note.signatures if (each.name, each.key_id) == (self.name, self.key_id)]
        if not mine:
            raise InvalidNote(f"not signed by {self.name}")
        at, message, value = None, note.text.encode(), mine[0].value
        if self.kind == _COSIGNATURE:
            if len(value) != 72:
                raise InvalidNote(f"the cosignature of {self.name} has the wrong length")
            seconds, value = int.from_bytes(value[:8]), value[8:]
            message = f"cosignature/v1\ntime {seconds}\n".encode() + message
            at = _moment(seconds)
        try:
            self.key.verify(value, message)
        except InvalidSignature as error:
            raise InvalidNote(f"the signature of {self.name} is wrong") from error
        return at


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise InvalidNote("the time of a cosignature is none") from error


def key_id(name: str, kind: int, key: Ed25519PublicKey) -> bytes:
    """The four bytes by which a signature line says whose it is."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key.public_bytes_raw()).digest()[:4]


def read_vkey(text: str) -> Verifier:
    """A public key given as text. Raises ``InvalidNote``."""
    try:
        name, identity, encoded = text.strip().split("+", 2)
        content = base64.b64decode(encoded, validate=True)
        found = Verifier(name, content[0], Ed25519PublicKey.from_public_bytes(content[1:]))
    except (ValueError, IndexError, binascii.Error) as error:
        raise InvalidNote("not a vkey: NAME+HASH+KEY") from error
    if found.kind not in {_ED25519, _COSIGNATURE} or not name or found.key_id.hex() != identity:
        raise InvalidNote("not a vkey: its parts do not agree, or its kind is not supported")
    return found


def origin_of(issuer: str) -> str:
    """The name of an issuer's log: its public address without the scheme (C2SP tlog-checkpoint, origin)."""
    parts = urlsplit(issuer)
    return re.sub(r"[\s+]", "_", f"{parts.netloc}{parts.path.rstrip('/')}/log")


def read_note(text: str) -> Note:
    """A note's text and signature lines. Raises ``InvalidNote``."""
    if len(text) > _MOST_BYTES:
        raise InvalidNote("too long for a note")
    before, separator, after = text.rpartition("\n\n")
    lines = after.removesuffix("\n").split("\n")
    if not separator or not after.endswith("\n") or not all(lines):
        raise InvalidNote("not a signed note: it has no signature lines")
    return Note(before + "\n", [_signature(line) for line in lines])


def _signature(line: str) -> Signature:
    found = _LINE.match(line)
    try:
        content = base64.b64decode(found[2], validate=True) if found else b""
    except binascii.Error:
        content = b""
    if found is None or len(content) <= 4:
        raise InvalidNote("not a signature line: — NAME SIGNATURE")
    return Signature(found[1], content[:4], content[4:])


def line_of(signature: Signature) -> str:
    return f"— {signature.name} {base64.b64encode(signature.key_id + signature.value).decode()}\n"


def read_checkpoint(note: Note) -> Checkpoint:
    """What a note says as a checkpoint; lines after the third are extensions, and let be. Raises ``InvalidNote``."""
    lines = note.text.split("\n")
    try:
        origin, size, root = lines[:3]
        found = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error) as error:
        raise InvalidNote("not a checkpoint: origin, size and root") from error
    if not origin or str(found.size) != size or found.size < 0 or len(found.root) != 32:
        raise InvalidNote("not a checkpoint: origin, size and root")
    return found


class LogSigner:
    """Signs checkpoints of the log of ``issuer``, with the newest of its keys: once as the log, and once with the time.

    The second is a cosignature of the log's own, which bears the time inside what is signed. Who knows no cosignatures
    passes over it.
    """

    def __init__(self, keys: "SigningKeys", issuer: str) -> None:
        self.origin = origin_of(issuer)
        self._keys, self._issuer = keys, issuer

    @property
    def verifiers(self) -> list[Verifier]:
        """The public keys, the newest last."""
        return log_verifiers(self._keys, self._issuer)

    def open_own(self, text: str) -> Checkpoint:
        """What a checkpoint says that one of these keys signed, by whatever name the log had then.

        The name is the issuer's address, which may change while the log goes on. Raises ``InvalidNote``.
        """
        origin = read_checkpoint(read_note(text)).origin
        return open_checkpoint(text, [replace(each, name=origin) for each in self.verifiers])

    def sign(self, size: int, root: bytes, at: datetime) -> str:
        """The signed checkpoint of a tree, at a time."""
        key = self._keys.current.get_op_key("sign")  # asked for anew: keys change while a sealer runs
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("checkpoints are signed with Ed25519")
        text = Checkpoint(self.origin, size, root).text
        values = {_ED25519: key.sign(text.encode()), _COSIGNATURE: cosign(text, key, at)}
        signed = (
            Signature(self.origin, key_id(self.origin, kind, key.public_key()), value) for kind, value in values.items()
        )
        return f"{text}\n{''.join(line_of(each) for each in signed)}"


def cosign(text: str, key: Ed25519PrivateKey, at: datetime) -> bytes:
    """A signature of a note's text with the time (C2SP tlog-cosignature, cosignature/v1)."""
    seconds = int(at.timestamp())
    return seconds.to_bytes(8) + key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())


def log_verifiers(keys: "SigningKeys", issuer: str) -> list[Verifier]:
    """The public keys of the log of ``issuer``, the newest last."""
    origin = origin_of(issuer)
    return [_verifier(origin, key) for key in keys.all]


def _verifier(origin: str, key: OKPKey) -> Verifier:
    public = key.public_key
    if not isinstance(public, Ed25519PublicKey):
        raise TypeError("the log's keys are Ed25519")
    return Verifier(origin, _ED25519, public)


def vkeys(document: Mapping[str, object]) -> list[Verifier]:
    """The log's public keys in a gateway's JSON Web Key Set: members with a ``vkey``. Raises ``InvalidNote``."""
    members = document.get("keys")
    if not isinstance(members, list):
        raise InvalidNote("not a JSON Web Key Set")
    return [read_vkey(str(each["vkey"])) for each in members if isinstance(each, dict) and "vkey" in each]


def open_checkpoint(text: str, verifiers: Iterable[Verifier]) -> Checkpoint:
    """What a checkpoint says, if one of the log's own keys signed it. Raises ``InvalidNote``."""
    note = read_note(text)
    found = read_checkpoint(note)
    own = [each for each in verifiers if each.name == found.origin]
    if not own:
        raise InvalidNote(f"of a log that no key given is for: {found.origin}")
    failure = InvalidNote("not signed")
    for each in own:
        try:
            each.verify(note)
            timed = replace(each, kind=_COSIGNATURE)
            at = timed.verify(note) if any(line.key_id == timed.key_id for line in note.signatures) else None
        except InvalidNote as error:
            failure = error
            continue
        return replace(found, at=at)
    raise failure
