"""Where a connector may connect to, so that its URL cannot be turned against the gateway's own network."""

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM

import httpcore

_PRIVATE_4 = [
    IPv4Network(block) for block in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
]
_PRIVATE_6 = [IPv6Network("::1/128"), IPv6Network("fc00::/7")]
_UNICAST_6 = IPv6Network("2000::/3")
"""All that IANA has given out as global unicast: what lies outside is never a public IPv6 address."""
_NEVER_4 = [
    IPv4Network(block)
    for block in ("192.0.0.0/24", "192.88.99.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24")
]
_NEVER_6 = [IPv6Network(block) for block in ("2002::/16", "3fff::/20", "2620:4f:8000::/48")]
"""6to4, whose addresses hide an IPv4 one, documentation (RFC 9637), AS112 (RFC 7534, 7535) and AMT (RFC 7450): not
every Python knows these, and some are global without anything being there that takes reports."""
_METADATA_4 = [IPv4Address("100.100.100.200"), IPv4Address("168.63.129.16"), IPv4Address("192.0.0.192")]
_METADATA_6 = [IPv6Address("fd00:ec2::254"), IPv6Address("fd20:ce::254")]
"""Where clouds tell a machine its secrets, outside the link-local addresses."""
_CARRIES_4 = [IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")]
"""IPv4-mapped (RFC 4291) and NAT64 (RFC 6052): the last 32 bits are the IPv4 address that is reached."""


def may_connect(address: str, *, allow_private: bool) -> bool:
    """Whether an address is public or, where allowed, private (RFC 1918, 6598, 4193) or this machine.

    Link-local, multicast, reserved and documentation addresses, and those where clouds keep metadata, never are.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and any(parsed in block for block in _CARRIES_4):
        parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    if parsed in (*_METADATA_4, *_METADATA_6):
        return False
    if isinstance(parsed, IPv4Address):
        public = parsed.is_global and not parsed.is_multicast and not any(parsed in net for net in _NEVER_4)
        return public or (allow_private and any(parsed in net for net in _PRIVATE_4))
    public = parsed in _UNICAST_6 and parsed.is_global and not any(parsed in net for net in _NEVER_6)
    return public or (allow_private and any(parsed in net for net in _PRIVATE_6))


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a name once, refuses it if any address is out of bounds, connects to the addresses it checked.

    A second look-up could give another answer (DNS rebinding), so there is none. TLS and `Host` keep the name
    in the URL: only the connection is made by address.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._network: httpcore.AsyncNetworkBackend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the library's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers; each gets an equal share of the time."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(addresses[-1], port, share, local_address, socket_options)

    async def _resolve(self, host: str, port: int) -> list[str]:
        """Every address of the host (never none), all of them checked."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} could not be resolved") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not may_connect(address, allow_private=self._allow_private):
                raise httpcore.ConnectError(f"{host} is {address}, where this connector may not connect to")
        return addresses
