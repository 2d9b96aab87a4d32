"""Brains by model name: pure functions from the request and a task's reference to the next message.

Nothing is remembered between requests: progress is read from the messages, so retries, restarts and moves between
replicas change nothing.
"""
