"""Confront the tables with the log: whether what is served is what was recorded.

The log says of each report whose it is, the hash of its bytes, and everything that became of it; the bytes say the
rows. So both are read again, and whatever a table says otherwise is named.
"""
