"""The proof that delivery loses nothing: faults on purpose, a record kept outside, and a checker. See docs/proofs.md."""
