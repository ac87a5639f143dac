"""What is wrong with agencies taken together: codes that are of no agency or of two, and cycles."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from gateway.domain.agency import Agencies, Agency, days_after_end, normalise_code


def agency_faults(versions: Mapping[str, list[Agency]], changed: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """What is wrong with agencies taken together: (code, reason) pairs.

    Cycles are looked for through the agencies that ``changed``: through all of them when that is None.
    """
    found: list[tuple[str, str]] = []
    owner: dict[str, str] = {}
    for code, all_ in versions.items():
        for version in all_:
            for role, other in (("parent", version.parent), ("successor", version.successor)):
                if other is not None and other not in versions:
                    found.append((code, f"{role} {other} is not an agency"))
            for alias in map(normalise_code, version.aliases):
                if owner.setdefault(alias, code) != code:
                    found.append((code, f"alias {alias} also belongs to {owner[alias]}"))
                if alias != code and alias in versions:
                    found.append((code, f"alias {alias} is the code of another agency"))
    if not found:
        everyone = Agencies([each for all_ in versions.values() for each in all_], {})
        looked_at = list(versions if changed is None else changed)
        found.extend(_ancestor_cycles(everyone, looked_at))
        found.extend(_successor_cycles(everyone, looked_at))
    return found


def _ancestor_cycles(everyone: Agencies, changed: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Changed agencies that are their own ancestor on some day, those not in force under their nearest parent."""
    versions = everyone.versions
    days = sorted({each.valid_from or date.min for all_ in versions.values() for each in all_})
    for code in changed:
        for day in days:
            path = [code]
            while (parent := everyone.nearest(path[-1], day).parent) is not None and parent not in path:
                path.append(parent)
            if parent == code:
                yield code, f"is its own ancestor on {day}"
                return


def _successor_cycles(everyone: Agencies, changed: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Changed agencies that are their own successor on some day, once all on the way there are closed."""
    merged = [each for all_ in everyone.versions.values() for each in all_ if each.successor is not None]
    days = sorted(set(days_after_end(merged)))
    for code in changed:
        for day in days:
            path = [code]
            while (heir := everyone.successor(path[-1], day)) is not None and heir not in path:
                path.append(heir)
            if heir == code:
                yield code, f"is its own successor on {day}"
                return
