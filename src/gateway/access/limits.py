"""How much a client may ask for: requests in a second, reports in a day."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one client; None is the setting for all, and unlimited where that is None."""

    requests_per_second: float | None = None
    burst: int | None = None
    """How many requests may come at once, if none came before; a second's worth by default."""
    reports_per_day: int | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Limits":
        """The limits in a client's row."""
        rate = row["requests_per_second"]
        return cls(None if rate is None else float(rate), row["burst"], row["reports_per_day"])

    @classmethod
    def read(cls, claim: Mapping[str, Any]) -> "Limits":
        """The limits in a token."""
        return cls(**{each.name: claim.get(each.name) for each in fields(cls)})

    def shown(self) -> dict[str, Any]:
        """What is said of them in a token."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    def within(self, default: "Limits") -> "Limits":
        """These limits where they are set, else those of everybody."""
        per_second = self.requests_per_second or default.requests_per_second
        return Limits(
            per_second,
            None if per_second is None else self.burst or default.burst or max(1, math.ceil(per_second)),
            default.reports_per_day if self.reports_per_day is None else self.reports_per_day,
        )


NONE = Limits()
