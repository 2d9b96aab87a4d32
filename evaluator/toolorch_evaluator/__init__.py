"""The evaluator: what a Job pod runs, and the `toolorch` command line."""
