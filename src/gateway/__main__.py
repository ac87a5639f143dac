"""``gateway`` and ``python -m gateway``."""

from gateway.cli import cli
from gateway.garbage import collect_seldom


def main() -> None:
    collect_seldom()  # what a command imports stays: to look through it over and over is a fifth of a start
    cli()


if __name__ == "__main__":
    main()
