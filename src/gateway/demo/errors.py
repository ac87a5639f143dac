"""What can keep the demonstration from going on."""

from gateway.errors import Hindrance


class DemoError(Hindrance):
    """The demonstration cannot go on; the message says why, for the person watching it."""
