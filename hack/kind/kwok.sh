#!/usr/bin/env bash
# kwok, which plays the kubelets of many nodes against a real API server: for the benchmark of scale. Prints its path.
# Takes no time when it is there; else it is built from its Go module, in a few minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/pins.sh"

exec 9>"$GROUND/kwok.lock"; flock 9
go_program kwok sigs.k8s.io/kwok/cmd/kwok "$KWOK_VERSION"
echo "$BIN/kwok"
