"""A stand-in for `vllm serve`: same command line, log lines and API, with scripted brains and faults."""
