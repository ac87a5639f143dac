"""Public keys of clients: which are taken, each with the one algorithm that signatures of it may have.

The algorithm is the key's, never what the header of a signature says it is (RFC 8725, 3.1).
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.errors import Place, Text

MOST_KEYS = 20
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
_PUBLIC = ("kty", "crv", "x", "y", "n", "e")
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

Key = OKPKey | ECKey | RSAKey


class InvalidKeys(Exception):
    """A key set that cannot be taken, with every place that is wrong."""

    def __init__(self, places: list[Place]) -> None:
        super().__init__(places[0].message.en)
        self.places = places


def pinned(key_set: object) -> list[dict[str, str]]:
    """The keys of a JSON Web Key Set (RFC 7517): public halves, each with ``kid`` and the ``alg`` taken of it.

    Raises ``InvalidKeys``; nothing of a private key is repeated in it.
    """
    keys = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS:
        message = Text(f"Cần từ 1 đến {MOST_KEYS} khóa trong keys.", f"keys must hold 1 to {MOST_KEYS} keys.")
        raise InvalidKeys([Place("/keys", message)])
    found: dict[str, dict[str, str]] = {}
    wrong: list[Place] = []
    for index, given in enumerate(keys):
        taken = _pinned(given)
        if isinstance(taken, Text):
            wrong.append(Place(f"/keys/{index}", taken))
        elif taken["kid"] in found:
            wrong.append(Place(f"/keys/{index}/kid", Text("kid bị trùng.", "Another key has this kid.")))
        else:
            found[taken["kid"]] = taken
    if wrong:
        raise InvalidKeys(wrong)
    return list(found.values())


def usable(key_set: object) -> list[dict[str, str]]:
    """The keys of a fetched set that can be taken; those of other kinds and uses are its owner's business."""
    keys = key_set.get("keys") if isinstance(key_set, dict) else None
    taken = [_pinned(each) for each in keys[:MOST_KEYS]] if isinstance(keys, list) else []
    return list({each["kid"]: each for each in taken if isinstance(each, dict)}.values())


def import_pinned(key: Mapping[str, str]) -> Key:
    """The key that ``pinned`` described."""
    public: dict[str, str | list[str]] = {name: value for name, value in key.items() if name in _PUBLIC}
    match key["kty"]:
        case "OKP":
            return OKPKey.import_key(public)
        case "EC":
            return ECKey.import_key(public)
        case _:
            return RSAKey.import_key(public)


def _pinned(given: object) -> dict[str, str] | Text:
    if not isinstance(given, dict):
        return Text("Khóa phải là một đối tượng.", "A key must be an object.")
    if _PRIVATE & given.keys():
        return Text("Đây là khóa bí mật: chỉ gửi khóa công khai.", "This is a private key: send public keys only.")
    public = {name: given[name] for name in _PUBLIC if isinstance(given.get(name), str)}
    algorithm = _algorithm(public, given.get("alg"))
    if algorithm is None or given.get("use", "sig") != "sig":
        return Text(
            "Chỉ nhận khóa để ký: Ed25519, P-256 (ES256), hoặc RSA từ 2048 bit có alg PS256 hay RS256.",
            "Keys for signing only: Ed25519, P-256 (ES256), or RSA of 2048 bits or more with alg PS256 or RS256.",
        )
    if public["kty"] == "RSA" and not _is_sound_rsa(public):
        return Text("Khóa RSA phải từ 2048 đến 8192 bit, e là AQAB.", "RSA of 2048 to 8192 bits, with e AQAB.")
    try:
        kid = given.get("kid", import_pinned(public).thumbprint())
    except (JoseError, ValueError, TypeError, KeyError):
        return Text("Khóa bị hỏng.", "The key is damaged.")
    if not isinstance(kid, str) or not 1 <= len(kid) <= 200:
        return Text("kid gồm 1 đến 200 ký tự.", "kid is 1 to 200 characters.")
    return public | {"kid": kid, "alg": algorithm}


def _algorithm(public: Mapping[str, str], said: object) -> str | None:
    """The one algorithm of a key; an RSA key must say which of its two."""
    match public.get("kty"), public.get("crv"), said:
        case "OKP", "Ed25519", None | "Ed25519" | "EdDSA":
            return "Ed25519"
        case "EC", "P-256", None | "ES256":
            return "ES256"
        case "RSA", None, "PS256" | "RS256":
            return str(said)
    return None


def _is_sound_rsa(public: Mapping[str, str]) -> bool:
    """Whether a modulus is long enough to be safe, and short enough (as its exponent is) to be checked quickly."""
    try:
        modulus = urlsafe_b64decode(public.get("n", "") + "==")
    except (ValueError, binascii.Error):
        return False
    bits = int.from_bytes(modulus).bit_length()
    return _LEAST_RSA_BITS <= bits <= _MOST_RSA_BITS and public.get("e") == "AQAB"
