"""The tree of RFC 6962, by its published test vectors and by another implementation, written as the text reads."""

import hashlib
from collections.abc import Sequence

import pytest

from gateway.evidence.merkle import (
    EMPTY_ROOT,
    Frontier,
    InvalidProof,
    Node,
    consistency_ranges,
    hashes_of,
    inclusion_ranges,
    leaf_hash,
    root_by_inclusion,
    root_of,
    verify_consistency,
)

# The vectors of Certificate Transparency's own tests: leaves, and the root of the first so many of them.
LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_published_roots() -> None:
    hashes = [leaf_hash(each) for each in LEAVES]
    assert root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [root_of(hashes[: n + 1]).hex() for n in range(8)] == ROOTS


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (
            0,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ],
)
def test_the_published_inclusion_proofs(index: int, size: int, path: list[str]) -> None:
    hashes = [leaf_hash(each) for each in LEAVES]
    assert [each.hex() for each in hashes_of(inclusion_ranges(index, size), nodes(hashes[:size]))] == path
    assert (
        root_by_inclusion(hashes[index], index, size, [bytes.fromhex(each) for each in path]).hex() == ROOTS[size - 1]
    )


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (1, 1, []),
        (
            1,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ],
)
def test_the_published_consistency_proofs(old: int, new: int, path: list[str]) -> None:
    hashes = [leaf_hash(each) for each in LEAVES]
    assert [each.hex() for each in hashes_of(consistency_ranges(old, new), nodes(hashes[:new]))] == path
    given = [bytes.fromhex(each) for each in path]
    verify_consistency(old, bytes.fromhex(ROOTS[old - 1]), new, bytes.fromhex(ROOTS[new - 1]), given)


# The other implementation: the definitions of RFC 6962, 2.1, word for word.


def plain_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:k]) + plain_root(leaves[k:])).digest()


def plain_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m < k:
        return [*plain_path(m, leaves[:k]), plain_root(leaves[k:])]
    return [*plain_path(m - k, leaves[k:]), plain_root(leaves[:k])]


def plain_consistency(m: int, leaves: Sequence[bytes], is_whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if is_whole else [plain_root(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m <= k:
        return [*plain_consistency(m, leaves[:k], is_whole), plain_root(leaves[k:])]
    return [*plain_consistency(m - k, leaves[k:], False), plain_root(leaves[:k])]


def nodes(hashes: Sequence[bytes]) -> dict[Node, bytes]:
    found: dict[Node, bytes] = {}
    frontier = Frontier()
    for each in hashes:
        frontier.add(each, lambda level, index, hash_: found.update({(level, index): hash_}))
    return found


SIZE = 300
HASHES = [leaf_hash(n.to_bytes(2)) for n in range(SIZE)]


def sampled(size: int) -> list[int]:
    """The places of a tree where something can be different, and some of those between."""
    return sorted(
        {0, 1, size // 2, size - 2, size - 1, size // 3, 1 << (size - 1).bit_length() >> 1} & set(range(size))
    )


def test_roots_and_proofs_of_every_size_agree_with_the_other_implementation() -> None:
    every = nodes(HASHES)
    for size in range(1, SIZE + 1):
        root = plain_root(HASHES[:size])
        assert root_of(HASHES[:size]) == root
        for index in sampled(size) if size > 40 else range(size):
            path = hashes_of(inclusion_ranges(index, size), every)
            assert size % 7 or path == plain_path(index, HASHES[:size])
            assert root_by_inclusion(HASHES[index], index, size, path) == root
        for old in sampled(size) if size > 40 else range(1, size + 1):
            if old:
                path = hashes_of(consistency_ranges(old, size), every)
                assert size % 7 or path == plain_consistency(old, HASHES[:size])
                verify_consistency(old, plain_root(HASHES[:old]), size, root, path)


def test_a_proof_that_is_changed_in_any_way_is_none() -> None:
    every = nodes(HASHES)
    for size in (2, 3, 7, 8, 100):
        root = root_of(HASHES[:size])
        for index in sampled(size):
            path = hashes_of(inclusion_ranges(index, size), every)
            for wrong in (*changed(path), path[::-1] if path != path[::-1] else [*path, root]):
                with pytest.raises(InvalidProof):
                    assert_root(HASHES[index], index, size, wrong, root)
            assert_not(index, size, path, root)
        for old in range(1, size):
            path = hashes_of(consistency_ranges(old, size), every)
            before = root_of(HASHES[:old])
            for wrong in changed(path):
                with pytest.raises(InvalidProof):
                    verify_consistency(old, before, size, root, wrong)
            for first, last in ((root, root), (before, before)):
                with pytest.raises(InvalidProof):
                    verify_consistency(old, first, size, last, path)


def assert_root(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    if root_by_inclusion(leaf, index, size, path) != root:
        raise InvalidProof("another root")


def assert_not(index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Another leaf at the place, and the leaf at another place."""
    for leaf, place in ((HASHES[index + 1], index), (HASHES[index], index ^ 1)):
        with pytest.raises(InvalidProof):
            assert_root(leaf, place, size, path, root)


def changed(path: Sequence[bytes]) -> list[list[bytes]]:
    flipped = [[*path[:n], bytes([path[n][0] ^ 1]) + path[n][1:], *path[n + 1 :]] for n in range(len(path))]
    return [*flipped, [*path, EMPTY_ROOT], list(path[:-1])] if path else [[EMPTY_ROOT]]


def test_a_proof_of_a_place_that_is_not_in_the_tree_is_none() -> None:
    for index, size in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(InvalidProof):
            root_by_inclusion(HASHES[0], index, size, [])
    with pytest.raises(InvalidProof):
        verify_consistency(3, HASHES[0], 2, HASHES[0], [])
    for old, new in ((-1, 3), (1, 0)):
        with pytest.raises(InvalidProof):
            verify_consistency(old, EMPTY_ROOT, new, HASHES[0], [])


def test_every_tree_grew_out_of_the_empty_one_and_nothing_else_is_its_root() -> None:
    root = root_of(HASHES[:5])
    verify_consistency(0, EMPTY_ROOT, 5, root, [])
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    for old_root, path in ((root, []), (EMPTY_ROOT, [root])):
        with pytest.raises(InvalidProof):
            verify_consistency(0, old_root, 5, root, path)
