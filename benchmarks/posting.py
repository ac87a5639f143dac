"""The bare loop that deliveries are compared with: ready requests, posted by so many tasks of one ``httpx`` client.

No queue, no message to make, nothing recorded: what is left when everything is taken away that makes a delivery of
it. Run as a process of its own: the URL, a file of requests (JSON: headers and body), how many to post in all, and how
many at once. It prints the seconds that took.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import httpx
import uvloop

Ready = tuple[dict[str, str], bytes]


async def _post(client: httpx.AsyncClient, url: str, requests: Iterator[Ready]) -> None:
    for headers, body in requests:
        answer = await client.post(url, content=body, headers=headers)
        answer.raise_for_status()


async def post_all(url: str, requests: list[Ready], count: int, at_once: int) -> float:
    """Post so many requests, in turn of those given; how many seconds it took."""
    left = islice(cycle(requests), count)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        began = time.perf_counter()
        await asyncio.gather(*(_post(client, url, left) for _ in range(at_once)))
        return time.perf_counter() - began


def main(url: str, file: str, count: str, at_once: str) -> None:
    requests = [(headers, body.encode()) for headers, body in json.loads(Path(file).read_bytes())]
    print(uvloop.run(post_all(url, requests, int(count), int(at_once))))


if __name__ == "__main__":
    main(*sys.argv[1:])
