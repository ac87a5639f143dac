"""Promises broken on purpose: what the checker has to find, or it proves nothing.

Each control changes one thing inside the gateway's own processes, before they run. Nothing of it is in the product.
"""

from collections.abc import Callable

CONTROLS: dict[str, Callable[[], None]] = {}
"""By name, what breaks a promise; its docstring says which."""


def control(act: Callable[[], None]) -> Callable[[], None]:
    """Add a way to break a promise; underscores of its name are hyphens on the command line."""
    CONTROLS[act.__name__.replace("_", "-")] = act
    return act


def break_on_purpose(name: str) -> None:
    """Break a promise in this process."""
    CONTROLS[name]()
