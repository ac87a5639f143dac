"""Confront clients: who may do what, by which credentials, and whose receipts they may bring. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any
from uuid import UUID

from gateway.db.clients import credential_digest
from gateway.domain.entry import digest
from gateway.flow.confront.contradiction import Contradiction, Entry, Texts, as_bytes, differing, read_json, text_fault
from gateway.flow.confront.reports import Witness

_LIMITS = ("requests_per_second", "burst", "reports_per_day")
_MOMENT = timedelta(minutes=5)


def confront_clients(
    clients: Sequence[Mapping[str, Any]],
    credentials: Sequence[Mapping[str, Any]],
    entries: Sequence[Entry],
    texts: Texts,
    witness: Witness,
) -> Iterator[Contradiction]:
    """Everything that contradicts of all clients."""
    told: dict[str, list[Entry]] = {}
    for each in entries:
        if each.what.startswith("client-") and each.what != "client-trusted":
            told.setdefault(str(each.says.get("client")), []).append(each)
    owned: dict[UUID, list[Mapping[str, Any]]] = {}
    for credential in sorted(credentials, key=lambda found: (found["valid_from"], found["id"])):
        owned.setdefault(credential["client_id"], []).append(credential)
    for kept in clients:
        own = told.pop(str(kept["id"]), [])
        about = f"client {kept['id']}"
        for words in _client_faults(kept, own, texts, witness):
            yield Contradiction(about, own[0].place if own else None, words)
        for words in _credential_faults(owned.get(kept["id"], []), own, kept, witness):
            yield Contradiction(about, own[-1].place if own else None, words)
    for client, own in told.items():
        yield Contradiction(f"client {client}", own[-1].place, f"it is not there, and by the log {own[-1].what}")


def _client_faults(kept: Mapping[str, Any], own: Sequence[Entry], texts: Texts, witness: Witness) -> Iterator[str]:
    made = next((each for each in own if each.what == "client-made"), None)
    if made is None and not witness.is_older(kept["made_at"]):
        yield "the log has not that it was made"
    if made is not None:
        by = None if kept["made_by"] is None else str(kept["made_by"])
        found = {name: kept[name] for name in ("agency", "scopes", "certificate_bound")} | {"by": by}
        yield from differing({name: made.says.get(name) for name in found}, found, "the log")
        if fault := text_fault("name", made.says.get("name"), kept["name"], texts):
            yield fault
    limits = next((_limits(each) for each in reversed(own) if _limits(each) is not None), None)
    if limits is not None:
        yield from differing(limits, {name: _number(kept[name]) for name in _LIMITS}, "the log")
    revoked = [each for each in own if each.what == "client-revoked"]
    if (kept["revoked_at"] is None) == bool(revoked) and not (not own and witness.is_older(kept["revoked_at"])):
        yield f"it is {'not ' if revoked else ''}revoked, and by the log it is{'' if revoked else ' not'}"


def _limits(entry: Entry) -> dict[str, object] | None:
    """What an entry says of limits; of versions before, the one of a client's making says nothing."""
    said = entry.says if entry.what == "client-limited" else entry.says.get("limits")
    return {name: _number(said.get(name)) for name in _LIMITS} if isinstance(said, Mapping) else None


def _number(value: object) -> object:
    try:
        return None if value is None else Decimal(str(value))
    except ArithmeticError:
        return value


def _credential_faults(
    kept: Sequence[Mapping[str, Any]], own: Sequence[Entry], client: Mapping[str, Any], witness: Witness
) -> Iterator[str]:
    """That its credentials are those it was given, and that those before a rotation have ended when they had to."""
    given = [each for each in own if each.what in {"client-made", "client-rotated"}]
    unnamed = sum("credential" not in each.says for each in given)
    found = {credential_digest({**each, "keys": read_json(each["keys"])}): each for each in kept}
    for each, later in zip_longest(given, given[1:]):
        if "credential" not in each.says:
            continue
        credential = found.pop(str(each.says["credential"]), None)
        if credential is None:
            yield f"the credential is not there that it was given when {each.what}"
            continue
        until = [_time(each.says.get("expires_at"))]
        if later is not None:
            overlap = timedelta(seconds=int(later.says.get("overlap_seconds") or 0))
            rotated = _time(later.says.get("at"))
            until.append(rotated and rotated + overlap)
        if not _has_ended(credential, [at for at in until if at is not None]):
            yield "a credential of it is good for longer than by the log"
    strangers = [each for each in found.values() if not witness.is_older(each["valid_from"])]
    if len(strangers) > unnamed:
        yield "it has a credential that the log does not know of"
    if client["revoked_at"] is not None and any(each["revoked_at"] is None for each in kept):
        yield "it is revoked, and a credential of it is not"


def _has_ended(credential: Mapping[str, Any], until: Sequence[datetime]) -> bool:
    ends = [each for each in (credential["revoked_at"], credential["expires_at"]) if each is not None]
    return not until or (bool(ends) and min(ends) <= min(until) + _MOMENT)


def _time(said: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said)) if said is not None else None
    except ValueError:
        return None


def confront_issuers(
    trusted: Sequence[Mapping[str, Any]], entries: Sequence[Entry], witness: Witness
) -> Iterator[Contradiction]:
    """Whose receipts are taken: every key that is trusted was trusted by command."""
    hashes: dict[tuple[str, str], set[str]] = {}
    names: dict[tuple[str, str], set[str]] = {}
    for each in entries:
        if each.what == "client-trusted":
            whose = (str(each.says.get("client")), str(each.says.get("issuer")))
            names.setdefault(whose, set()).update(map(str, each.says.get("keys") or ()))
            if "hashes" in each.says:
                hashes.setdefault(whose, set()).update(map(str, each.says["hashes"]))
    for kept in trusted:
        whose = (str(kept["client_id"]), kept["issuer"])
        keys = read_json(kept["keys"])["keys"]
        known = names.get(whose)
        if known is None and witness.is_older(kept["changed_at"]):
            continue
        about = f"client {kept['client_id']}"
        if known is None or any(str(key.get("kid")) not in known for key in keys):
            yield Contradiction(about, None, "it may bring receipts by a key that the log does not know of")
        elif whose in hashes and len(hashes[whose]) >= len(known) and any(digest(k) not in hashes[whose] for k in keys):
            yield Contradiction(about, None, "a key that its receipts are taken by is not the one that was recorded")


def confront_signers(
    signers: Sequence[Mapping[str, Any]],
    entries: Sequence[Entry],
    texts: Texts,
    witness: Witness,
) -> Iterator[Contradiction]:
    """Who may sign for which agency is who was said to last."""
    last = {str(each.says.get("agency")): each for each in entries if each.what == "signers-set"}
    current: dict[str, list[Mapping[str, Any]]] = {}
    for kept in signers:
        if kept["ended_at"] is None:
            current.setdefault(witness.agencies.get(kept["agency_id"], ""), []).append(kept)
    for agency in sorted({*last, *current}):
        said, found = last.get(agency), current.get(agency, [])
        about = f"signers of {agency}"
        if said is None:
            if not all(witness.is_older(each["registered_at"]) for each in found):
                yield Contradiction(about, None, "the log has not that they may sign")
            continue
        kept_text = texts.get(as_bytes(said.says.get("subjects")))
        if kept_text is None:
            if len(found) != said.says.get("signers"):
                yield Contradiction(about, said.place, f"there are {len(found)}, and by the log another number")
        elif {each["subject"] for each in found} != {name for name in kept_text[1].split("\n") if name}:
            yield Contradiction(about, said.place, "they are not those that were recorded")
