"""A server that somebody else runs, and the Job that asks it with its key. PURE."""
