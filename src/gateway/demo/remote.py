"""Speaking to the gateway and to the sandbox as any other system would: over HTTP, with a token."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from gateway.demo.errors import DemoError

_START_SECONDS = 60.0


class Account(NamedTuple):
    """An API client's id and secret."""

    id: str
    secret: str


async def expect(status: int, asked: Awaitable[httpx.Response]) -> httpx.Response:
    """An answer with the status it must have. Raises ``DemoError`` on any other."""
    try:
        answer = await asked
    except httpx.TransportError as error:
        raise DemoError(f"no answer: {error!r}") from error
    if answer.status_code != status:
        request = answer.request
        raise DemoError(
            f"{request.method} {request.url} answered {answer.status_code}, not {status}:\n{answer.text[:2000]}"
        )
    return answer


def connection(url: str) -> httpx.AsyncClient:
    """A connection to a process of this computer, whatever proxy the environment names."""
    return httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)


@asynccontextmanager
async def signed_in(url: str, account: Account) -> AsyncIterator[httpx.AsyncClient]:
    """A connection that carries a token of its own."""
    async with connection(url) as http:
        form = {"grant_type": "client_credentials"}
        granted = await expect(200, http.post("/oauth/token", data=form, auth=(account.id, account.secret)))
        http.headers["Authorization"] = f"Bearer {granted.json()['access_token']}"
        yield http


async def answering(http: httpx.AsyncClient, path: str) -> None:
    """Wait until a process that was started is ready."""
    for _ in range(int(_START_SECONDS / 0.1)):
        try:
            if (await http.get(path)).is_success:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise DemoError(f"{http.base_url} was not ready within {_START_SECONDS:.0f} s.")


async def every(http: httpx.AsyncClient, path: str, **asked: str) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
        answer = (await expect(200, http.get(path, params=asked | page))).json()
        items += answer["items"]
        cursor = answer["next"]
        if cursor is None:
            return items
