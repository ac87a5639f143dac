"""Names that lead to other addresses than they seem to: a name server that changes its mind, aliases, mixed answers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from proofs.faults.names import Answer, Network, network
from proofs.ledger import Measured
from proofs.scenario import Scenario
from proofs.stage import Stage, free_port

_PUBLIC = ("103.9.196.10", "103.9.196.11")
_INSIDE = ("10.20.30.40", "169.254.169.254")
"""All of them lie on loopback, of a network that nothing else is on."""
_WELL: Mapping[str, Sequence[Answer]] = {
    "steady.test": [[_PUBLIC[0]]],
    "rebound.test": [[_PUBLIC[0]], ["127.0.0.1"], [_PUBLIC[0]], [_INSIDE[0]]],
}
"""The second name is public when it is looked up first, and leads inside when it is looked up again."""
_ILL: Mapping[str, Sequence[Answer]] = {
    "alias.test": [["inside.test", _INSIDE[0]]],
    "mixed.test": [[*_PUBLIC, "127.0.0.1"]],
    "both.test": [[_PUBLIC[1], "::1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "link.test": [[_INSIDE[1]]],
}


async def rebind_names(stage: Stage) -> None:
    """Upstreams are named by a server that means no good: nobody inside ever hears of a connection."""
    port, reached = free_port(), list[str]()
    place: Network = await stage.entered(network(stage.ledger.path.with_suffix(".network"), [*_PUBLIC, *_INSIDE]))
    await stage.entered(place.serving({**_WELL, **_ILL}))
    await stage.serve()
    for number, name in enumerate(_WELL):
        await stage.stub(_connector(name), sock=place.listening(_PUBLIC[0], port + number))
        await stage.upstream(_connector(name), host=name, port=port + number, allow_private_addresses=False)
    for name in _ILL:
        await stage.upstream(
            _connector(name),
            host=name,
            port=port,
            ends=["pending"],
            outcomes=["unreachable"],
            allow_private_addresses=False,
        )
    for address in (_PUBLIC[1], *_INSIDE, "127.0.0.1", "::1"):
        for number in range(len(_WELL)):
            await stage.entered(_trap(place.listening(address, port + number), reached))
    await stage.work(nursery=place.nursery)
    async with stage.load(senders=4, pause=0.3, is_amended=False):
        for _ in range(10):
            await asyncio.sleep(1)
            await stage.hasten()
    looked_up = {name: place.asked.count(name) for name in (*_WELL, *_ILL)}
    too_few = [name for name, times in looked_up.items() if times < (4 if name == "rebound.test" else 1)]
    stage.ledger.write(Measured(what="names that were not looked up often enough", value=len(too_few), most=0))
    stage.ledger.write(Measured(what="connections to where none may lead", value=len(reached), most=0))


@asynccontextmanager
async def _trap(sock: socket.socket, reached: list[str]) -> AsyncIterator[None]:
    """Notes whoever connects."""

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(str(writer.get_extra_info("sockname")))
        writer.close()

    async with await asyncio.start_server(note, sock=sock):
        yield


def _connector(name: str) -> str:
    return name.partition(".")[0]


SCENARIOS = [Scenario("rebind-names", rebind_names, ["looks-names-up-twice"], seconds=120)]
