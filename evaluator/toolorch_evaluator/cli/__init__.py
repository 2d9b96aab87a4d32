"""The `toolorch` command line: the same documents, brains and evaluator as in a cluster, on this machine."""
