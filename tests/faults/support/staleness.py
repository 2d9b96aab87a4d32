"""An API server that lags: lists and watches are as of some events ago, until it has caught up."""

import asyncio
from fnmatch import fnmatchcase

from yarl import URL

WATCHER = "kopf"
"""The agent that lists in order to watch. Only such lists lag: the API server answers all others from its quorum."""


class Staleness:
    """How far the API server lags; `seen` knows the versions that came by.

    Arguments of the fault: `events` that it lags, `seconds` until it has caught up, `agent` whose lists lag, `*`: all.
    """

    def __init__(self, seen):
        self._seen = seen
        self._version, self._agent = 0, WATCHER
        self._caught_up = asyncio.Event()
        self._caught_up.set()
        self._ahead = None
        self._timer = None

    def arm(self, events, seconds, agent=WATCHER):
        """Have it lag from the next list or watch on: the next life of the operator begins with one."""
        self._ahead = (events, seconds, agent)

    def begin(self, events, seconds, agent=WATCHER):
        """Have it lag from now on."""
        versions = sorted(set(self._seen.versions))
        if not versions:
            return
        self._version, self._agent = versions[max(0, len(versions) - 1 - events)], agent
        self._caught_up.clear()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._caught_up.set)

    def close(self):
        """Lag no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._caught_up.set()

    def query(self, call, query, agent):
        """Return the query of a request, of a list such that it asks for the state that the API server lags at."""
        if call.verb in ("list", "watch") and call.is_namespaced and self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            self.begin(*ahead)
        is_late = call.verb == "list" and call.is_namespaced and not self._caught_up.is_set()
        if not is_late or "continue=" in query or not fnmatchcase(agent, self._agent):
            return query
        at = {"resourceVersion": str(self._version), "resourceVersionMatch": "Exact"}
        return URL(f"/?{query}", encoded=True).update_query(at).raw_query_string

    async def wait(self, version):
        """Wait until the API server shows a version."""
        if not version.isdigit() or int(version) > self._version:
            await self._caught_up.wait()
