"""What an upstream of kind `http_json` holds, as options say: where it is listed, and what is where in the list."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from gateway.connectors.answered import found_at, unlike
from gateway.connectors.connector import ConnectorSettings, InvalidConnectorSettings, UpstreamSilent
from gateway.connectors.head import read_path
from gateway.connectors.mapping import Answered, address
from gateway.connectors.post import SignedPost
from gateway.connectors.template_syntax import TemplateReader
from gateway.connectors.transport import NoReply
from gateway.domain.document import Document, refusal
from gateway.domain.exact import decode
from gateway.domain.report import Status
from gateway.domain.upstream import Held

_LARGEST_PAGE = 16 * 1024 * 1024
_MOST_PAGES, _MOST_REPORTS = 10_000, 200_000
_BOM = b"\xef\xbb\xbf"
_AT = ("options", "reconciliation", "path")
_Place = Annotated[str, StringConstraints(pattern=r"^(?:/[^/]+)+$", max_length=200)]
_Parameter = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~$-]{1,100}$")]


class HoldingsOptions(Document):
    """Where the upstream lists what it holds; places are JSON Pointers, in an answer or in an item of its list."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        description="What follows the URL of the connector."
    )
    items: _Place | None = Field(None, description="The list in an answer; null: the answer is the list.")
    id: _Place = Field(description="In an item: the id of the report.")
    sha256: _Place = Field(description="In an item: the report's `sha256`, as it was sent.")
    where: Answered = Field(
        default_factory=dict, max_length=20, description="Only items with these values tell of a report that is held."
    )
    ended: Answered = Field(
        default_factory=dict,
        max_length=20,
        description="Items with these values tell that a report is known there to be returned or withdrawn.",
    )
    form: _Place | None = Field(None, description="In an item: the form, by its code here.")
    period: _Place | None = Field(None, description="In an item: the period, by its code here.")
    total: _Place | None = Field(None, description="In an answer: how many items there are on all pages.")
    next: _Place | None = Field(
        None, description="In an answer: what the next page is asked for with; null there ends."
    )
    first_page: int | None = Field(None, ge=0, le=1, description="Pages have numbers, from this one to an empty one.")
    parameter: _Parameter | None = Field(None, description="In the query: the page, by what is `next` or its number.")

    @model_validator(mode="after")
    def _pages_are_named(self) -> "HoldingsOptions":
        if self.next is not None and self.first_page is not None:
            raise refusal("Chỉ dùng một trong hai: next hoặc first_page", "Use either next or first_page")
        if (self.parameter is None) is not (self.next is None and self.first_page is None):
            raise refusal("parameter đi cùng next hoặc first_page", "parameter goes with next or first_page")
        return self


class Holdings:
    """Asks an upstream what it holds. Raises `InvalidConnectorSettings` for a URL that no path can follow."""

    def __init__(
        self, options: HoldingsOptions, settings: ConnectorSettings, post: SignedPost, reader: TemplateReader
    ) -> None:
        if "?" in settings.url:
            raise InvalidConnectorSettings("url may hold no query where options have a path: that follows it")
        read_path(options.path, _AT, frozenset(), reader)
        self._options, self._post = options, post
        self._url = address(settings.url, options.path)

    async def all(self, form: str | None, period: str | None) -> AsyncGenerator[Held, None]:
        """The reports it holds, newest first, of one form and period or of all. Raises `UpstreamSilent`."""
        asked = {"form": form, "period": period}
        for name, value in asked.items():
            if value is not None and getattr(self._options, name) is None:
                raise UpstreamSilent(f"options do not say where the {name} of what it holds is: ask for all")
        held, ended = dict[UUID, str](), set[UUID]()
        async for item in self._items():
            identity = _id(_at(item, self._options.id))
            if identity is None or any(_at(item, getattr(self._options, n)) != v for n, v in asked.items() if v):
                continue
            if self._options.ended and unlike(item, self._options.ended) is None:
                ended.add(identity)
            sha256 = _at(item, self._options.sha256)
            if unlike(item, self._options.where) is None and isinstance(sha256, str):
                held[identity] = sha256.lower()
            if len(held) > _MOST_REPORTS:
                raise UpstreamSilent(f"it holds more than {_MOST_REPORTS} reports: ask for one form and period")
        for identity in sorted(held, reverse=True):
            yield Held(identity, held[identity], Status.withdrawn if identity in ended else Status.accepted)

    async def _items(self) -> AsyncIterator[Any]:
        """Every item of every page. Raises `UpstreamSilent` where there is reason to think that some are missing."""
        count, known, answer, is_one_known = 0, set[str](), None, False
        page = None if self._options.first_page is None else str(self._options.first_page)
        while True:
            answer = await self._answer(page)
            items = _at(answer, self._options.items) if self._options.items else answer
            if not isinstance(items, list):
                raise UpstreamSilent("its list is not where options say")
            for item in items:
                is_one_known = is_one_known or _id(_at(item, self._options.id)) is not None
                yield item
            count += len(items)
            known.add(page or "")
            page = self._after(page, answer, items)
            if page is None:
                break
            if page in known or len(known) >= _MOST_PAGES:
                raise UpstreamSilent("its pages have no end")
        total = _at(answer, self._options.total) if self._options.total else count
        if isinstance(total, int) and count < total:
            raise UpstreamSilent(f"it lists {count} items and says that there are {total}")
        if count and not is_one_known:
            raise UpstreamSilent("none of its items has the id of a report where options say")

    def _after(self, page: str | None, answer: Any, items: list[Any]) -> str | None:
        """The page that follows; None at the end."""
        if page is not None and self._options.first_page is not None:
            return str(int(page) + 1) if items else None
        following = _at(answer, self._options.next) if self._options.next else None
        return None if following in (None, "", False) else str(following)

    async def _answer(self, page: str | None) -> Any:
        url = self._url
        if page is not None:
            url += f"{'&' if '?' in url else '?'}{self._options.parameter}={quote(page, safe='')}"
        answer = await self._post.get(url, most=_LARGEST_PAGE)
        if isinstance(answer, NoReply):
            raise UpstreamSilent(answer.reason)
        if answer.status != 200:
            raise UpstreamSilent(f"it answered {answer.status} when it was asked what it holds")
        if len(answer.body) >= _LARGEST_PAGE:
            raise UpstreamSilent("its list is too long for one page")
        try:
            return decode(answer.body.removeprefix(_BOM))
        except ValueError as error:
            raise UpstreamSilent("its answer is not JSON") from error


def _at(answer: Any, place: str) -> Any:
    """The one thing at a place; None where there is nothing, or many."""
    found = found_at(answer, place)
    return found[0] if len(found) == 1 else None


def _id(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
