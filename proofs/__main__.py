"""``python -m proofs``: harm the gateway in every way and show that nothing is lost."""

from proofs.command import main

if __name__ == "__main__":
    main()
