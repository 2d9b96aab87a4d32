"""kubectl and helm against the kind cluster that `make cluster images` leaves."""

import base64
import contextlib
import json
import os
import re
import secrets
import subprocess
import threading
import time
from pathlib import Path

from obstore.store import S3Store
from patience import until

CHART = Path(__file__).resolve().parents[3] / "helm" / "toolorch"
RELEASE = "toolorch"
RELEASE_NAMESPACE = "default"
"""That of `make demo`: one operator per cluster, whoever installed it."""
CACHE = Path(os.environ.get("TOOLORCH_CACHE", Path.home() / ".cache" / "toolorch"))
OWN_VALUES = Path(__file__).resolve().parents[1] / "values.yaml"
S3 = "toolorch-s3"
PATIENCE = 180
"""Seconds for anything that a cluster does: it shares two cores with all others."""


class Cluster:
    """kubectl and helm against the kind cluster; text in, text out."""

    def __init__(self, kubeconfig):
        self.env = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "PATH": f"{CACHE / 'kind' / 'bin'}:{os.environ['PATH']}",
        }

    def call(self, *command, given=None, timeout=PATIENCE):
        """Run a program; return what it did, failed or not."""
        return subprocess.run(
            [*map(str, command)],
            input=given,
            capture_output=True,
            text=True,
            env=self.env,
            timeout=timeout,
            check=False,
        )

    def kubectl(self, *arguments, namespace="", given=None):
        """Run kubectl and return what it prints; an error fails the test."""
        done = self.call("kubectl", *(["--namespace", namespace] if namespace else []), *arguments, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}"
        return done.stdout

    def helm(self, *arguments):
        """Run helm and return what it prints; an error fails the test."""
        done = self.call("helm", *arguments, timeout=2 * PATIENCE)
        assert done.returncode == 0, f"helm {' '.join(map(str, arguments))}: {done.stderr}"
        return done.stdout

    def get(self, kind, name="", *, namespace="", selector=""):
        """Return an object, or without a name the list of them."""
        options = ["--selector", selector] if selector else []
        found = json.loads(
            self.kubectl("get", kind, *([name] if name else []), *options, "-o", "json", namespace=namespace)
        )
        return found if name else found["items"]

    def apply(self, manifest, *, namespace=""):
        """Apply a manifest: a dict, or YAML as text."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "-f", "-", namespace=namespace, given=text)

    def wait(self, what, condition, *, namespace="", seconds=PATIENCE):
        """Wait for a condition as `kubectl wait` does."""
        done = self.call(
            "kubectl", "--namespace", namespace, "wait", what, f"--for={condition}", f"--timeout={seconds}s",
            timeout=seconds + 10,
        )  # fmt: skip
        assert done.returncode == 0, f"{what} is not {condition}: {done.stderr}\n{self.explain(what, namespace)}"

    def explain(self, what, namespace):
        """Return what a person would look at when something does not come."""
        status = self.call("kubectl", "--namespace", namespace, "get", what, "-o", "jsonpath={.status}").stdout
        pods = self.call("kubectl", "--namespace", namespace, "get", "pods", "-o", "wide").stdout
        log = self.call(
            "kubectl", "--namespace", RELEASE_NAMESPACE, "logs", f"deployment/{RELEASE}", "--tail=20"
        ).stdout
        return f"{status}\n{pods}\n{log}"

    @contextlib.contextmanager
    def forward(self, what, port, *, namespace):
        """Forward a free local port to a Service or pod for as long as the block runs."""
        process = subprocess.Popen(
            ["kubectl", "--namespace", namespace, "port-forward", what, f":{port}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.env,
        )  # fmt: skip
        try:
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, f"kubectl port-forward {what}: {line}"
            yield int(found.group(1))
        finally:
            process.terminate()
            process.wait(timeout=10)
            process.stdout.close()

    @contextlib.contextmanager
    def watching(self, what, path, *, namespace, selector=""):
        """Collect (seconds of time.monotonic, text of a JSONPath) for each change, while the block runs."""
        chosen = [*(["--selector", selector] if selector else []), "-o", f"jsonpath={path}{{'\\n'}}"]
        process = subprocess.Popen(
            ["kubectl", "--namespace", namespace, "get", what, "--watch", *chosen],
            stdout=subprocess.PIPE, text=True, env=self.env,
        )  # fmt: skip
        seen = []
        reader = threading.Thread(
            target=lambda: seen.extend((time.monotonic(), line.strip()) for line in process.stdout)
        )
        reader.start()
        try:
            until(lambda: seen, seconds=PATIENCE)
            yield seen
        finally:
            process.terminate()
            process.wait(timeout=10)
            reader.join(timeout=10)
            process.stdout.close()

    def read_secret(self, name, namespace):
        """Return a Secret's keys and values."""
        return {
            k: base64.b64decode(v).decode() for k, v in self.get("secret", name, namespace=namespace)["data"].items()
        }

    @contextlib.contextmanager
    def bucket(self, name="evals", *, namespace=RELEASE_NAMESPACE):
        """Open a bucket of the S3 server in a namespace, which is the release's unless said otherwise."""
        keys = self.read_secret(S3, namespace)
        with self.forward(f"service/{S3}", 7070, namespace=namespace) as port:
            yield S3Store(
                name,
                endpoint=f"http://127.0.0.1:{port}",
                region=keys["AWS_REGION"],
                access_key_id=keys["AWS_ACCESS_KEY_ID"],
                secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
                client_options={"allow_http": True},
            )

    def install(self, *arguments, values=(OWN_VALUES,), chart=CHART, tag="dev"):
        """Install or upgrade the release with the demo's values and those of the tests, and wait until it runs."""
        files = [word for path in (chart / "values-demo.yaml", *values) for word in ("--values", path)]
        return self.helm(
            "upgrade", "--install", RELEASE, chart, "--namespace", RELEASE_NAMESPACE,
            *files,
            "--set-string", rf"podAnnotations.toolorch\.dev/image={image_id(f'toolorch/operator:{tag}')}",
            "--set", f"image.operator.tag={tag},image.evaluator.tag={tag}",
            "--take-ownership", "--wait", "--timeout", f"{PATIENCE}s", *arguments,
        )  # fmt: skip

    def make_namespace(self, stem):
        """Make a namespace for restricted pods only, with the Secret that opens the bucket; return its name."""
        name = f"e2e-{stem}-{secrets.token_hex(2)}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        data = self.get("secret", S3, namespace=RELEASE_NAMESPACE)["data"]
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": S3}, "data": data}, namespace=name)
        return name

    def is_installed(self):
        """Whether the release is there, in whatever state."""
        return self.call("helm", "status", RELEASE, "--namespace", RELEASE_NAMESPACE).returncode == 0


def image_id(image):
    """Return the id of a local image."""
    done = subprocess.run(
        ["docker", "image", "inspect", "-f", "{{.Id}}", image], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"there is no image {image}: run `make images`"
    return done.stdout.strip()
