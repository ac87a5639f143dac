"""What routes are collected in."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter


class Overrides:
    """What routes depend on in a test instead (``dependency_overrides``): apps share their routes, and so this."""

    def __init__(self) -> None:
        self.dependency_overrides: dict[Callable[..., Any], Callable[..., Any]] = {}


OVERRIDES = Overrides()


class Router(APIRouter):
    """Routes that an app takes as they are: one that is included instead is made a second time, with the app's first
    request, and looked for twice at every other. An operation's id is the name of its function unless it has one."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        super().__init__(
            prefix=prefix,
            generate_unique_id_function=lambda route: route.name,
            dependency_overrides_provider=OVERRIDES,
            **options,
        )
