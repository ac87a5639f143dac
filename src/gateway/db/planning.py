"""How PostgreSQL plans the statements that run all day: once for each connection, and by keys alone.

By itself it plans a statement anew each time when it knows how many there are of something and takes that to be few
(PREPARE, "Notes"). Planning a report's intake takes longer than the intake, since its tables have many partitions.
"""

import re

_ARRAY = re.compile(r"\$\d+::\w+\[\]")


def planned_once(statement: str) -> str:
    """The same statement, but planned before it is known how many members its arrays have.

    Each look-up in it must be one that goes through an index whatever it was planned on: a lateral subquery that ends
    with OFFSET 0 does.
    """
    return _ARRAY.sub(lambda found: f"(SELECT {found[0]})::{found[0].partition('::')[2]}", statement)


# A statement that joins ids that it was given to a table says ``d.id = ANY (ARRAY[given.id])``: as an equation it could
# be answered, too, while the table is small, by reading an index of it from end to end.
BY_KEYS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}
"""Settings of connections whose statements all take a handful of rows by an index, however much there is: a plan that
was made while a table was almost empty is as good when it has grown, and they need not know which it is. Where there is
no other way a table is read whole, and rows are sorted, all the same."""
