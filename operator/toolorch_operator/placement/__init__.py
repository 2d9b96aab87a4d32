"""Which node each replica goes to: nodes and demands in, assignments and rejections with their reasons out. PURE."""
