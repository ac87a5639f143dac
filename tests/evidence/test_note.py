"""Signed notes and checkpoints as C2SP has them, by the examples of its texts and by what must be refused."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from gateway.evidence.merkle import EMPTY_ROOT
from gateway.evidence.note import (
    InvalidNote,
    LogSigner,
    Signature,
    Verifier,
    line_of,
    open_checkpoint,
    origin_of,
    read_checkpoint,
    read_note,
    read_vkey,
)
from gateway.keys import SigningKeys

# The example of golang.org/x/mod/sumdb/note, on which C2SP signed-note is built.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
AT = datetime(2026, 9, 20, 2, 15, 8, tzinfo=UTC)


def keys(count: int = 1) -> SigningKeys:
    return SigningKeys(tuple(OKPKey.generate_key("Ed25519", auto_kid=True) for _ in range(count)))


def test_the_published_example_verifies() -> None:
    verifier = read_vkey(PETER)
    verifier.verify(read_note(NOTE))
    assert verifier.vkey == PETER
    with pytest.raises(InvalidNote, match="wrong"):
        verifier.verify(read_note(NOTE.replace("answer", "Answer")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no signature\n",
        "text\n\n",
        NOTE.rstrip("\n"),
        NOTE.replace("—", "-"),
        NOTE.replace("PeterNeumann x08", "PeterNeumann ?08"),
        NOTE + "\n",
        "text\n\n— name AAAA\n",
    ],
)
def test_what_is_no_signed_note_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        read_note(text)


@pytest.mark.parametrize(
    "text", ["", "a+b", PETER.replace("c74f20a3", "c74f20a4"), PETER.replace("+AR", "+AQ"), "a+b+c"]
)
def test_what_is_no_vkey_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        read_vkey(text)


@pytest.mark.parametrize(
    "text", ["a\n1\n", "a\n01\nAAAA\n", "a\n-1\nAAAA\n", "a\n1\nAAAA\n", "\n1\n" + base64.b64encode(bytes(32)).decode()]
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        read_checkpoint(read_note(f"{text}\n\n— a AAAAAAAAAAA=\n"))


def test_a_checkpoint_says_its_origin_size_and_root_and_when_it_was_signed() -> None:
    signer = LogSigner(keys(), "https://gateway.example/tỉnh/")
    note = signer.sign(0, EMPTY_ROOT, AT)
    assert note.startswith("gateway.example/tỉnh/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— ")
    found = open_checkpoint(note, signer.verifiers)
    assert (found.origin, found.size, found.root, found.at) == (
        origin_of("https://gateway.example/tỉnh"),
        0,
        EMPTY_ROOT,
        AT,
    )


def test_a_checkpoint_is_the_logs_own_only_with_a_key_of_that_log() -> None:
    own = keys(2)
    signer = LogSigner(own, "https://gateway.example")
    note = signer.sign(3, EMPTY_ROOT, AT)
    open_checkpoint(note, signer.verifiers)
    open_checkpoint(note + line_of(Signature("somebody", b"1234", b"else")), signer.verifiers)
    others = LogSigner(keys(), "https://gateway.example").verifiers
    elsewhere = [Verifier("other/log", each.kind, each.key) for each in signer.verifiers]
    for wrong in (others, elsewhere, [], signer.verifiers[:1]):
        with pytest.raises(InvalidNote):
            open_checkpoint(note, wrong)
    changed = note.replace("\n3\n", "\n4\n")
    with pytest.raises(InvalidNote):
        open_checkpoint(changed, signer.verifiers)


def test_an_old_key_goes_on_verifying_what_it_signed() -> None:
    both = keys(2)
    before = LogSigner(SigningKeys(both.all[:1]), "https://gateway.example").sign(1, EMPTY_ROOT, AT)
    assert open_checkpoint(before, LogSigner(both, "https://gateway.example").verifiers).size == 1


def test_a_cosignature_of_the_wrong_length_or_time_is_none() -> None:
    key = Ed25519PrivateKey.generate()
    verifier = Verifier("w", 4, key.public_key())
    for value in (b"short", bytes([255] * 8) + bytes(64)):
        with pytest.raises(InvalidNote):
            verifier.verify(read_note(f"text\n\n{line_of(Signature('w', verifier.key_id, value))}"))
