"""A code list (danh mục): the codes a breakdown may hold, each with its own validity."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import cached_property, lru_cache
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from gateway.domain.document import Document, Title, Valid
from gateway.domain.form_document import FORM_CODE

_DAYS = 16


class Code(Valid):
    """One code; closed by ``valid_to``, never removed."""

    code: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,49}$")]
    title: Title
    parent: str | None = None


class CodeList(Document):
    """A code list as it is written and served."""

    id: Annotated[str, StringConstraints(pattern=FORM_CODE)]
    title: Title
    note: Title | None = None
    codes: list[Code] = Field(min_length=1, max_length=20_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [each.code for each in self.codes]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"codes used twice: {', '.join(twice)}")
        lost = sorted({each.parent for each in self.codes if each.parent} - set(names))
        if lost:
            raise ValueError(f"parents that are not codes of this list: {', '.join(lost)}")
        return self

    @cached_property
    def by_code(self) -> dict[str, Code]:
        return {each.code: each for each in self.codes}

    def codes_on(self, day: date) -> frozenset[str]:
        """The codes valid on a day."""
        return self._codes_on(day)

    @cached_property
    def _codes_on(self) -> Callable[[date], frozenset[str]]:
        """The same, remembered for some days: reports of a period all ask for its last one."""

        @lru_cache(maxsize=_DAYS)
        def found(day: date) -> frozenset[str]:
            return frozenset(each.code for each in self.codes if each.is_valid_on(day))

        return found
