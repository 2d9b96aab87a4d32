"""The brain of ModelPools: from what was observed to the children, status and events that follow. PURE."""
