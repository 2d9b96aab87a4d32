"""τ²-bench, by the rules of its v0.2.0: an agent, a simulated user and an environment of tools that both may use.

Tasks, policies, databases and the domains' tools come from the package inspect-evals; the conversation and the grading
are this project's own. Nothing here imports that package before an environment is built.
"""
