#!/usr/bin/env bash
# The local cluster: one control plane and two workers, each worker with eight pretended GPUs.
#   cluster.sh up          brings it up, or does nothing when it stands
#   cluster.sh down        deletes it
#   cluster.sh kubeconfig  prints the path of its kubeconfig (yours, in ~/.kube, is never touched)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/pins.sh"
export KUBECONFIG=$CLUSTER_KUBECONFIG
GPUS_PER_WORKER=8

configuration() { # NODE_IMAGE
  # A node image that was built here brings its own pod network; kind's own one comes with a CNI.
  local own_network=false; [ "$1" != "$BUILT_NODE_IMAGE" ] || own_network=true
  cat <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  disableDefaultCNI: $own_network
nodes: [{role: control-plane}, {role: worker}, {role: worker}]
kubeadmConfigPatches:
- |
  apiVersion: kubelet.config.k8s.io/v1beta1
  kind: KubeletConfiguration
  failCgroupV1: false
YAML
}

# Containers outlive an engine, and an engine the session that started it: what is left of a cluster may be a shell.
stands() {
  local names; names=$(timeout 10 kubectl get nodes -o name --request-timeout=5s 2>/dev/null) || return 1
  [ "$(wc -l <<<"$names")" = 3 ] || return 1
  timeout 60 kubectl wait --for=condition=Ready nodes --all --timeout=45s >/dev/null 2>&1 || return 1
  # Without its programs running, a node still counts as Ready for a while.
  local node
  for node in $names; do docker exec "${node#node/}" true 2>/dev/null || return 1; done
}

pretend_gpus() {
  local worker patch
  patch=$(printf '{"status":{"capacity":{"nvidia.com/gpu":"%d"},"allocatable":{"nvidia.com/gpu":"%d"}}}' $GPUS_PER_WORKER $GPUS_PER_WORKER)
  for worker in $(kubectl get nodes -o name -l '!node-role.kubernetes.io/control-plane'); do
    # A restarted kubelet forgets them; the scheduler and quotas take them as real.
    kubectl patch "$worker" --subresource=status --type=merge -p "$patch" >/dev/null
  done
}

up() {
  local image; image=$("$here/ground.sh")
  # A second caller waits here and then finds the cluster standing.
  exec 8>"$GROUND/cluster.lock"; flock 8
  if ! stands; then
    kind delete cluster --name "$CLUSTER" >/dev/null 2>&1 || true
    say "creating the kind cluster $CLUSTER"
    configuration "$image" | kind create cluster --name "$CLUSTER" --image "$image" --config=- --wait=180s --quiet 8>&- \
      || die "kind could not create the cluster; look with: kind create cluster --name $CLUSTER --image $image --retain, then kind export logs"
    kubectl wait --for=condition=Ready nodes --all --timeout=120s >/dev/null
    kubectl --namespace kube-system rollout status deployment/coredns --timeout=120s >/dev/null
  fi
  pretend_gpus
}

down() {
  command -v kind >/dev/null || return 0
  kind delete cluster --name "$CLUSTER" --quiet
  rm -f "$CLUSTER_KUBECONFIG"
}

case ${1:-} in
  up) up ;;
  down) down ;;
  kubeconfig) echo "$CLUSTER_KUBECONFIG" ;;
  *) die "usage: cluster.sh up | down | kubeconfig" ;;
esac
