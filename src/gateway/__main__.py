"""``gateway`` and ``python -m gateway``."""

import gc

from gateway.cli import cli


def main() -> None:
    # What a command imports stays: to look through it for garbage over and over is a fifth of a start.
    gc.set_threshold(20_000, 50, 50)
    cli()


if __name__ == "__main__":
    main()
