"""The operator as a test can disturb and measure it."""

from collections import Counter

from kind_cluster import PATIENCE, RELEASE, RELEASE_NAMESPACE
from node_processes import peak_mib, signal_pods
from patience import until

QUIET_SECONDS = 5
"""Longer than between two looks at anything that is about to end."""
LEADS = "toolorch_leader 1.0"
DEPLOYMENT = f"deployment/{RELEASE}"
LABELS = "app.kubernetes.io/name=toolorch,app.kubernetes.io/component=operator"


class Operator:
    """The release's operator: one pod, unless a test says otherwise."""

    def __init__(self, cluster):
        self._cluster = cluster

    def pods(self):
        """Return its pods."""
        return self._cluster.get("pods", namespace=RELEASE_NAMESPACE, selector=LABELS)

    def restarts(self):
        """Return how often containers of its pods were started again."""
        return sum(c["restartCount"] for p in self.pods() for c in p["status"].get("containerStatuses", []))

    def kill(self):
        """SIGKILL its process; it is running when that is done."""
        until(lambda: signal_pods(self.pods()), seconds=PATIENCE)

    def wait(self):
        """Wait until it is available."""
        self._cluster.wait(DEPLOYMENT, "condition=Available", namespace=RELEASE_NAMESPACE)

    def refresh(self):
        """Make a fresh pod of it where it was killed often: the kubelet waits longer before each further restart."""
        if self.restarts() > 1:
            self.renew()

    def renew(self):
        """Have a fresh pod of it: its first resync is minutes away."""
        self._cluster.kubectl("rollout", "restart", DEPLOYMENT, namespace=RELEASE_NAMESPACE)
        self._cluster.kubectl("rollout", "status", DEPLOYMENT, "--timeout=120s", namespace=RELEASE_NAMESPACE)

    def scale(self, replicas):
        """Run so many of it, and wait until exactly those are there and ready."""
        self._cluster.kubectl("scale", DEPLOYMENT, f"--replicas={replicas}", namespace=RELEASE_NAMESPACE)
        until(self.pods, lambda pods: len(pods) == replicas and all(map(_is_ready, pods)), seconds=PATIENCE)

    def settle(self):
        """Wait until it leads and asks for nothing any more, so that what comes is not what went before.

        Returns its counters. One that stands by asks for nothing either, and has everything still to come.
        """
        until(lambda: f"{LEADS}\n" in self._metrics(), seconds=PATIENCE, pause=1)
        seen = [Counter()]

        def is_quiet():
            seen.append(self.counters())
            return seen[-1] == seen[-2]

        until(is_quiet, seconds=PATIENCE, pause=QUIET_SECONDS)
        return seen[-1]

    def elect(self, switch):
        """Have its pods elect a leader, or not: true or false."""
        variable = f"TOOLORCH_LEADER_ELECTION={switch}"
        self._cluster.kubectl("set", "env", DEPLOYMENT, variable, namespace=RELEASE_NAMESPACE)
        self._cluster.kubectl("rollout", "status", DEPLOYMENT, "--timeout=120s", namespace=RELEASE_NAMESPACE)

    def peak_mib(self):
        """Return the most memory that its process ever held, in MiB, as its node says."""
        (pod,) = self.pods()
        return peak_mib(pod)

    def counters(self):
        """Return its counters of requests, by metric and labels; its lease, which it renews for ever, left out."""
        text = self._metrics()
        lines = [line for line in text.splitlines() if line.startswith("toolorch_") and 'resource="leases"' not in line]
        rows = (line.rpartition(" ") for line in lines)
        return Counter({head: int(float(value)) for head, _, value in rows if "_requests_total{" in head})

    def _metrics(self):
        with self._cluster.forward(DEPLOYMENT, 8080, namespace=RELEASE_NAMESPACE) as port:
            address = f"http://127.0.0.1:{port}/metrics"
            return self._cluster.call("curl", "--silent", "--noproxy", "*", address).stdout


def _is_ready(pod):
    found = [c["status"] for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
    return found == ["True"]
