"""Civil dates: what day it is where reports are due."""

from datetime import date, datetime

from gateway.domain.period import VIETNAM


def civil_date(moment: datetime) -> date:
    """The day in Asia/Ho_Chi_Minh at a moment, which must carry its time zone."""
    return moment.astimezone(VIETNAM).date()
