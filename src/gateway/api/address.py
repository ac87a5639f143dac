"""Where a request comes from: its peer or, through proxies that are trusted, whoever they say they had it from."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TypeAlias

from fastapi import Request

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]


def is_trusted(address: str | None, trusted: Networks) -> bool:
    """Whether an address is that of a proxy of ours."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def peer_of(request: Request) -> str | None:
    """The address at the other end of the connection; None where the server knows none."""
    return None if request.client is None else request.client.host


def address_of(request: Request, trusted: Networks) -> str | None:
    """The address of whoever sent a request: of `X-Forwarded-For` as much as trusted proxies wrote, from the right."""
    address = peer_of(request)
    said = [part.strip() for value in request.headers.getlist("x-forwarded-for") for part in value.split(",")]
    while said and is_trusted(address, trusted):
        try:
            address = str(ip_address(said.pop()))
        except ValueError:
            break
    return address
