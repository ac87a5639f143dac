"""The statements of the gateway at which faults strike, known by words that occur in no other."""

STORING = "INSERT INTO payloads"
"""Stores reports with all that hangs on them, and is a transaction of its own."""
CLAIMING = "UPDATE deliveries d SET state = 'sending'"
"""Makes due deliveries ours, and is a transaction of its own."""
RECORDING = "finished_at = CASE WHEN given.state = 'pending'"
"""Records how attempts ended, and is a transaction of its own."""
