"""A small operator that is right: each EvalRun gets a Job, and a ConfigMap that repeats its shards."""

import json
import os
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

RUNS = "/apis/toolorch.dev/v1alpha1/evalruns"
JSON_TYPE, MERGE_TYPE, APPLY_TYPE = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"
AGENT = {"User-Agent": f"small-{os.getpid()}"}
RESYNC = 1
"""Seconds that a watch lasts: then everything is listed again."""
PAUSE = 0.1
"""Seconds before a request that failed is tried again."""


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code, body):
        super().__init__(f"{code} {body[:200]}")
        self.code = code


TROUBLE = (Refused, HTTPException, OSError, ValueError)
"""All that a request can come to, where it does not come to an answer."""


class Api:
    """The API server, one request at a time."""

    def __init__(self, server):
        self._address = urlsplit(server).netloc

    def ask(self, method, path, body=None, type_=JSON_TYPE):
        """Return the JSON of an answer; raise one of TROUBLE."""
        answer = self.open(method, path, body, type_)
        return json.loads(answer.read())

    def open(self, method, path, body=None, type_=JSON_TYPE):
        """Return an answer that is not read yet."""
        line = HTTPConnection(self._address, timeout=10)
        line.request(method, path, None if body is None else json.dumps(body), {"Content-Type": type_, **AGENT})
        answer = line.getresponse()
        if answer.status >= 300:
            raise Refused(answer.status, answer.read())
        return answer


class SmallOperator:
    """Lists, watches, and brings each EvalRun to what its spec says; it looks at each afresh, and remembers nothing."""

    def __init__(self, api):
        self.api = api

    def run(self):
        """Run until it is killed."""
        while True:
            try:
                self.watch(self.list())
            except TROUBLE:
                time.sleep(PAUSE)

    def list(self):
        """Take every EvalRun that is there, and return the version of the list."""
        found = self.api.ask("GET", RUNS)
        for item in found["items"]:
            self.take("ADDED", item)
        return found["metadata"]["resourceVersion"]

    def watch(self, version):
        """Take what comes after a version, until the watch ends; tell whether that was an error."""
        path = f"{RUNS}?watch=true&resourceVersion={version}&timeoutSeconds={RESYNC}"
        for line in self.api.open("GET", path):
            said = json.loads(line)
            if said["type"] == "ERROR":
                return True
            self.take(said["type"], said["object"])
        return False

    def take(self, type_, body):
        """Take one event; try until it is dealt with."""
        while type_ != "DELETED":
            try:
                return self.reconcile(body)
            except TROUBLE:
                time.sleep(PAUSE)

    def reconcile(self, body):
        """Bring one EvalRun to what its spec says."""
        run = self.read(body)
        if run is not None:
            shards = str(run["spec"]["shards"])
            self.make_job(run)
            self.write_echo(run, {"shards": shards})
            self.write_status(run, {"observedGeneration": run["metadata"]["generation"], "reason": f"Echoed{shards}"})

    def read(self, body):
        """Return an EvalRun as it is now; None: it is gone."""
        try:
            return self.api.ask("GET", path_of(body))
        except Refused as answer:
            if answer.code != 404:
                raise
        return None

    def make_job(self, run):
        """Make the Job of an EvalRun, unless it is there."""
        try:
            self.create_job(run, {"name": f"{name_of(run)}-a1"})
        except Refused as answer:
            if answer.code != 409:
                raise

    def create_job(self, run, meta):
        """Create a Job and return it."""
        path = f"{room_of(run, 'apis/batch/v1')}/jobs"
        pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
        meta = {**meta, "ownerReferences": [owner_of(run)]}
        # Suspended: nobody is there who would run its pods.
        spec = {"suspend": True, "template": {"spec": pod}}
        return self.api.ask("POST", path, {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})

    def write_echo(self, run, echoed):
        """Make the ConfigMap of an EvalRun hold what it is to hold."""
        path = f"{room_of(run, 'api/v1')}/configmaps/{name_of(run)}-echo"
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "data": echoed}
        manifest["metadata"] = {"name": f"{name_of(run)}-echo", "ownerReferences": [owner_of(run)]}
        self.api.ask("PATCH", f"{path}?fieldManager=small&force=true", manifest, APPLY_TYPE)

    def write_status(self, run, status):
        """Write the status of an EvalRun as it was read, unless it is so already."""
        if {**run.get("status", {}), **status} != run.get("status"):
            self.api.ask("PUT", f"{path_of(run)}/status", {**run, "status": {**run.get("status", {}), **status}})


def name_of(run):
    """Return the name of an EvalRun."""
    return run["metadata"]["name"]


def room_of(run, api):
    """Return the path of its namespace in an API."""
    return f"/{api}/namespaces/{run['metadata']['namespace']}"


def path_of(run):
    """Return its own path."""
    return f"{room_of(run, 'apis/toolorch.dev/v1alpha1')}/evalruns/{name_of(run)}"


def owner_of(run):
    """Return the reference by which its children go with it."""
    meta = run["metadata"]
    return {"apiVersion": "toolorch.dev/v1alpha1", "kind": "EvalRun", "name": meta["name"], "uid": meta["uid"]}
