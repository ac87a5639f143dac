"""A stand-in for the national system, to try the gateway out and to test it with: `gateway sandbox`.

A test double and nothing more: it takes what connectors of kind `http_json` and `gateway` send, checks what a careful
receiver checks, keeps the list of arrivals in memory, and misbehaves when told to. It shares no code with the
connectors, so the two can only agree by both following the standards.
"""
