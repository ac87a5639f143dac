import pytest

from gateway.connectors.network import may_connect

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
