"""What an answer says in its body, for systems that answer 200 whatever becomes of a request."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.connectors.template import at_step


def unlike(answer: object, expected: Mapping[str, Sequence[object]]) -> str | None:
    """The first place (a JSON Pointer) of an answer where there is none of the values expected; None where all fit.

    `*` is each element of a list: all must fit, and there must be one.
    """
    for place, values in expected.items():
        found = found_at(answer, place)
        if not found or not all(any(_same(each, value) for value in values) for each in found):
            return place
    return None


def found_at(answer: Any, place: str) -> list[Any]:
    """What is at a place: null where there is nothing, many things by `*`."""
    found = [answer]
    for step in place.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = [
            member
            for each in found
            for member in (each if step == "*" and isinstance(each, list) else at_step(each, name) or [None])
        ]
    return found


def _same(one: object, other: object) -> bool:
    """Equal as JSON has it: 1 is 1.0, and is not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
