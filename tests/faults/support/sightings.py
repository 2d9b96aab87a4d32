"""What the proxy has seen of every object: its newest version, and the order in which versions came by."""

from __future__ import annotations

import json


class Sightings:
    """Versions by key, as answers and watch lines told of them; `versions` are all that came by, oldest first."""

    def __init__(self):
        self.newest = {}
        self.versions = []

    def see(self, key, version):
        """Take note of one version of an object; what is older than a version seen before changes nothing."""
        if _number(version) > _number(self.newest.get(key, "")):
            self.newest[key] = version
            self.versions.append(int(version))

    def lose(self, key, version=""):
        """Take note that an object is gone, as of a version."""
        if not version or _number(version) >= _number(self.newest.get(key, "")):
            self.newest.pop(key, None)

    def see_list(self, resource, found):
        """Take note of the objects of a list."""
        for item in found.get("items") or ():
            meta = item["metadata"]
            self.see(f"{resource}/{meta['name']}", meta.get("resourceVersion", ""))

    def judge(self, call, status, manifest, before):
        """Tell whether an answer shows that a write changed its object, and take note of the version it shows.

        `before` is the version when the write came. A deletion that left nothing answers with a Status, which has no
        version.
        """
        version = (manifest.get("metadata") or {}).get("resourceVersion", "")
        if status >= 300 or not call.name or manifest.get("kind", "").endswith("List"):
            return False
        is_gone = call.verb == "delete" and manifest.get("kind") == "Status"
        if not version and not is_gone:
            return False
        self.lose(call.key) if is_gone else self.see(call.key, version)
        return call.is_write and (is_gone or version != before)


def _number(version):
    return int(version) if version.isdigit() else 0


def parse_manifest(body):
    """Return the object of an answer, or nothing."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
