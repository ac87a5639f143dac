"""The demonstration: a period of the whole country, pushed, kept, forwarded and counted before one's eyes.

Everything in it is real: PostgreSQL, the API, a worker and a stand-in national system, each a process of its own
and spoken to over HTTP alone. What should come out is counted here too, from what was sent, so that the
demonstration fails when the gateway is wrong.
"""

PROVINCES = 34
"""How many there are."""
