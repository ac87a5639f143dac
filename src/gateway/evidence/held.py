"""What somebody outside holds of a log: receipts, proofs and checkpoints, told apart by what they look like."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import KeySet

from gateway.domain.exact import decode
from gateway.evidence.merkle import InvalidProof
from gateway.evidence.note import Checkpoint, InvalidNote, Verifier, open_checkpoint, origin_of
from gateway.evidence.proofs import Proof, read_proof
from gateway.evidence.receipts import InvalidReceipt, verify_receipt


class NotHeld(ValueError):
    """Something that is held is none of the three, or is not genuine: it says nothing about the log."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A genuine receipt: what it says, and its own text."""

    claims: dict[str, Any]
    text: str


@dataclass(slots=True)
class Held:
    """All that is held, each with the name it is known by. Every signature has been verified."""

    receipts: list[tuple[str, Receipt]] = field(default_factory=list)
    proofs: list[tuple[str, Proof]] = field(default_factory=list)
    checkpoints: list[tuple[str, Checkpoint]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.receipts) + len(self.proofs) + len(self.checkpoints)


@dataclass(frozen=True, slots=True)
class Keys:
    """The gateway's public keys: those of receipts, and those of its log."""

    receipts: KeySet
    log: Sequence[Verifier]


def hold(texts: Iterable[tuple[str, str]], keys: Keys) -> Held:
    """Take in what is held, each a text with a name. Raises ``NotHeld`` for what proves nothing."""
    held = Held()
    for name, text in texts:
        for part in _parts(text):
            try:
                _take(held, name, part, keys)
            except (InvalidNote, InvalidProof, InvalidReceipt) as error:
                raise NotHeld(f"{name}: {error}") from error
    return held


def _parts(text: str) -> Iterator[str]:
    """A checkpoint or a JSON document is one; receipts may be many, one a line."""
    if text.lstrip().startswith("{") or "\n— " in text:
        yield text
    else:
        yield from (line.strip() for line in text.splitlines() if line.strip())


def _take(held: Held, name: str, text: str, keys: Keys) -> None:
    if "\n— " in text and not text.lstrip().startswith("{"):
        held.checkpoints.append((name, open_checkpoint(text, keys.log)))
        return
    if not text.startswith("{"):
        held.receipts.append((name, Receipt(verify_receipt(text, keys.receipts), text)))
        return
    try:
        document = decode(text.encode())
    except ValueError as error:
        raise InvalidProof("not JSON") from error
    answers = document.get("parts", [document])  # of a file with several reports
    given = [each["receipt"] for each in answers if isinstance(each, dict) and isinstance(each.get("receipt"), str)]
    if given or "parts" in document:
        held.receipts += [(name, Receipt(verify_receipt(each, keys.receipts), each)) for each in given]
    else:
        proof = read_proof(document)
        held.checkpoints.append((name, proof.verify(keys.log)))
        held.proofs.append((name, proof))


def differing(receipt: Receipt, entry: dict[str, Any]) -> list[str]:
    """In which of its claims a receipt and the log's entry of its report differ."""
    shared = ("report", "sha256", "agency", "form", "period", "kind", "revision")
    found = [name for name in shared if receipt.claims.get(name) != entry.get(name)]
    if receipt.claims.get("received_at") != entry.get("at"):
        found.append("received_at")
    return found


def require_same(receipt: Receipt, proof: Proof, signed: Checkpoint) -> None:
    """That a proof, which is good, is for the report of a receipt. Raises ``InvalidProof``."""
    if origin_of(str(receipt.claims["iss"])) != signed.origin:
        raise InvalidProof(f"it is of another log than the receipt's: {signed.origin}")
    if wrong := differing(receipt, decode(proof.entry)):
        raise InvalidProof(f"its entry is not what the receipt says: {', '.join(wrong)}")
