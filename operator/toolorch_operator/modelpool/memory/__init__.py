"""From a memory crash to the settings that the next start has: the ladder. PURE."""
