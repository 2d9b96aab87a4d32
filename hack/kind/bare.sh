#!/usr/bin/env bash
# The programs of a control plane for one that runs without a cluster: prints the folder that etcd, kube-apiserver,
# kube-controller-manager and kube-scheduler lie in.
#   a. Where the ground was built here, they are names of the one program kube.
#   b. Else they are taken, once, out of the control plane of the kind cluster that `make cluster` brings up.
# Takes no time when they are there; leaves the cluster as it is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/pins.sh"
PROGRAMS="etcd kube-apiserver kube-controller-manager kube-scheduler"
BARE=$GROUND/bare

have_all() { # FOLDER
  local name
  for name in $PROGRAMS; do [ -x "$1/$name" ] || return 1; done
}

# Named by the version of kind, which names the node image, so that a later one's programs are taken afresh.
taken=$BARE/kind-$KIND_VERSION

link_all() {
  mkdir -p "$BARE/built"
  local name
  for name in $PROGRAMS; do ln -sfn ../../bin/kube "$BARE/built/$name"; done
}

# Of each the file that runs: where its image has it, and who unpacked that, is then no matter.
print_running() { # NAME, cut off by the kernel after 15 letters; runs inside the node
  cat <<SH
for folder in /proc/[0-9]*; do
  if [ "\$(cat \$folder/comm 2>/dev/null)" = "$1" ]; then exec cat \$folder/exe; fi
done
exit 1
SH
}

take_all() {
  local node=$CLUSTER-control-plane name part
  docker exec "$node" true 2>/dev/null || die "no programs of a control plane: run make cluster, from which they are taken"
  part=$(mktemp -d "$GROUND/bare.XXXXXX")
  for name in $PROGRAMS; do
    docker exec "$node" sh -c "$(print_running "${name:0:15}")" >"$part/$name" || { rm -rf "$part"; die "$name does not run in $node"; }
    chmod +x "$part/$name"
  done
  mkdir -p "$BARE"; rm -rf "$taken"; mv "$part" "$taken"
}

# Two callers at once must not take the same thing twice.
exec 7>"$GROUND/bare.lock"; flock 7
if [ -x "$BIN/kube" ]; then
  have_all "$BARE/built" || link_all
  echo "$BARE/built"
else
  have_all "$taken" || take_all
  echo "$taken"
fi
