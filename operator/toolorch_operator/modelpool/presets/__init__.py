"""Which parsers and templates a family of models works with. PURE."""
