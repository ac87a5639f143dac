"""What every question about figures is asked with: by whose leave, of which subtree, organisation and state."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Query

from gateway.access.tokens import Caller
from gateway.api.deps import NewestCatalogue, Puller, Today
from gateway.api.parameters import Under, wrong
from gateway.api.subtree import covers, root_of
from gateway.domain.as_of import AsOf, Time, read_as_of
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.errors import Forbidden, NotFound, Text
from gateway.flow.look import Opened


class View(StrEnum):
    """Which organisation figures are put together by: that of each period, or that of today."""

    as_reported = "as_reported"
    reorganised = "reorganised"


By = Annotated[
    str | None, Query(description="Any of `agency`, `level`, `period` and the form's breakdowns, comma-separated.")
]
_Agencies = Annotated[
    View,
    Query(
        description="`as_reported`: every agency stands where it stood on the last day of each period. `reorganised`:"
        " where it stands today, a closed one as its successor, so that years before and after a merger compare;"
        " `under` a closed agency is then its successor."
    ),
]
_Past = Annotated[
    str | None,
    Query(
        description="A state to read instead of the present one: the `as_of` of an answer, which is then repeated byte"
        " for byte, or a time (RFC 3339), for all that was stored by then."
    ),
]


@dataclass(frozen=True, slots=True)
class Frame:
    """By whose leave figures are read, and by which organisation they are put together."""

    catalogue: Catalogue
    caller: Caller
    root: str | None
    view: View
    today: date

    def seen(self, opened: Opened) -> tuple[str | None, date | None]:
        """The root of the subtree in an open state, and the day since when the organisation holds, where it is chosen.

        Rights go by the organisation of today. Raises ``Forbidden`` where a closed agency has become one outside the
        caller's subtree, and ``NotFound`` for one that was not there in that state.
        """
        if self.root is not None and self.root not in opened.catalogue.agencies:
            raise NotFound(Text("Khi đó chưa có cơ quan này.", "There was no such agency then."))
        if self.view is View.as_reported:
            return self.root, None
        day = opened.state.name.day or opened.catalogue.agencies.last_change(self._day(opened))
        present = None if self.root is None else opened.catalogue.agencies.counts_as(self.root, day)
        if present is not None and not covers(self.catalogue, self.caller, present, self.today):
            raise Forbidden(
                Text(
                    f"{self.root} là {present}, ngoài phạm vi của client; hãy dùng agencies=as_reported.",
                    f"{self.root} is {present}, outside the client's subtree; use agencies=as_reported.",
                )
            )
        return present, day

    def _day(self, opened: Opened) -> date:
        name = opened.state.name
        return civil_date(name.at) if isinstance(name, Time) else self.today


async def _frame(
    catalogue: NewestCatalogue,
    caller: Puller,
    today: Today,
    under: Under = None,
    agencies: _Agencies = View.as_reported,
) -> Frame:
    return Frame(catalogue, caller, root_of(catalogue, caller, under, today), agencies, today)


async def _state(as_of: _Past = None) -> AsOf | None:
    return state_named(as_of, "as_of")


def state_named(name: str | None, parameter: str) -> AsOf | None:
    """The state a parameter names. Raises ``MalformedRequest``."""
    try:
        return None if name is None else read_as_of(name)
    except ValueError:
        said = Text(f"{parameter} không phải as_of hay thời điểm.", f"{parameter} is neither an as_of nor a time.")
        raise wrong(parameter, said) from None


Framed = Annotated[Frame, Depends(_frame)]
StateAsked = Annotated[AsOf | None, Depends(_state)]
