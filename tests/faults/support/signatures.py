"""What a request to the API server asks for, and the signature by which a plan names it in every run of a workload."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

WRITES = frozenset(("create", "update", "patch", "delete"))
CLUSTER_SCOPED = frozenset(
    ("nodes", "namespaces", "persistentvolumes", "customresourcedefinitions", "storageclasses", "priorityclasses")
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v[0-9][^/]*(?:/namespaces/(?P<namespace>[^/]+)(?=/[a-z]))?"
    r"(?:/(?P<resource>[a-z]+))(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[a-z]+))?(?P<rest>/.*)?"
)
# What the API server makes up: the letters of its own suffixes, or a digest.
_MADE_UP = "[bcdfghjklmnpqrstvwxz2456789]"
_MASKS = (
    (re.compile(rf"-{_MADE_UP}{{8,10}}-{_MADE_UP}{{5}}$"), "-*"),
    (re.compile(rf"-{_MADE_UP}{{5}}$"), "-*"),
    (re.compile(r"(?<=[.-])[0-9a-f]{8,}$"), "*"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "*"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its verb in the words of the API server's rules, and whom it is about.

    `rest` is what follows a `proxy` subresource: the path at the server behind it.
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def key(self) -> str:
        """Name the object as `resource/name`; a list is about `resource` alone."""
        return f"{self.resource}/{self.name}" if self.name else self.resource

    @property
    def signature(self) -> str:
        """Say verb, resource, name with made-up suffixes masked, and subresource."""
        return _signature(self.verb, self.resource, self.name, self.subresource + self.rest)

    @property
    def is_write(self) -> bool:
        """Whether it may change an object."""
        return self.verb in WRITES and self.subresource != "proxy"

    @property
    def is_namespaced(self) -> bool:
        """Whether its resource lies in namespaces."""
        return bool(self.resource) and self.resource not in CLUSTER_SCOPED


def parse_call(method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> Call:
    """Return what a request asks for; `path` is still encoded. What names no resource is `get /path`."""
    found = _PATH.fullmatch(path)
    if found is None:
        return Call(_VERBS.get(method, "get"), "", rest=path)
    parts = {part: unquote(text or "") for part, text in found.groupdict().items()}
    if parts["subresource"] == "proxy":
        return Call("proxy", **parts)
    verb = _VERBS.get(method, "get")
    if verb == "get" and not parts["name"]:
        verb = "watch" if query.get("watch") in ("true", "1") else "list"
    call = Call(verb, **parts)
    return replace(call, name=_name_in(body)) if verb == "create" and not call.name else call


def narrow(call: Call, path: str, namespace: str) -> str:
    """Return the path by which a request for all namespaces gets only one of them."""
    if call.verb not in ("list", "watch") or call.namespace or not call.is_namespaced:
        return path
    stem, _, resource = path.rpartition("/")
    return f"{stem}/namespaces/{namespace}/{resource}"


def line_signature(line: Mapping[str, Any], resource: str) -> str:
    """Return the signature of one line of a watch: `MODIFIED pods/name`; a bookmark has no name."""
    meta = (line.get("object") or {}).get("metadata") or {}
    return _signature(str(line.get("type", "")), resource, str(meta.get("name", "")))


def mask(name: str) -> str:
    """Return a name with `*` for what the API server, or a digest, made up in it."""
    for pattern, instead in _MASKS:
        name = pattern.sub(instead, name)
    return name


def matches(signature: str, pattern: str) -> bool:
    """Tell whether a pattern with `*` names a signature; `write` stands for every verb that writes."""
    if fnmatchcase(signature, pattern):
        return True
    verb, _, rest = signature.partition(" ")
    return verb in WRITES and fnmatchcase(f"write {rest}", pattern)


def _signature(verb: str, resource: str, name: str, more: str = "") -> str:
    return f"{verb} " + "/".join(part for part in (resource, mask(name), more) if part)


def _name_in(body: bytes) -> str:
    try:
        meta = json.loads(body)["metadata"]
        return str(meta.get("name") or f"{meta['generateName']}*")
    except (ValueError, KeyError, TypeError):
        return ""
