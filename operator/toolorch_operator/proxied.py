"""Where a model server is found behind the API server. PURE."""

from __future__ import annotations

from toolorch_api.modelpool import SERVER_PORT
from toolorch_operator.resources import SERVICES

# Never resolved: the tunnel's transport sends every request to the API server.
_HOST = "http://kubernetes"


def tunnel_url(namespace: str, service: str) -> str:
    """Return the OpenAI base URL of a replica's Service as seen through the API server's proxy."""
    return f"{_HOST}{SERVICES.path(namespace, f'{service}:{SERVER_PORT}', 'proxy')}/v1"
