#!/usr/bin/env bash
# The ground under the cluster: a Docker engine, the programs kind, kubectl and helm, a node image, a Python base image.
#   a. Where a registry can be reached, all of it is the public one: nothing is built, and a missing program is named.
#   b. Where none can be reached, it is built from Go modules and Debian packages (about 12 minutes once, needs root).
# Prints the node image to use. Takes no time when everything is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/pins.sh"

# Two callers at once must not build the same thing twice.
exec 9>"$GROUND/ground.lock"; flock 9

engine_answers() { timeout 20 docker info >/dev/null 2>&1; }

can_pull() { timeout 900 docker pull --quiet "$1" >/dev/null 2>&1; }

how_to_get() {
  case $1 in
    docker) echo "Docker: https://docs.docker.com/engine/install" ;;
    kind) echo "kind: go install sigs.k8s.io/kind@$KIND_VERSION, or https://kind.sigs.k8s.io/docs/user/quick-start/#installation" ;;
    kubectl) echo "kubectl: https://kubernetes.io/docs/tasks/tools" ;;
    helm) echo "helm: https://helm.sh/docs/intro/install" ;;
  esac
}

need_programs() {
  local name lacking=0
  for name in docker kind kubectl helm; do
    command -v "$name" >/dev/null || { echo "missing: $(how_to_get "$name")" >&2; lacking=1; }
  done
  [ $lacking = 0 ] || die "install what is missing and run the same command again"
}

main() {
  if ! engine_answers; then
    # Somebody else's engine is theirs to start; on a bare machine that we own, it is ours.
    if [ "$(id -u)" != 0 ] || [ -d /run/systemd/system ]; then
      need_programs
      die "the Docker engine does not answer: start it (systemctl start docker, or Docker Desktop), or add yourself to the group docker"
    fi
    "$here/offline/engine.sh" 9>&-
  fi
  if have_image "$BUILT_NODE_IMAGE" && have_image "$PYTHON_IMAGE" && [ -e "$GROUND/built" ]; then
    echo "$BUILT_NODE_IMAGE"
  elif have_image "$KIND_NODE_IMAGE" || can_pull "$KIND_NODE_IMAGE"; then
    need_programs
    echo "$KIND_NODE_IMAGE"
  else
    say "no image registry answers: building the ground here"
    "$here/offline/build.sh" 9>&- >&2
    echo "$BUILT_NODE_IMAGE"
  fi
}
main
