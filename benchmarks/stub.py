"""An upstream that takes everything: HTTP/1.1 on keep-alive connections, and nothing that would cost time.

Run as a process of its own: the port where it answers, then one where it reads and never answers. ``GET`` tells how
many requests it answered, and how many bytes of bodies came with them.
"""

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TAKEN = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"taken": true}\n'


class Stub(asyncio.Protocol):
    """One connection."""

    requests = bodies = 0

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, head)
            body = int(length[1]) if length else 0
            if len(self._received) < head + 4 + body:
                return
            self._answer(body)
            del self._received[: head + 4 + body]

    def _answer(self, body: int) -> None:
        if self._received.startswith(b"GET "):
            told = json.dumps({"requests": Stub.requests, "bytes": Stub.bodies}).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
            return
        Stub.requests += 1
        Stub.bodies += body
        self._transport.write(_TAKEN)


async def serve(answering: int, silent: int) -> None:
    """Serve on both ports until the process is ended."""
    loop = asyncio.get_running_loop()
    await loop.create_server(asyncio.Protocol, "127.0.0.1", silent, backlog=1000)
    server = await loop.create_server(Stub, "127.0.0.1", answering, backlog=1000)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
