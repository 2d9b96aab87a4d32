"""A bare Kubernetes on the loopback: etcd, the API server and the controllers that a pool and a run need.

There is no kubelet and no scheduler: pods wait until a test says what becomes of them.
"""

import asyncio
import base64
import contextlib
import ssl
import subprocess
import tempfile
from pathlib import Path

import aiohttp
import yaml
from admin import Admin
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from programs import Program, find_free_ports

ROOT = Path(__file__).resolve().parents[3]
CRDS = tuple(ROOT / "crds" / f"toolorch.dev_{plural}.yaml" for plural in ("modelpools", "evalruns"))
TOKEN = "admin"
CONTROLLERS = ("deployment", "garbage-collector", "job", "namespace", "replicaset", "ttl-after-finished")
"""What acts on a pool's and a run's objects. Nothing looks after nodes: they are ready for ever, unless a test says."""
GOGC = "400"
"""Go's garbage collector looks through a small heap again and again; this spares a fifth of the API server's time."""
MEMORY = "1GiB"
"""So much, and the collector works as often as it must: far more than a plan of faults needs."""
START_SECONDS = 60
"""Seconds for any one program to answer: each takes two on two idle cores."""


def find_programs():
    """Return the folder of the control plane's programs; fail with what to do where there is none."""
    found = subprocess.run([ROOT / "hack/kind/bare.sh"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


class Ground(Admin):
    """One bare Kubernetes, for as long as its `async with` block runs.

    `flags` are more command line words by the name of their program; `extra` starts more programs of that folder, each
    with a kubeconfig: ("kube-scheduler", "--leader-elect=false"). From `memory` on each one's garbage collector saves.
    """

    def __init__(self, controllers=CONTROLLERS, flags=None, extra=(), memory=MEMORY):
        self._controllers, self._flags, self._extra = controllers, flags or {}, extra
        self._calm = {"GOGC": GOGC, "GOMEMLIMIT": memory}
        self._stack = contextlib.AsyncExitStack()
        self.token = TOKEN
        self.programs = {}
        """The running programs by name."""

    async def __aenter__(self):
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    def kubeconfig(self, url=""):
        """Return the path of a kubeconfig for this API server, or for what stands at another URL before it."""
        url = url or self.url
        path = self.folder / f"{base64.urlsafe_b64encode(url.encode()).decode().rstrip('=')}.kubeconfig"
        if path.exists():
            # A program that starts at this moment would read half of it.
            return path
        cluster = {"server": url, **({"certificate-authority": str(self.ca)} if url.startswith("https:") else {})}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "ground",
            "clusters": [{"name": "ground", "cluster": cluster}],
            "users": [{"name": "ground", "user": {"token": self.token}}],
            "contexts": [{"name": "ground", "context": {"cluster": "ground", "user": "ground"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    async def _start(self, stack):
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ground-")))
        self._binaries = await asyncio.to_thread(find_programs)
        api, client, peer = find_free_ports(3)
        self.url, self.ca = f"https://127.0.0.1:{api}", self.folder / "certs" / "apiserver.crt"
        self._start_etcd(stack, f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}")
        self._start_api_server(stack, api, f"http://127.0.0.1:{client}")
        await _until(self.ca.with_suffix(".key").exists, self.programs)  # written after it
        trust = ssl.create_default_context(cafile=self.ca)
        words = {"Authorization": f"Bearer {self.token}"}
        line = aiohttp.TCPConnector(ssl=trust, limit=0)
        self.session = await stack.enter_async_context(aiohttp.ClientSession(self.url, connector=line, headers=words))
        await _until(self._is_ready, self.programs)
        await self._install_kinds()
        own = ("--kubeconfig", self.kubeconfig())
        allowed = ",".join(f"{name}-controller" for name in self._controllers)
        calm = ("--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000")
        self._run(stack, "kube-controller-manager", *own, f"--controllers={allowed}", *calm)
        for name, *words in self._extra:
            self._run(stack, name, *own, *words)

    def _start_etcd(self, stack, client, peer):
        listen = (f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}")
        self._run(stack, "etcd", "--unsafe-no-fsync", f"--data-dir={self.folder / 'etcd'}", *listen)

    def _start_api_server(self, stack, port, etcd):
        tokens, key = self.folder / "tokens.csv", self.folder / "accounts.key"
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        self._run(
            stack,
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={port}",
            f"--cert-dir={self.ca.parent}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=AlwaysAllow",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--service-account-issuer={self.url}",
            "--service-cluster-ip-range=10.0.0.0/16",
            # Nobody makes accounts for pods here, and nobody takes the taint from a node that is new.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--enable-priority-and-fairness=false",
        )

    def _run(self, stack, name, *words):
        log = self.folder / f"{name}.log"
        self.programs[name] = Program([self._binaries / name, *words, *self._flags.get(name, ())], log, self._calm)
        stack.callback(self.programs[name].kill)

    async def _is_ready(self):
        try:
            async with self.session.get("/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _install_kinds(self):
        kinds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        made = [await self.create(kinds, yaml.safe_load(path.read_text())) for path in CRDS]

        async def established():
            there = [await self.get(f"{kinds}/{kind['metadata']['name']}") for kind in made]
            conditions = [c for kind in there for c in kind.get("status", {}).get("conditions") or ()]
            return sum(c["type"] == "Established" and c["status"] == "True" for c in conditions) == len(made)

        # Before the controllers: the garbage collector asks only twice a minute which kinds there are.
        await _until(established, self.programs)


async def _until(is_so, programs):
    async with asyncio.timeout(START_SECONDS):
        while not (await found if asyncio.iscoroutine(found := is_so()) else found):
            for program in programs.values():
                program.check()
            await asyncio.sleep(0.05)
