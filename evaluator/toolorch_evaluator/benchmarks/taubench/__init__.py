"""τ-bench (v1): its rules, over the retail and airline tasks that τ²-bench keeps.

Source: sierra-research/tau-bench, tau_bench/envs/base.py and tau_bench/agents/.
"""
