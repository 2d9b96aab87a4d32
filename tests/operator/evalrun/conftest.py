"""A small world for EvalRun's brain: objects as the API returns them, a Job controller, and storage as a dict."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from toolorch_api.deaths import Death, LastWord, judge_deaths
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.evalrun_status import Usage
from toolorch_api.keys import SUMMARY_KEY, assignment_key, error_key, progress_key, result_key
from toolorch_api.shard import Assignment, Manifest, Progress, Summary
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.evidence import wanted_logs
from toolorch_operator.evalrun.gate import parse_baseline
from toolorch_operator.evalrun.names import attempt_job, report_job
from toolorch_operator.evalrun.observed import ObservedRun, PodLog, StorageView, parse_job, parse_pod, parse_pool
from toolorch_operator.evalrun.plan import plan
from toolorch_operator.evalrun.pods import INDEX
from toolorch_operator.evalrun.status import compute_status
from toolorch_operator.evalrun.wants import wanted_facts
from toolorch_operator.plan import Plan

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
DEFAULTS = Defaults(
    vllm_image="vllm:x", evaluator_image="evaluator:x", output_uri="s3://runs/all", output_secret="s3-keys"
)
UNITS = [("control", d, str(i), 0) for d in ("retail", "airline") for i in range(5)]


class CrashError(Exception):
    """The operator dies here."""


def pool_manifest(name, ready=True, replicas=1, external=None):
    status = {"readyReplicas": replicas if ready else 0, "reason": "AllReplicasReady" if ready else "WaitingForGPU"}
    status["conditions"] = [{"type": "Ready", "status": str(ready), "reason": status["reason"]}]
    spec = {"model": f"m/{name}", "servedModelName": name, "replicas": replicas}
    spec |= {"engine": "external", "external": external} if external else {"engine": "vllm"}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def run_manifest(**spec):
    return {
        "apiVersion": "toolorch.dev/v1alpha1",
        "kind": "EvalRun",
        "metadata": {"name": "smoke", "namespace": "lab", "uid": "0123456789abcdef", "generation": 1},
        "spec": {
            "benchmark": {"name": "tau2", "domains": ["retail", "airline"]},
            "roles": {"agent": {"pool": "orchestrator"}, "user": {"pool": "user-sim"}},
            "shards": 3,
            **spec,
        },
    }


class World:
    """Everything outside the brain; `tick` is the operator's loop, `work` the cluster's."""

    def __init__(self, units=UNITS, **spec):
        self.raw = run_manifest(**spec)
        self.units = units
        self.pools = {n: pool_manifest(n) for n in ("orchestrator", "user-sim")}
        self.secret = True
        self.jobs, self.pods, self.config_maps, self.storage = {}, {}, {}, {}
        self.down = False
        self.now = NOW
        self.infra, self.poison, self.lanes = set(), set(), 2
        self.baseline = self.gate = None
        self.refusals = {}
        self.executed, self.assigned, self.attempts, self.events, self.writes = [], [], [], [], 0
        self.crash_after = None
        self.serial = 0

    @property
    def run(self):
        return EvalRun.model_validate(self.raw)

    @property
    def status(self):
        return self.run.status

    def condition(self, type_):
        return next((c for c in self.status.conditions if c.type == type_), None)

    def edit(self, **spec):
        """Change the spec, as kubectl does."""
        self.raw["spec"] = {**self.raw["spec"], **spec}
        self.raw["metadata"] = {**self.raw["metadata"], "generation": self.raw["metadata"]["generation"] + 1}

    # The operator's side.

    def look_around(self):
        """What an operator sees but for storage."""
        return ObservedRun(
            pools={n: parse_pool(p) for n, p in self.pools.items()},
            secret_exists=self.secret,
            jobs={n: parse_job(j) for n, j in self.jobs.items()},
            pods=tuple(parse_pod(p) for p in self.pods.values()),
            config_maps=frozenset(self.config_maps),
            refusals=self.refusals,
            baseline=parse_baseline(self.run, self.baseline, DEFAULTS),
        )

    def observe(self, around=None):
        """One look; `around` is what was seen earlier, while run and storage are read afresh."""
        observed = around or self.look_around()
        observed = replace(observed, storage=self.read(wanted_facts(self.run, observed)))
        return replace(observed, logs={pod.name: PodLog(f"{pod.name} broke") for pod in wanted_logs(observed)})

    def read(self, wants):
        if wants.nothing:
            return StorageView()
        if self.down:
            return StorageView(reachable=False, error="connection refused")
        return StorageView(
            manifest=self.get("manifest.json", Manifest) if wants.manifest else None,
            assignment=self.get(assignment_key(wants.assignment), Assignment) if wants.assignment else None,
            progress=tuple(self.get(k, Progress) for k in self.keys("progress/")) if wants.progress else (),
            results=frozenset(self.keys("results/")) if wants.results else None,
            errors=frozenset(self.keys("errors/")) if wants.errors else None,
            summary=self.get(SUMMARY_KEY, Summary) if wants.summary else None,
            deaths=self.deaths() if wants.deaths else None,
            exits=wants.exits & self.storage.keys(),
        )

    def get(self, key, model):
        return model.model_validate_json(self.storage[key]) if key in self.storage else None

    def get_json(self, key):
        return json.loads(self.storage[key])

    def deaths(self):
        return {key: self.get(key, Death) for key in self.keys("deaths/")}

    def judge(self):
        return judge_deaths(self.deaths().values(), spec_hash(self.run.spec), self.run.spec.retry.quarantine_after)

    def keys(self, prefix):
        return sorted(k for k in self.storage if k.startswith(prefix))

    def plan(self):
        return plan(self.run, self.observe(), self.now, DEFAULTS)

    def rests(self):
        """Whether the operator would do nothing for long, until the children of a finished run are to go."""
        decided = self.plan()
        soon = decided.requeue_after is not None and decided.requeue_after < timedelta(hours=1)
        return not soon and replace(decided, requeue_after=None) == Plan()

    def tick(self, crash_after=None):
        """One reconcile; the operator dies after `crash_after` writes."""
        self.crash_after = crash_after
        decided = self.plan()
        self.now += timedelta(seconds=1)
        return self.carry_out(decided, self.raw.get("status"))

    def tick_stale(self, around):
        """One reconcile of an operator to whom the cluster is still as it was."""
        self.crash_after = None
        self.carry_out(plan(self.run, self.observe(around), self.now, DEFAULTS), self.raw.get("status"))

    def tick_twice(self):
        """Two operators decide on the same look and both act."""
        self.crash_after = None
        decided, read = self.plan(), self.raw.get("status")
        self.carry_out(decided, read)
        self.carry_out(decided, read)

    def carry_out(self, decided, read):
        """Do what the frame does; `read` is the status that was decided on."""
        try:
            if decided.status_first:
                self._write_status(decided, read)
            for ref in decided.delete:
                self._write(lambda r=ref: self._delete(r))
            for blob in decided.blobs:
                self._write(lambda b=blob: self._put(b))
            for manifest in decided.create:
                self._write(lambda m=manifest: self._create(m))
            for manifest in decided.apply:
                self._apply(manifest)
            if not decided.status_first:
                self._write_status(decided, read)
        except CrashError:
            return decided
        self.events += [e.reason for e in decided.events]
        return decided

    def _write(self, act):
        if self.crash_after is not None:
            if self.crash_after == 0:
                raise CrashError
            self.crash_after -= 1
        self.writes += 1
        act()

    def _write_status(self, decided, read):
        if decided.status is not None and read != self.raw.get("status"):
            raise CrashError
        if decided.status is not None and decided.status != self.raw.get("status"):
            self._write(lambda: self.raw.update(status=json.loads(json.dumps(decided.status))))
            self.attempts.append(self.status.attempt)

    def _delete(self, ref):
        if ref.kind == "Job":
            self.delete_job(ref.name)
        else:
            {"Pod": self.pods, "ConfigMap": self.config_maps}[ref.kind].pop(ref.name, None)

    def _put(self, blob):
        if self.down:
            raise CrashError
        if blob.key in self.storage:
            return
        self.storage[blob.key] = blob.body
        if blob.key.endswith("/assignment.json"):
            units = Assignment.model_validate_json(blob.body).shards
            manifest = self.get("manifest.json", Manifest)
            again = [i for s in units for i in s if result_key(manifest.unit(i)) in self.storage]
            assert again == [], "a unit with a result is assigned again"
            self.assigned.append(sorted(i for s in units for i in s))

    def _create(self, manifest):
        kept = self.jobs if manifest["kind"] == "Job" else self.config_maps
        name = manifest["metadata"]["name"]
        if name not in kept:
            kept[name] = {**manifest, "status": {}} if manifest["kind"] == "Job" else manifest

    def _apply(self, manifest):
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "ConfigMap":
            if self.config_maps.get(name) != manifest:
                self._write(lambda: self.config_maps.update({name: manifest}))
            return
        if name not in self.jobs:
            raise CrashError
        self._fit(name, manifest)
        suspend = manifest["spec"]["suspend"]
        if self.jobs[name]["spec"].get("suspend", False) != suspend:
            self._write(lambda: self._set_suspend(name, suspend))

    def _fit(self, name, manifest):
        size = {k: v for k, v in manifest["spec"].items() if k != "suspend"}
        job, told = self.jobs[name], manifest["metadata"].get("annotations", {})
        known = job["metadata"].get("annotations", {})
        if size.items() <= job["spec"].items() and told.items() <= known.items():
            return
        metadata, spec = {**job["metadata"], "annotations": {**known, **told}}, {**job["spec"], **size}
        self._write(lambda: self.jobs.update({name: {**job, "metadata": metadata, "spec": spec}}))

    def _set_suspend(self, name, suspend):
        spec = {**self.jobs[name]["spec"], "suspend": suspend}
        self.jobs[name] = {**self.jobs[name], "spec": spec}

    # The cluster's side.

    def work(self, choose=0, progress=True):
        """Let one pod do one thing: a plan, a unit, a report, or its end."""
        self.control_jobs()
        live = [p for p in self.pods.values() if p["status"]["phase"] == "Running"]
        if not live:
            return
        pod = live[choose % len(live)]
        step = pod["metadata"]["labels"]["toolorch.dev/step"]
        if self.down:
            return
        {"plan": self._work_plan, "shard": self._work_unit, "report": self._work_report}[step](pod, progress)
        self.control_jobs()

    def delete_job(self, name):
        """Delete a Job by hand; its pods are seen a while longer."""
        if name in self.jobs:
            del self.jobs[name]
            for pod in self.pods.values():
                if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == name:
                    pod["orphan"] = True

    def admit(self, job, admitted=True):
        """Let Kueue start a Job, or take it back."""
        self._set_suspend(job, not admitted)

    def lose_node(self, choose=0):
        """Let a running pod vanish without a word."""
        live = [name for name, p in self.pods.items() if p["status"]["phase"] == "Running"]
        if live:
            del self.pods[live[choose % len(live)]]

    def reap(self):
        """Let the garbage collector take the pods of deleted Jobs."""
        self.pods = {n: p for n, p in self.pods.items() if not p.get("orphan")}

    def kill(self, choose=0, code=137, message=""):
        """Let a running pod die."""
        self.control_jobs()
        live = [p for p in self.pods.values() if p["status"]["phase"] == "Running"]
        if live:
            self._end(live[choose % len(live)], code, message)
            self.control_jobs()

    def _work_plan(self, pod, progress):
        manifest = Manifest(spec_hash="h", dataset_hash="d", units=self.units)
        self.storage.setdefault("manifest.json", manifest.model_dump_json(by_alias=True).encode())
        self._end(pod, 0)

    def _work_unit(self, pod, progress):
        attempt, shard = int(pod["metadata"]["labels"]["toolorch.dev/attempt"]), pod["index"]
        manifest = self.get("manifest.json", Manifest)
        mine = self.get(assignment_key(attempt), Assignment).shards[shard]
        keys = [result_key(manifest.unit(i)) for i in mine]
        suspects, aside = pod["verdict"].suspects, {*pod["verdict"].quarantined, *pod["seen"]}
        left = [i for i in mine if i not in aside and result_key(manifest.unit(i)) not in self.storage]
        todo = [i for i in left if i not in suspects]
        # Suspects come last and run alone.
        todo, running = (todo, todo[: self.lanes]) if todo else (left, left[:1])
        if self.poison & set(running):
            self._end(pod, 137, LastWord(running=running).model_dump_json(), "OOMKilled")
            return
        if todo:
            unit = manifest.unit(todo[0])
            pod["seen"].append(todo[0])
            if todo[0] in self.infra:
                self.storage[error_key(unit)] = b"{}"
            else:
                self.executed.append(unit)
                self.storage[result_key(unit)] = b"passed" if todo[0] % 2 == 0 else b"failed"
        done = [self.storage[k] for k in keys if k in self.storage]
        if progress:
            counted = Progress(
                spec_hash="h", attempt=attempt, shard=shard, pod="p", total=len(mine),
                passed=done.count(b"passed"), failed=done.count(b"failed"),
                infra_errors=len([i for i in pod["seen"] if i in self.infra]),
                usage=Usage(prompt_tokens=len(done)), recent_ends=[self.now] * len(done),
                started_at=self.now - timedelta(seconds=60), updated_at=self.now,
            )  # fmt: skip
            self.storage[progress_key(attempt, shard)] = counted.model_dump_json(by_alias=True).encode()
        if len(left) <= 1:
            self._end(pod, 0)

    def _work_report(self, pod, progress):
        done = [v for k, v in self.storage.items() if k.startswith("results/")]
        total, passed = len(self.units), done.count(b"passed")
        aside = {error_key(self.get("manifest.json", Manifest).unit(i)) for i in self.judge().quarantined}
        summary = Summary(
            spec_hash="h", total=total, scored=len(done), passed=passed, failed=len(done) - passed,
            infra_errors=len(set(self.keys("errors/")) - aside) if len(done) < total else 0, interval="i",
            quarantined=len(aside),
            score=f"{passed / len(done):.3f}" if done else "", score_scheduled=f"{passed / total:.3f}",
            gate=self.gate, attempt=self._told_attempt(pod),
        )  # fmt: skip
        self.storage[SUMMARY_KEY] = summary.model_dump_json(by_alias=True).encode()
        self._end(pod, 0)

    def _told_attempt(self, pod):
        job = self.jobs.get(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])
        env = job["spec"]["template"]["spec"]["containers"][0]["env"] if job else []
        return next((int(e["value"]) for e in env if e["name"] == "TOOLORCH_ATTEMPT"), 0)

    def _end(self, pod, code, message="", reason="Error"):
        ended = {"exitCode": code, "message": message, "reason": reason if code else "Completed"}
        pod["status"] = {
            "phase": "Failed" if code else "Succeeded", "containerStatuses": [{"state": {"terminated": ended}}],
        }  # fmt: skip

    def control_jobs(self):
        for name, job in self.jobs.items():
            if not self._is_over(job):
                self._control(name, job)

    def _is_over(self, job):
        return bool(job["status"].get("conditions"))

    def _control(self, name, job):
        pods = [p for p in self.pods.values() if p["job"] is job["metadata"]]
        if job["spec"].get("suspend"):
            for pod in pods:
                if pod["status"]["phase"] == "Running":
                    del self.pods[pod["metadata"]["name"]]
            return
        over = []
        for index in range(job["spec"].get("completions", 1)):
            mine = [p for p in pods if p["index"] == index]
            ended = [self._exit_code(p) for p in mine if p["status"]["phase"] != "Running"]
            if 42 in ended:
                job["status"]["conditions"] = [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]
                return
            if 0 in ended or len(ended) > job["spec"].get("backoffLimitPerIndex", 3):
                over.append(0 in ended)
            elif len(ended) == len(mine):
                self._start(name, job, index)
        if len(over) == job["spec"].get("completions", 1):
            job["status"]["conditions"] = [{"type": "Complete" if all(over) else "Failed", "status": "True"}]

    def _exit_code(self, pod):
        return pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]

    def _start(self, name, job, index):
        self.serial += 1
        pod = f"{name}-{index}-{self.serial}"
        labels = {**job["spec"]["template"]["metadata"]["labels"], "batch.kubernetes.io/job-name": name}
        marks = {INDEX: str(index)} if job["spec"].get("completionMode") == "Indexed" else {}
        self.pods[pod] = {
            "metadata": {"name": pod, "labels": labels, "annotations": marks}, "spec": job["spec"]["template"]["spec"],
            "job": job["metadata"], "index": index, "seen": [], "verdict": self.judge(),
            "status": {"phase": "Running"},
        }  # fmt: skip

    def settle(self, limit=400):
        """Let operator and cluster go on, fairly and without trouble, until the run is settled."""
        for turn in range(limit):
            self.tick()
            self.reap()
            if self.report_is_decided() and self.rests():
                return
            self.work(turn)
        raise AssertionError(f"not settled: {self.status.reason}")

    def report_is_decided(self):
        ended = any(c.type in ("Complete", "Failed") and c.status == "True" for c in self.status.conditions)
        return ended and self.condition("ReportReady").reason != "Reporting"


@pytest.fixture(scope="session")
def kit():
    """What tests build worlds from."""
    return SimpleNamespace(
        World=World,
        run=lambda **spec: EvalRun.model_validate(run_manifest(**spec)),
        pool=pool_manifest,
        defaults=DEFAULTS,
        now=NOW,
        next_status=compute_status,
        attempt_job=attempt_job,
        report_job=report_job,
    )
