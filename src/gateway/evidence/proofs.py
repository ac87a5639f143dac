"""Proofs: that an entry is in the log at its place, as a document that is checked with the log's public key alone."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.domain.entry import canonical
from gateway.evidence.merkle import InvalidProof, leaf_hash, root_by_inclusion
from gateway.evidence.note import Checkpoint, Verifier, open_checkpoint


@dataclass(frozen=True, slots=True)
class Proof:
    """An entry, its place, the path from it to a root (RFC 6962), and the signed checkpoint with that root."""

    index: int
    entry: bytes
    path: Sequence[bytes]
    checkpoint: str

    @property
    def leaf(self) -> bytes:
        return leaf_hash(self.entry)

    def verify(self, verifiers: Sequence[Verifier]) -> Checkpoint:
        """That it proves what it says; the checkpoint that it leads to. Raises ``InvalidProof`` or ``InvalidNote``."""
        signed = open_checkpoint(self.checkpoint, verifiers)
        if root_by_inclusion(self.leaf, self.index, signed.size, self.path) != signed.root:
            raise InvalidProof(f"it does not lead to the root that was signed for {signed.size} entries")
        return signed


def proof_shown(proof: Proof) -> dict[str, object]:
    return {
        "index": proof.index,
        "entry": as_json(proof.entry),
        "path": hashes_shown(proof.path),
        "checkpoint": proof.checkpoint,
    }


def as_json(entry: bytes) -> object:
    """An entry's bytes as they are, if they are JSON; else, since somebody changed them, as a text."""
    try:
        msgspec.json.decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return entry.decode("utf-8", "replace")
    return msgspec.Raw(entry)


def hashes_shown(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]


def read_hashes(texts: Sequence[str]) -> list[bytes]:
    """Hashes as they are shown. Raises ``ValueError``."""
    try:
        found = [base64.b64decode(each, validate=True) for each in texts]
    except (binascii.Error, TypeError) as error:
        raise ValueError("not base64") from error
    if any(len(each) != 32 for each in found):
        raise ValueError("not hashes")
    return found


def read_proof(document: Any) -> Proof:
    """A proof as it is shown, whoever wrote its JSON. Raises ``InvalidProof``."""
    try:
        index, checkpoint = document["index"], document["checkpoint"]
        if type(index) is not int or not isinstance(checkpoint, str) or not isinstance(document["entry"], dict):
            raise TypeError("of the wrong type")
        return Proof(index, canonical(document["entry"]), read_hashes(document["path"]), checkpoint)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidProof(f"not a proof: {error}") from error
