"""Faults from outside: what networks, disks and the loss of processes do to a gateway, without a hook in it."""
