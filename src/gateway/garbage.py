"""The collector of garbage, in processes that import much, and that hold a catalogue of many objects for long."""

import gc


def collect_seldom() -> None:
    """Look for garbage less often: what a process has made mostly stays."""
    gc.set_threshold(20_000, 50, 50)


def spare() -> None:
    """Do not look again at what was made so far, and seldom at what is made from now on, which goes soon.

    Looking through everything over and over was a tenth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    collect_seldom()
