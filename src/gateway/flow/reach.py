"""How far a caller reaches: the agencies whose rows the database shows at all while its request is answered.

It is worked out from the caller's token and not from what the request asks for, so that a check that was forgotten, or
is wrong, finds nothing of anybody else's behind it.
"""

from collections.abc import Iterable

from gateway.db.subtree import EVERYTHING, Seen, sight
from gateway.domain.agency import Agencies
from gateway.domain.catalogue import Catalogue
from gateway.flow.load import Catalogues
from gateway.flow.prepare import Prepared, Push


class Reach:
    """What the client of a subtree (None: of the whole country) sees, by the newest catalogue this process knows.

    It is asked anew for each connection. Before this process has read any catalogue, a subtree is nothing.
    Figures of the past are put together by the catalogue of then, by which others may have stood in the subtree.
    """

    def __init__(self, catalogues: Catalogues, root: str | None) -> None:
        self._catalogues, self._root = catalogues, root
        self._past: list[Catalogue] = []

    def seen(self) -> Seen:
        if self._root is None:
            return Seen(EVERYTHING.agencies)
        newest = self._catalogues.held
        known = self._past if newest is None else [newest, *self._past]
        if len(known) == 1:
            return Seen(known[0].agencies.reach_shown(self._root))
        return Seen(shown(number for each in known for number in each.agencies.reach(self._root)))

    def consider(self, past: Catalogue) -> None:
        """See also whom a catalogue of the past has in the subtree."""
        if self._root is not None and past is not self._catalogues.held:
            self._past.append(past)


def consider(past: Catalogue) -> None:
    """Have the caller whose request this is see also whom a catalogue of the past has in its subtree."""
    reach = sight()
    if isinstance(reach, Reach):
        reach.consider(past)


def shown(agencies: Iterable[int]) -> str:
    """Storage keys as PostgreSQL reads an array."""
    return f"{{{','.join(map(str, sorted(set(agencies))))}}}"


def reach_of(pushes: Iterable[Push], prepared: Iterable[Prepared], agencies: Agencies) -> Seen:
    """What pushes of one turn see together.

    Of one sender, all that it reaches; of several, the agencies that were reported of, each as far as the one who did
    reaches it: a push that should have been refused sees nothing by another's right.
    """
    clients = {str(each.client) for each in pushes if each.key is not None}
    kept = f"{{{','.join(sorted(clients))}}}" if clients else ""
    roots = {each.agency for each in pushes}
    if len(roots) == 1:
        [root] = roots
        return Seen(EVERYTHING.agencies if root is None else agencies.reach_shown(root), kept)
    ids = (agencies.ids[each.agency] for each in prepared if _reaches(agencies, each))
    return Seen(shown(ids), kept)


def _reaches(agencies: Agencies, prepared: Prepared) -> bool:
    root = prepared.push.agency
    return root is None or agencies.ids[prepared.agency] in agencies.reach(root)
