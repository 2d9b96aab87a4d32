"""What every plan begins with: a run, a pool that is ready, a Secret, and the operator's own parts around them."""

from __future__ import annotations

import secrets
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from s3_api import DictApi, typed
from s3_plan import StoragePlan
from s3_server import ACCESS, REGION, SECRET

from toolorch_api import evalrun
from toolorch_api.evalrun import EvalRun
from toolorch_api.keys import run_folder
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.plan import plan as plan_run
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.metrics import Metrics
from toolorch_operator.owner import Key
from toolorch_operator.reconcile import Brain, World
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.storage import Storage

UNITS, SHARDS, WIDTH = 18, 3, 3
NAME, UID = "run", "0f8fad5b-d9cb-469f-a165-70867728950e"
FOLDER = f"runs/{run_folder(NAME, UID)}"
KEY = Key(evalrun.KIND, "lab", NAME)
REQUEST_SECONDS = 5
"""That operator and evaluator wait for an answer, by AWS_TIMEOUT; 15 and 30 s where nothing says otherwise. No less,
since two cores that are everybody's may take seconds for a millisecond's work."""


def build_world(api: Any) -> World:
    """Build what the operator's frame needs, around one kind."""
    metrics, freshness = Metrics(), Freshness()
    defaults = Defaults("vllm:1", "evaluator:1", "", "", "")
    observer = RunObserver(api, Storage(metrics), Facts(lambda: secrets.token_hex(8)), defaults, freshness)
    brain = Brain(EvalRun.model_validate, observer.observe, plan_run)
    return World(api, {evalrun.KIND: brain}, defaults, lambda: datetime.now(UTC), metrics, freshness=freshness)


def build_secret(url: str) -> dict[str, str]:
    """Build the output's Secret."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_ALLOW_HTTP": "true",
        "AWS_TIMEOUT": f"{REQUEST_SECONDS}s",
        "AWS_ENDPOINT_URL": url,
    }


def build_api(bucket: str, plan: StoragePlan, url: str) -> DictApi:
    """Build a namespace with a run, a pool that is ready, and the Secret."""
    secret = {name: b64encode(text.encode()).decode() for name, text in build_secret(url).items()}
    ready = {"type": "Ready", "status": "True", "reason": "AllReplicasReady", "observedGeneration": 1}
    pool = {
        "metadata": {"generation": 1},
        "spec": {"model": "m", "servedModelName": "tiny", "replicas": 1},
        "status": {"readyReplicas": 1, "conditions": [ready]},
    }
    spec = {
        "benchmark": {"name": "tau2", "numTasks": UNITS},
        "roles": {"agent": {"pool": "agent"}, "user": {"pool": "agent"}},
        "shards": SHARDS,
        "concurrencyPerShard": WIDTH,
        "output": {"uri": f"s3://{bucket}/runs", "secretRef": {"name": "s3"}},
        "retry": {"infra": plan.retries},
    }
    meta = {"uid": UID, "generation": 1}
    return DictApi(
        typed("Secret", "s3", data=secret),
        typed("ModelPool", "agent", **pool),
        typed("EvalRun", NAME, metadata=meta, spec=spec),
    )  # fmt: skip
