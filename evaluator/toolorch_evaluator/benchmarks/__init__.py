"""One folder per benchmark: its units, its conversation, its scoring; `base` says what every one of them offers."""
