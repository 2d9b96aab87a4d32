"""What the client of the API server does for any program, and a busy operator can do without. EDGE."""

from __future__ import annotations

from typing import Any
from urllib.request import getproxies

CONNECTIONS = 24
"""At once, each with buffers of 250 KB; eight workers with some reads each."""
PAGE = 100
"""Objects of a listing that are held at once, of several kinds at a time: each takes some 100 KB."""
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
"""In one cluster, packing and unpacking an answer takes longer than its way."""


def spare(configuration: Any, *, in_cluster: bool) -> None:
    """Change a configuration of the Kubernetes client to fewer connections and no search for proxies where none are.

    The client looks for them, and for a file of passwords, before each single request.
    """
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    if in_cluster:
        # Else questions to model servers, which take their time, go the same way.
        configuration.connection_pool_maxsize = CONNECTIONS
