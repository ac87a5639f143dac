"""The catalogue as it stood at one revision: an immutable picture that everything else reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from gateway.domain.agency import Agencies
from gateway.domain.calendar import CalendarYear
from gateway.domain.codelist import CodeList
from gateway.domain.form import Form
from gateway.domain.obligation import Extension
from gateway.domain.obligations import Obligations
from gateway.domain.regime import Regime
from gateway.domain.upstream import Upstream


@dataclass(frozen=True)
class Catalogue:
    """Forms, code lists, agencies, regimes and connectors at catalogue revision ``revision``.

    ``forms`` holds all versions of a form, oldest first; ``form_ids`` are storage keys;
    ``obligations`` is what follows from regimes, agencies, ``calendars`` (by year) and ``extensions``.
    """

    revision: int
    forms: Mapping[str, Sequence[Form]]
    form_ids: Mapping[str, int]
    codelists: Mapping[str, CodeList]
    agencies: Agencies
    calendars: Mapping[int, CalendarYear]
    extensions: Sequence[Extension]
    obligations: Obligations
    upstreams: Sequence[Upstream]

    def form_on(self, code: str, day: date) -> Form | None:
        """The version of a form in force on a day: the newest that is valid then."""
        valid = [form for form in self.forms.get(code, ()) if form.document.is_valid_on(day)]
        return valid[-1] if valid else None

    def form_version(self, code: str, version: int) -> Form | None:
        return next((form for form in self.forms.get(code, ()) if form.version == version), None)

    @property
    def regimes(self) -> Mapping[str, Sequence[Regime]]:
        """All versions of each regime, oldest first."""
        return self.obligations.regimes

    @cached_property
    def form_codes(self) -> Mapping[int, str]:
        return {number: code for code, number in self.form_ids.items()}

    def codes_of(self, form: Form, day: date) -> dict[str, frozenset[str]]:
        """The codes each breakdown of a form may hold on a day."""
        return {each.id: self.codelists[each.codelist].codes_on(day) for each in form.breakdowns}
