#!/usr/bin/env bash
# A whole run on the kind cluster: install the chart, apply the examples, follow the run to its score.
# `make demo` has brought up the cluster and the images before this. HELM_ARGS may hold more arguments of helm.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/hack/kind/pins.sh"
export KUBECONFIG=$CLUSTER_KUBECONFIG
cd "$root"
RUN=tau2-smoke
LIMIT_SECONDS=900

field() { kubectl get evalrun "$RUN" -o "jsonpath={$1}" 2>/dev/null || true; }
# True, False or nothing
condition() { field ".status.conditions[?(@.type==\"$1\")].status"; }
has_ended() { [[ $(condition Complete)$(condition Failed) = *True* ]]; }

install() {
  say "installing the chart"
  # The image's id as an annotation: a rebuilt image of the same name is rolled out as well.
  helm upgrade --install toolorch helm/toolorch --namespace default --values helm/toolorch/values-demo.yaml \
    --set-string "podAnnotations.toolorch\.dev/image=$(docker image inspect -f '{{.Id}}' toolorch/operator:dev)" \
    --take-ownership --wait --timeout 5m ${HELM_ARGS:-} >/dev/null \
    || { kubectl get pods; kubectl logs deployment/toolorch --tail 20; die "the chart did not install"; }
}

# One line per change, until the run has ended.
follow() {
  local end=$((SECONDS + LIMIT_SECONDS)) before='' now over
  local pools='{range .items[?(@.kind=="ModelPool")]}{.metadata.name} {.status.ready} at {.status.effective.gpuMemoryUtilization} %, {end}'
  local run='{range .items[?(@.kind=="EvalRun")]}{.metadata.name} {.status.done} {.status.reason}{end}'
  while [ $SECONDS -lt $end ]; do
    over=0; ! has_ended || over=1
    # Asked after the end was seen: the last line says how it ended.
    now=$(kubectl get modelpool/orchestrator modelpool/user-sim evalrun/$RUN -o jsonpath="$pools$run" 2>/dev/null || true)
    [ "$now" = "$before" ] || say "$now"
    before=$now
    [ $over = 0 ] || return 0
    sleep 1
  done
  die "the run has not ended after $LIMIT_SECONDS s; look with: kubectl describe evalrun $RUN"
}

# The report is written after the score stands.
report() {
  local uri folder=.demo/report end=$((SECONDS + 120))
  while uri=$(field '.status.report'); [ -z "$uri" ] && [ $SECONDS -lt $end ]; do sleep 1; done
  [ -n "$uri" ] || { echo "report:   none after two minutes: kubectl logs job/$RUN-report"; return; }
  echo "report:   $uri"
  rm -rf "$folder"
  if .venv/bin/python hack/bucket.py "${uri%/*}" "$folder"; then
    echo "          copied to $folder/$(basename "$uri")"
  else
    echo "          the bucket no longer holds it (its pod was replaced): run again"
  fi
}

install
again=''; ! has_ended || again=1
say "applying examples/"
kubectl apply -f examples/ >/dev/null
follow

echo
kubectl get modelpools,evalruns -o wide
echo
if [ "$(condition Complete)" = True ]; then
  echo "score:    $(field '.status.score') over $(field '.status.units.total') units, 95 % interval $(field '.status.interval')"
  report
else
  echo "failed:   $(field '.status.conditions[?(@.type=="Failed")].message')"
fi
[ -z "$again" ] || echo "again:    the run had ended before and was not run twice; for a fresh one: kubectl delete evalrun $RUN && make demo"
echo "look:     export KUBECONFIG=$KUBECONFIG"
[ "$(condition Complete)" = True ]
