"""The database's time, as one process knows it without asking."""

import time
from datetime import datetime


class DatabaseClock:
    """Told by the database now and then, and carried on by a clock of this machine that nobody can set.

    So a machine whose time of day is wrong, or is put right by an hour, judges tokens as all others do. Until it was
    told it goes by the machine's time of day.
    """

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def learn(self, at: datetime) -> None:
        """It is that time by the database now."""
        self._ahead = at.timestamp() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return time.monotonic() + self._ahead
