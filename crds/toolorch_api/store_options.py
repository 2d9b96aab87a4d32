"""Which keys of an output's Secret are settings of the HTTP client, told apart from those of the store. PURE.

The operator and a run's pods open the same store from the same Secret, and must read it alike.
"""

from __future__ import annotations

from collections.abc import Mapping

# Prefix of a store's variables, by the scheme of its URI.
PREFIXES = {"s3": "aws_", "gs": "google_", "az": "azure_"}
_CLIENT_OPTIONS = frozenset(
    ("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "root_certificate", "timeout")
)


def client_options(scheme: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the HTTP client's settings among variables such as AWS_ALLOW_HTTP, by their names without the prefix."""
    named = {_bare(scheme, name): value.strip() for name, value in variables.items()}
    return {name: value for name, value in named.items() if name in _CLIENT_OPTIONS}


def store_settings(scheme: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the store's own settings among variables such as AWS_REGION, in lower case."""
    prefix = PREFIXES[scheme]
    lower = {name.lower(): value.strip() for name, value in variables.items()}
    own = {name: value for name, value in lower.items() if name.startswith(prefix)}
    return {name: value for name, value in own.items() if _bare(scheme, name) not in _CLIENT_OPTIONS}


def _bare(scheme: str, name: str) -> str:
    return name.lower().removeprefix(PREFIXES.get(scheme, ""))
