# shellcheck shell=bash disable=SC2034
# What is pinned, and where things lie. Sourced by every script beside it; changes nothing by itself.

CLUSTER=${TOOLORCH_CLUSTER:-toolorch}
CACHE=${TOOLORCH_CACHE:-$HOME/.cache/toolorch}
GROUND=$CACHE/kind
BIN=$GROUND/bin
# Never in PATH: an engine of this machine would take up the node's containerd shim in place of its own, and fail.
NODE_BIN=$GROUND/node-bin
CLUSTER_KUBECONFIG=$GROUND/$CLUSTER.kubeconfig
# dockerd, runc and debootstrap lie where a plain PATH does not look.
PATH=$BIN:$PATH:/usr/sbin:/sbin

KIND_VERSION=v0.33.0
# The node image that this version of kind names as its own.
KIND_NODE_IMAGE=kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5
HELM_VERSION=v3.22.0
VERSITYGW_VERSION=v1.8.0
# Plays nodes and pods for the benchmark of scale.
KWOK_VERSION=v0.8.0
PYTHON_IMAGE=python:3.11-slim-bookworm

# Only for machines that reach no image registry.
BUILT_KUBE_VERSION=v1.36.3
BUILT_NODE_IMAGE=toolorch/kind-node:$BUILT_KUBE_VERSION
CONTAINERD_VERSION=v2.4.2
COREDNS_VERSION=v1.15.0

mkdir -p "$BIN" "$NODE_BIN"

say() { printf '%s  %s\n' "$(date +%T)" "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# BuildKit where the client has it, else the classic builder; one plain image either way (kind cannot load attestations).
docker_build() {
  if docker buildx version >/dev/null 2>&1; then export DOCKER_BUILDKIT=1; else export DOCKER_BUILDKIT=0; fi
  BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --quiet "$@" \
    2> >(grep -v -e DEPRECATED -e 'legacy builder' -e buildx -e BuildKit -e DOCKER_BUILDKIT -e environment-variable -e '^ *$' >&2)
}

# go_program NAME PACKAGE VERSION [FOLDER]: FOLDER/NAME-VERSION, and FOLDER/NAME as a link to it; FOLDER is $BIN by default
go_program() {
  local name=$1 package=$2 version=$3 folder=${4:-$BIN}
  if [ ! -x "$folder/$name-$version" ]; then
    say "building $name $version"
    command -v go >/dev/null || die "no Go to build $name with: install it from https://go.dev/dl"
    local out; out=$(mktemp -d "$GROUND/go.XXXXXX")
    (cd "$out" && CGO_ENABLED=0 GOFLAGS=-trimpath GOBIN="$out" go install -ldflags='-s -w' "$package@$version" >"$out/log" 2>&1) \
      || { tail -n 20 "$out/log" >&2; die "building $name failed"; }
    mv "$out/$name" "$folder/$name-$version"; rm -rf "$out"
  fi
  ln -sfn "$name-$version" "$folder/$name"
}
