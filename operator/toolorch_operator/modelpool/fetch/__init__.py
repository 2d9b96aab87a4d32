"""A model's files come into a cache once, before the servers that read them. PURE."""
