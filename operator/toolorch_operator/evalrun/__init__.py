"""The brain of an EvalRun: from its spec and what is observed to what should change. PURE."""
