"""The proof that delivery loses nothing: harm done on purpose, a record kept outside, and a checker of it."""
