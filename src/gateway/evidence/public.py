"""The public halves of what the gateway signs with, for whoever verifies it."""

from gateway.evidence.note import log_verifiers
from gateway.keys import Keys


def public_keys(keys: Keys, issuer: str) -> dict[str, list[dict[str, object]]]:
    """The JSON Web Key Set (RFC 7517) that verifies receipts and checkpoints of the log, old keys included.

    The log's have a ``vkey`` besides: the same key as C2SP signed-note has it, with the name of the log.
    """
    verifiers = log_verifiers(keys.log, issuer)
    shown: list[dict[str, object]] = [
        {**key.as_dict(private=False), "kid": key.kid, "alg": "Ed25519", "use": "sig"}
        for key in (*keys.receipts.all, *keys.log.all)
    ]
    for each, verifier in zip(shown[len(keys.receipts.all) :], verifiers, strict=True):
        each["vkey"] = verifier.vkey
    return {"keys": shown}
