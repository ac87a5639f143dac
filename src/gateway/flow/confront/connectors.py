"""Confront connectors: where reports are sent is where an operator had them sent. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from gateway.domain.exact import decode
from gateway.flow.confront.contradiction import Contradiction, Entry, Texts, as_bytes, read_json
from gateway.flow.confront.reports import Witness

_AS_THEY_ARE = (
    "kind", "url", "forms", "under", "what", "concurrency", "rate", "allow_private_addresses", "options", "remind",
    "retry",
)  # fmt: skip


def confront_connectors(
    connectors: Sequence[Mapping[str, Any]], entries: Sequence[Entry], texts: Texts, witness: Witness
) -> Iterator[Contradiction]:
    """Everything that contradicts of all connectors, by their names."""
    told: dict[str, list[Entry]] = {}
    for each in entries:
        if each.what.startswith("connector-"):
            told.setdefault(str(each.says.get("connector")), []).append(each)
    present = {kept["name"]: kept for kept in connectors if kept["removed_at"] is None}
    for name in sorted({*told, *present}):
        kept, own = present.get(name), told.get(name, [])
        for place, words in _faults(kept, own, texts, witness):
            yield Contradiction(f"connector {name}", place, words)
    for name in sorted({*told, *(kept["name"] for kept in connectors)}):
        gone = [each for each in connectors if each["name"] == name and each["removed_at"] is not None]
        young = sum(not witness.is_older(each["removed_at"]) for each in gone)
        # What happened as the log began may be older than it by the clock, and have its entry.
        if not young <= sum(each.what == "connector-removed" for each in told.get(name, [])) <= len(gone):
            yield Contradiction(f"connector {name}", None, "it was removed another number of times than by the log")


def _faults(
    kept: Mapping[str, Any] | None, own: Sequence[Entry], texts: Texts, witness: Witness
) -> Iterator[tuple[int | None, str]]:
    ends = [position for position, each in enumerate(own) if each.what == "connector-removed"]
    since = own[ends[-1] + 1 :] if ends else own
    put = next((each for each in reversed(since) if each.what == "connector-put"), None)
    if kept is None:
        if put is not None:
            yield put.place, "it is not there, and by the log it was not removed"
        return
    if put is None:
        if ends or not witness.is_older(kept["made_at"]):
            yield None, "the log has not that it was made"
    else:
        text = texts.get(as_bytes(put.says.get("document")))
        if text is None:
            yield put.place, "it cannot be checked: what it was to be is not beside the log any more"
        else:
            said, found = _said(decode(text[1].encode())), _kept(kept)
            for name in sorted(said):
                if said[name] != found[name]:
                    yield put.place, f"{name} is not what was recorded"
    paused = next((each for each in reversed(since) if each.what in {"connector-paused", "connector-resumed"}), None)
    if paused is not None and (paused.what == "connector-paused") is (kept["paused_at"] is None):
        yield paused.place, f"it is {'not ' if kept['paused_at'] is None else ''}paused, and by the log otherwise"
    is_paused = kept["paused_at"] is not None and not witness.is_older(kept["paused_at"])
    if paused is None and put is not None and is_paused:
        yield put.place, "it is paused, and by the log it is not"


def _said(document: Mapping[str, Any]) -> dict[str, object]:
    named = {name: _plain(document.get(name)) for name in _AS_THEY_ARE}
    return {**named, "from_day": document.get("from_") or document.get("from")}


def _kept(row: Mapping[str, Any]) -> dict[str, object]:
    named = {
        name: _plain(read_json(row[name]) if name in {"options", "remind", "retry"} else row[name])
        for name in _AS_THEY_ARE
    }
    return {**named, "from_day": None if row["from_day"] is None else row["from_day"].isoformat()}


def _plain(value: object) -> object:
    """Numbers are the same however they are written; in documents some are texts."""
    match value:
        case bool() | None:
            return value
        case int() | Decimal():
            return str(Decimal(value).normalize())
        case str():
            try:
                return str(Decimal(value).normalize())
            except ArithmeticError:
                return value
        case Mapping():
            return {name: _plain(member) for name, member in value.items()}
        case list() | tuple():
            return [_plain(member) for member in value]
        case _:
            return str(value)
