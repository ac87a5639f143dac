"""Whose reports a request speaks of: ``agency`` (exact) or ``under`` (a subtree), within the caller's own."""

from datetime import date

from gateway.access.tokens import Caller
from gateway.api.parameters import wrong
from gateway.domain.catalogue import Catalogue
from gateway.errors import NotFound, Text
from gateway.flow.prepare import find_agency


def covers(catalogue: Catalogue, caller: Caller, agency: str, today: date) -> bool:
    """Whether an agency lies in the caller's subtree."""
    return caller.agency is None or catalogue.agencies.placed(today).covers(caller.agency, agency)


def require_covered(catalogue: Catalogue, caller: Caller, agency: str, today: date) -> None:
    """What lies outside the subtree does not exist for the caller."""
    if not covers(catalogue, caller, agency, today):
        raise NotFound()


def root_of(catalogue: Catalogue, caller: Caller, under: str | None, today: date) -> str | None:
    """The root of the subtree asked for: ``under``, else the caller's own; None is the whole country.

    Raises ``Forbidden`` outside the caller's subtree.
    """
    return caller.agency if under is None else find_agency(catalogue, under, caller.agency, today)


def agencies_asked(
    catalogue: Catalogue, caller: Caller, agency: str | None, under: str | None, today: date
) -> list[str] | None:
    """The agencies asked for; None is all of them. Raises ``Forbidden`` outside the subtree."""
    if agency is not None and under is not None:
        raise wrong("agency", Text("Chỉ dùng một trong hai: agency hoặc under.", "Use either agency or under."))
    if agency is not None:
        return [find_agency(catalogue, agency, caller.agency, today)]
    root = root_of(catalogue, caller, under, today)
    return None if root is None else catalogue.agencies.placed(today).subtree(root)


def agency_keys(
    catalogue: Catalogue, caller: Caller, agency: str | None, under: str | None, today: date
) -> list[int] | None:
    """Storage keys of the agencies asked for, as ``agencies_asked`` finds them."""
    codes = agencies_asked(catalogue, caller, agency, under, today)
    return None if codes is None else [catalogue.agencies.ids[code] for code in codes]
