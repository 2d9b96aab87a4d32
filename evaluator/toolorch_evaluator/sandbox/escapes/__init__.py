"""Programs that try to get out of the sandbox, each with what stops it and without what it succeeds."""
