"""Processes of pods as their nodes see them: what ends them so is seen by nobody before it happened."""

import signal
import subprocess


def signal_pods(pods, number=signal.SIGKILL):
    """Send a signal to the first process of each pod's only container, by its id; return how many of them ran."""
    sent = 0
    for node in {pod["spec"]["nodeName"] for pod in pods}:
        found = find_processes(node)
        ids = [found[c] for pod in pods if pod["spec"]["nodeName"] == node and (c := _container(pod)) in found]
        sent += len(ids) if ids and _on_node(node, "kill", f"-{int(number)}", *ids).returncode == 0 else 0
    return sent


def peak_mib(pod):
    """Return the most memory that a pod's first process ever held, in MiB."""
    node = pod["spec"]["nodeName"]
    lines = _on_node(node, "cat", f"/proc/{find_processes(node)[_container(pod)]}/status").stdout.splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def find_processes(node):
    """Return the ids of the first processes of all containers that run on a node, by the container's id."""
    rows = (line.split() for line in _on_node(node, "ctr", "-n", "k8s.io", "tasks", "ls").stdout.splitlines())
    return {row[0]: row[1] for row in rows if row[2] == "RUNNING"}


def _container(pod):
    (state,) = pod["status"].get("containerStatuses") or [{}]
    return state.get("containerID", "").removeprefix("containerd://")


def _on_node(node, *command):
    return subprocess.run(["docker", "exec", node, *command], capture_output=True, text=True, check=False)
