"""What can keep the demonstration from going on."""


class DemoError(RuntimeError):
    """The demonstration cannot go on; the message says why, for the person watching it."""
