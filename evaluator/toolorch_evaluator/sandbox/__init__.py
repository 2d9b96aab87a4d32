"""A sandbox for Python that a model wrote: one fresh, confined process per program.

docs/sandbox.md says from what it protects. This file stays empty of code: the confined side imports the package with
nothing but the standard library.
"""
