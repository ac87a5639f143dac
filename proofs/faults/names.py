"""A network of its own with a name server that says what it likes: public addresses are on it, and so are private ones.

Processes that are started in it look names up as they always do, by the C library and `/etc/resolv.conf`, which is
another file for them. Nothing leaves it: it has no interface but loopback.
"""

import asyncio
import ctypes
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import TypeVar, cast

from proofs.faults.disk import NotPossible
from proofs.processes import Nursery

_SERVER = "127.77.0.53"
_NETWORK_NAMESPACE = 0x40000000
"""``CLONE_NEWNET`` of Linux."""
_ENTERING = """
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
ip link set lo up
while [ "$1" != -- ]; do ip address add "$1/32" dev lo; shift; done
shift
exec "$@"
"""
_A, _CNAME, _AAAA = 1, 5, 28

Answer = Sequence[str]
"""Addresses of either family, or one other name and then its addresses."""
Told = TypeVar("Told")


class Network:
    """A network with processes in it. ``asked`` are the names that were looked up, in order."""

    def __init__(self, nursery: Nursery) -> None:
        self.nursery = nursery
        self.asked: list[str] = []
        self._answers: Mapping[str, Sequence[Answer]] = {}

    def listening(self, address: str, port: int = 0) -> socket.socket:
        """A socket that listens there."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return self._within(lambda: socket.create_server((address, port), family=family))

    @asynccontextmanager
    async def serving(self, answers: Mapping[str, Sequence[Answer]]) -> AsyncIterator[None]:
        """Answer what is asked for names: of several answers one after the other, and then from the first again."""
        self._answers = answers
        opened = self._within(lambda: _datagrams(_SERVER, 53))
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Answering(self), sock=opened)
        try:
            yield
        finally:
            transport.close()

    def answer(self, name: str, kind: int) -> Answer:
        """What is said of a name. Both families of one look-up get the same answer."""
        answers = self._answers.get(name, [()])
        if kind == _A:
            self.asked.append(name)
        turn = max(0, self.asked.count(name) - 1)
        return answers[turn % len(answers)]

    def _within(self, make: Callable[[], Told]) -> Told:
        """Do something in the network: on a thread of its own, which stays there until it ends."""

        def entered() -> Told:
            namespace = os.open(f"/proc/{self.nursery.pid}/ns/net", os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(namespace, _NETWORK_NAMESPACE):
                    raise NotPossible(f"another network cannot be entered: {os.strerror(ctypes.get_errno())}")
            finally:
                os.close(namespace)
            return make()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(entered).result()


@asynccontextmanager
async def network(directory: Path, addresses: Sequence[str]) -> AsyncIterator[Network]:
    """A network that these addresses are on; the directory is for its files. Raises ``NotPossible``."""
    async with Nursery({}, await asyncio.to_thread(_entering, directory, addresses)) as nursery:
        while not _is_entered(nursery.pid):  # noqa: ASYNC110 - of things outside
            await asyncio.sleep(0.01)
        yield Network(nursery)


def _is_entered(pid: int) -> bool:
    """Whether what enters the network has become what was to be run in it."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(sys.executable.encode())


def _entering(directory: Path, addresses: Sequence[str]) -> list[str]:
    """The command that runs another one in such a network."""
    if os.geteuid() != 0:
        raise NotPossible("a network of its own needs root")
    for program in ("unshare", "mount", "ip"):
        if shutil.which(program) is None:
            raise NotPossible(f"a network of its own needs the program {program}")
    directory.mkdir(exist_ok=True)
    (directory / "resolv.conf").write_text(f"nameserver {_SERVER}\noptions timeout:1 attempts:1\n")
    (directory / "nsswitch.conf").write_text("hosts: files dns\n")
    command = ["unshare", "--mount", "--net", "sh", "-euc", _ENTERING, "sh", str(directory), *addresses, "--"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NotPossible(f"a network of its own: {tried.stderr.strip()}")
    return command


def _datagrams(address: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, port))
    return opened


class _Answering(asyncio.DatagramProtocol):
    """A name server (RFC 1035), as far as the C library needs one."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        labels, place = [], 12
        while length := data[place]:
            labels.append(data[place + 1 : place + 1 + length].decode())
            place += 1 + length
        question = data[12 : place + 5]
        kind = struct.unpack("!H", data[place + 1 : place + 3])[0]
        records = _records(".".join(labels), kind, self._network.answer(".".join(labels).lower(), kind))
        head = data[:2] + struct.pack("!5H", 0x8580, 1, len(records), 0, 0)
        self._transport.sendto(head + question + b"".join(records), sender)


def _records(name: str, kind: int, answer: Answer) -> list[bytes]:
    """What an answer holds for a question: an alias first, if there is one, and addresses of the family asked for."""
    records = []
    for each in answer:
        if not each[0].isdigit() and ":" not in each:
            records.append(_record(name, _CNAME, _encoded(each)))
            name = each
            continue
        address = ip_address(each)
        if (kind == _A) is isinstance(address, IPv4Address) and kind in {_A, _AAAA}:
            records.append(_record(name, kind, address.packed))
    return records


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _encoded(name) + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
