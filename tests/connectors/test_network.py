"""Which addresses may be connected to, and how those of a name are tried."""

import asyncio
from typing import Any

import httpcore
import pytest

from gateway.connectors.network import CheckedNetwork, may_connect

PUBLIC = ["1.1.1.1", "103.9.196.1", "2606:4700::1111", "2001:ee0::1", "64:ff9b::101:101", "::ffff:168.63.129.17"]
PRIVATE = [
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "::1",
    "fc00::1",
    "fdff::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
]
NEVER = [
    "0.0.0.0",  # noqa: S104 (a target, not a bind)
    "0.1.2.3",
    "169.254.169.254",
    "100.100.100.200",  # metadata of a cloud, among addresses of carriers
    "168.63.129.16",  # metadata of a cloud, though public
    "192.0.0.8",
    "192.0.0.192",
    "192.31.196.1",  # AS112
    "192.52.193.1",  # AMT
    "192.175.48.1",  # AS112
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::7f00:1",  # IPv4-compatible, deprecated
    "::ffff:0:7f00:1",  # IPv4-translated
    "::ffff:100.100.100.200",
    "64:ff9b:1::a00:1",  # NAT64 of local use
    "64:ff9b::a9fe:a9fe",  # 169.254.169.254 behind NAT64
    "::ffff:169.254.169.254",
    "100::1",
    "2001::1",  # Teredo
    "2001:2::1",  # benchmarking
    "2001:10::1",  # ORCHID
    "2001:20::1",  # ORCHID v2
    "2001:db8::1",
    "2002:7f00:1::",  # 127.0.0.1 behind 6to4
    "2620:4f:8000::1",  # AS112
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",  # metadata of a cloud, among private addresses
    "fd20:ce::254",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_always_be_connected_to(address: str) -> None:
    assert may_connect(address, allow_private=False)
    assert may_connect(address, allow_private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_may_be_connected_to_only_where_the_connector_allows_it(address: str) -> None:
    assert not may_connect(address, allow_private=False)
    assert may_connect(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_a_reserved_address_may_never_be_connected_to(address: str) -> None:
    assert not may_connect(address, allow_private=False)
    assert not may_connect(address, allow_private=True)


ADDRESSES = ("103.9.196.1", "103.9.196.2", "103.9.196.3")


class Tried(httpcore.AsyncNetworkBackend):
    """Connects to nothing, and notes what it was asked for; ``answering`` are the addresses that answer."""

    def __init__(self, *answering: str) -> None:
        self.answering, self.tried = answering, list[tuple[str, float | None]]()
        self.stream = httpcore.AsyncNetworkStream()

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *_: Any) -> Any:  # noqa: ASYNC109
        self.tried.append((host, timeout))
        if host not in self.answering:
            raise httpcore.ConnectTimeout if timeout == 0 else httpcore.ConnectError
        return self.stream


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of every name, once each for every kind of socket that is asked for."""
    found = [*ADDRESSES]

    async def getaddrinfo(*_: Any, **asked: Any) -> list[Any]:
        if not found:
            await asyncio.sleep(60)
        times = 1 if asked.get("type") else 3
        return [(None, None, None, "", (each, 443)) for each in found for _ in range(times)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return found


@pytest.mark.parametrize("answering", ADDRESSES)
async def test_the_addresses_of_a_name_are_tried_in_turn_each_for_its_share_of_the_time(
    resolving: list[str], answering: str
) -> None:
    network, backend = CheckedNetwork(allow_private=False), Tried(answering)
    network._network = backend
    assert await network.connect_tcp("upstream.test", 443, 6.0) is backend.stream
    assert backend.tried == [(each, 2.0) for each in ADDRESSES[: ADDRESSES.index(answering) + 1]]
    backend.tried.clear()
    assert await network.connect_tcp("upstream.test", 443) is backend.stream
    assert {share for _, share in backend.tried} == {None}


async def test_if_no_address_answers_the_last_one_says_why(resolving: list[str]) -> None:
    network, backend = CheckedNetwork(allow_private=False), Tried()
    network._network = backend
    with pytest.raises(httpcore.ConnectError):
        await network.connect_tcp("upstream.test", 443, 6.0)
    assert [each for each, _ in backend.tried] == [*ADDRESSES]


async def test_a_name_that_takes_too_long_to_look_up_is_a_connection_that_did_not_come_about(
    resolving: list[str],
) -> None:
    resolving.clear()
    with pytest.raises(httpcore.ConnectTimeout, match="not resolved in time"):
        await CheckedNetwork(allow_private=False).connect_tcp("upstream.test", 443, 0.05)
