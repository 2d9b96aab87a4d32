"""What an output's Secret says of its store: the HTTP client's settings, the store's, and what it may not say. PURE.

The operator and a run's pods open the same store from the same Secret, and must read it alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Prefix of a store's variables, by the scheme of its URI.
PREFIXES = {"s3": "aws_", "gs": "google_", "az": "azure_"}
_CLIENT_OPTIONS = frozenset(
    ("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "root_certificate", "timeout")
)

# Keys of the Secret's own. Only those that the client prefers to any identity that it finds around it.
_KEYS = {
    "s3": ("access_key_id", "secret_access_key"),
    "gs": ("service_account_key", "bearer_token"),
    "az": ("storage_account_key", "storage_access_key", "storage_master_key", "storage_token"),
}
# Who sets one of these says where requests go, and so who sees what they are signed with.
_PLACES = {
    "s3": ("endpoint", "endpoint_url", "endpoint_url_s3"),
    "gs": ("base_url",),
    "az": ("endpoint", "storage_endpoint"),
}
_WAYS = ("proxy_url", "allow_invalid_certificates", "root_certificate")
_OTHERS = {
    "s3": (
        "session_token", "token", "region", "default_region", "virtual_hosted_style_request", "unsigned_payload",
        "checksum_algorithm", "conditional_put", "copy_if_not_exists", "disable_tagging", "disable_bulk_delete",
        "s3_express", "request_payer", "server_side_encryption", "sse_kms_key_id", "sse_bucket_key_enabled",
        "sse_customer_key_base64",
    ),
    "gs": (),
    "az": (
        "storage_account_name", "storage_sas_key", "storage_sas_token", "storage_client_id", "client_id",
        "storage_client_secret", "client_secret", "storage_tenant_id", "tenant_id", "storage_authority_id",
        "authority_id", "disable_tagging",
    ),
}  # fmt: skip
_UNSIGNED = "skip_signature"
# These become part of a host's name, which must stay the cloud's own.
_IN_HOSTS = ("region", "default_region", "storage_account_name")
_HOST_PART = re.compile(r"[A-Za-z0-9-]{1,63}")


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


def refuse_settings(scheme: str, variables: Mapping[str, str]) -> str:
    """Return why a stranger's Secret cannot open a store for a program with an identity of its own; empty: it can.

    Settings that name files or givers of identities would make the client send this program's own token wherever the
    Secret says; so would an address of the Secret's where it brings no keys.
    """
    own = {_bare(scheme, name): value for name, value in store_settings(scheme, variables).items()}
    known = {*_KEYS[scheme], *_PLACES[scheme], *_OTHERS[scheme], _UNSIGNED}
    if strange := sorted(own.keys() - known):
        named = ", ".join(PREFIXES[scheme] + name for name in strange)
        return f"the Secret sets {named}, which a run's Secret may not: give keys"
    if odd := [name for name in _IN_HOSTS if name in own and not _HOST_PART.fullmatch(own[name])]:
        return f"the Secret's {PREFIXES[scheme]}{odd[0]} may hold letters, digits and '-' only"
    guided = sorted({*own, *client_options(scheme, variables)} & {*_PLACES[scheme], *_WAYS})
    if guided and not _brings_keys(scheme, own):
        return f"the Secret sets {PREFIXES[scheme]}{guided[0]} and brings no keys of its own: the operator's stay here"
    return ""


def _brings_keys(scheme: str, own: Mapping[str, str]) -> bool:
    held = [bool(own.get(name)) for name in _KEYS[scheme]]
    # Of S3's two each is nothing without the other.
    return own.get(_UNSIGNED, "").lower() == "true" or (all(held) if scheme == "s3" else any(held))


def _bare(scheme: str, name: str) -> str:
    return name.lower().removeprefix(PREFIXES.get(scheme, ""))
