#!/usr/bin/env bash
# A whole run on the kind cluster: install the chart, apply the examples, follow the run to its score.
# `make demo` has brought up the cluster and the images before this.
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

install() {
  say "installing the chart"
  # The image's id as an annotation: a rebuilt image of the same name is rolled out as well.
  helm upgrade --install toolorch helm/toolorch --namespace default --values helm/toolorch/values-demo.yaml \
    --set-string "podAnnotations.toolorch\.dev/image=$(docker image inspect -f '{{.Id}}' toolorch/operator:dev)" \
    --take-ownership --wait --timeout 5m >/dev/null \
    || { kubectl get pods; kubectl logs deployment/toolorch --tail 20; die "the chart did not install"; }
}

# One line per change, until the run has ended.
follow() {
  local end=$((SECONDS + LIMIT_SECONDS)) before='' now pools
  while [ $SECONDS -lt $end ]; do
    pools=$(kubectl get modelpools -o jsonpath='{range .items[*]}{.metadata.name} {.status.readyReplicas}/{.spec.replicas} at {.status.effective.gpuMemoryUtilization} %, {end}')
    now="pools: ${pools%, } · run: $(field '.status.units.done')/$(field '.status.units.total') units, score $(field '.status.score'), $(field '.status.reason')"
    [ "$now" = "$before" ] || say "$now"
    before=$now
    [ "$(condition Complete)" != True ] || return 0
    [ "$(condition Failed)" != True ] || return 1
    sleep 1
  done
  die "the run has not ended after $LIMIT_SECONDS s; look with: kubectl describe evalrun $RUN"
}

report() {
  local uri folder=.demo/report; uri=$(field '.status.report')
  rm -rf "$folder"
  echo "report:   $uri"
  if [ -n "$uri" ] && .venv/bin/python hack/bucket.py "${uri%/*}" "$folder"; then
    echo "          copied to $folder/$(basename "$uri")"
  fi
}

install
again=''; [ -z "$(condition Complete)$(condition Failed)" ] || again=1
say "applying examples/"
kubectl apply -f examples/ >/dev/null
ended=0; follow || ended=1

echo
kubectl get modelpools,evalruns -o wide
echo
if [ $ended = 0 ]; then
  echo "score:    $(field '.status.score') over $(field '.status.units.total') units, 95 % interval $(field '.status.interval')"
  report
else
  echo "failed:   $(field '.status.conditions[?(@.type=="Failed")].message')"
fi
[ -z "$again" ] || echo "again:    this run had ended before, and was not run twice; delete it for a fresh one: kubectl delete evalrun $RUN && make demo"
echo "look:     export KUBECONFIG=$KUBECONFIG"
exit $ended
