"""What a verifier runs, offline and with the gateway's public keys alone: of a receipt, its proof, and a whole log."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.domain.exact import decode
from gateway.errors import Hindrance
from gateway.evidence.audit import Audited, audit
from gateway.evidence.held import Held, Keys, NotHeld, Receipt, hold, require_same
from gateway.evidence.merkle import InvalidProof
from gateway.evidence.note import Checkpoint, InvalidNote, vkeys
from gateway.evidence.proofs import read_proof
from gateway.evidence.reading import NotAnExport
from gateway.evidence.receipts import InvalidReceipt, key_set, verify_receipt


class CannotVerify(Hindrance):
    """Something is not genuine, or cannot be read; the message says what."""


def read_public_keys(files: Sequence[Path]) -> Keys:
    """The gateway's public keys, of files as it publishes or published them. Raises ``CannotVerify``."""
    members = []
    for file in files:
        try:
            document = decode(_read(file))
            key_set(document), vkeys(document)
        except ValueError as error:
            raise CannotVerify(f"{file}: {error}") from error
        members += document["keys"]
    return Keys(key_set({"keys": members}), vkeys({"keys": members}))


def verify_one(receipt: str, keys: Keys, payload: Path | None) -> Receipt:
    """A receipt, given as itself or as a file. Raises ``CannotVerify`` unless it is genuine."""
    given = Path(receipt)
    text = given.read_text(encoding="utf-8") if len(receipt) < 255 and given.exists() else receipt
    text = _within(text.strip())
    try:
        claims: dict[str, Any] = verify_receipt(text, keys.receipts)
    except (InvalidReceipt, ValueError) as error:
        raise CannotVerify(f"not genuine: {error}") from error
    if payload is not None and hashlib.sha256(_read(payload)).hexdigest() != claims["sha256"]:
        raise CannotVerify(f"genuine, but not for the bytes of {payload}")
    return Receipt(claims, text)


def _within(text: str) -> str:
    """The receipt in the answer to a push; anything else as it is."""
    if not text.startswith("{"):
        return text
    try:
        return str(decode(text.encode())["receipt"])
    except (ValueError, KeyError) as error:
        raise CannotVerify("not a receipt, nor an answer that holds one") from error


def verify_proof(file: Path, receipt: Receipt | None, keys: Keys) -> tuple[int, Checkpoint]:
    """The place in the log that a proof shows, and the checkpoint it leads to. Raises ``CannotVerify``.

    With a receipt, that it is the place of just that report.
    """
    try:
        proof = read_proof(decode(_read(file)))
        signed = proof.verify(keys.log)
        if receipt is not None:
            require_same(receipt, proof, signed)
    except (InvalidNote, InvalidProof, ValueError) as error:
        raise CannotVerify(f"{file} proves nothing: {error}") from error
    return proof.index, signed


def verify_log(export: str, held: Sequence[Path], keys: Keys) -> Audited:
    """What is wrong with a log, by its export (a file, or ``-``) and what is held. Raises ``CannotVerify``."""
    found = read_held(held, keys)
    try:
        return _audited(export, found, keys)
    except (NotAnExport, OSError) as error:
        raise CannotVerify(f"{export}: {error}") from error


def read_held(held: Sequence[Path], keys: Keys) -> Held:
    """What is held of a log, of files and folders. Raises ``CannotVerify`` for what proves nothing."""
    try:
        return hold(_texts(held), keys)
    except NotHeld as error:
        raise CannotVerify(f"held, but not genuine: {error}") from error


def _audited(export: str, held: Held, keys: Keys) -> Audited:
    if export != "-":
        return audit(lambda: _lines(Path(export)), keys.log, held)
    with tempfile.NamedTemporaryFile() as copy:  # it may have to be read twice
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        return audit(lambda: _lines(Path(copy.name)), keys.log, held)


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb", buffering=1024 * 1024) as lines:
        yield from lines


def _texts(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The files that are given, and those in folders that are."""
    for path in paths:
        for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
            yield str(file), _read(file).decode("utf-8", "replace")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CannotVerify(f"{file}: {error.strerror}") from error
