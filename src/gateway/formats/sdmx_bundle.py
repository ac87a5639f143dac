"""Which artefacts a request gets: those it names, and by `references` those around them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from gateway.formats.sdmx_mapping import Structures
from gateway.formats.sdmx_structures import Artefact, Kind, Reference, Scheme

_STUBS = {"allstubs", "allcompletestubs"}
_REFERENCE_STUBS = {"referencestubs", "referencecompletestubs"}


class Bundle:
    """The artefacts there are, with what refers to what; each kind is described when it is first asked for."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self._by_kind: dict[Kind, list[Artefact]] = {}

    def every(self, kinds: Iterable[Kind]) -> list[Artefact]:
        for kind in kinds:
            if kind not in self._by_kind:
                self._by_kind[kind] = self._structures.all(kind)
        return [each for kind in kinds for each in self._by_kind[kind]]

    def named(
        self,
        kinds: Iterable[Kind],
        agencies: frozenset[str] | None,
        ids: frozenset[str] | None,
        versions: frozenset[str] | None,
    ) -> list[Artefact]:
        """Artefacts by name; None is all, and no version at all the latest."""
        return [
            each
            for each in self.every(sorted(kinds))
            if (agencies is None or each.reference.agency in agencies or each.reference.kind is Kind.agencyscheme)
            and (ids is None or each.reference.id in ids)
            and self._has_version(each.reference, versions)
        ]

    def _has_version(self, reference: Reference, versions: frozenset[str] | None) -> bool:
        if versions is None or reference.version in versions:
            return True
        return not versions and self._structures.is_latest(reference)

    def around(self, found: Sequence[Artefact], references: frozenset[str]) -> list[Artefact]:
        """What comes along with some artefacts, without them: by one of the words of the standard, or by kind."""
        steps: dict[str, Callable[[Sequence[Artefact]], list[Artefact]]] = {
            "none": lambda _: [],
            "children": self._children,
            "descendants": self._descendants,
            "parents": self._parents,
            "ancestors": self._ancestors,
            "parentsandsiblings": self._with_siblings,
            "all": self._all,
        }
        word = next((each for each in references if each in steps), None)
        came = self._all(found) if word is None else steps[word](found)
        if word is None:
            came = [each for each in came if each.reference.kind in references]
        own = {each.reference for each in found}
        return list({each.reference: each for each in came if each.reference not in own}.values())

    def _children(self, found: Sequence[Artefact]) -> list[Artefact]:
        wanted = {reference for each in found for reference in each.references}
        return [each for each in self.every(sorted({each.kind for each in wanted})) if each.reference in wanted]

    def _parents(self, found: Sequence[Artefact]) -> list[Artefact]:
        wanted = {each.reference for each in found}
        return [each for each in self.every(Kind) if wanted.intersection(each.references)]

    def _descendants(self, found: Sequence[Artefact]) -> list[Artefact]:
        return _closure(found, self._children)

    def _ancestors(self, found: Sequence[Artefact]) -> list[Artefact]:
        return _closure(found, self._parents)

    def _with_siblings(self, found: Sequence[Artefact]) -> list[Artefact]:
        parents = self._parents(found)
        return parents + self._children(parents)

    def _all(self, found: Sequence[Artefact]) -> list[Artefact]:
        return self._descendants(found) + self._with_siblings(found)


def _closure(found: Sequence[Artefact], step: Callable[[Sequence[Artefact]], list[Artefact]]) -> list[Artefact]:
    seen = {each.reference: each for each in found}
    latest = list(found)
    while latest:
        latest = [each for each in step(latest) if each.reference not in seen]
        seen |= {each.reference: each for each in latest}
    return list(seen.values())


def only_items(artefact: Artefact, items: frozenset[str] | None) -> Artefact:
    """A scheme with some of its items."""
    if items is None or not isinstance(artefact, Scheme):
        return artefact
    kept = [each for each in artefact.items if each.id in items]
    here = {each.id for each in kept}
    orphaned = [each if each.parent in here else replace(each, parent=None) for each in kept]
    return replace(artefact, items=orphaned, is_partial=True)


def stubs(detail: str, found: Sequence[Artefact], came: Sequence[Artefact]) -> frozenset[Reference]:
    """Which artefacts are only named."""
    named = [*found, *came] if detail in _STUBS else came if detail in _REFERENCE_STUBS else []
    return frozenset(each.reference for each in named)
