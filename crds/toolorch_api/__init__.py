"""The contract of toolorch: both kinds, their conditions, and what operator and Job pods promise each other."""
