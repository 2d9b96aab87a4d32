#!/usr/bin/env bash
# Builds the images whose inputs changed, and loads into the cluster's workers those that a worker lacks.
#   images.sh         build and load
#   images.sh build   build only
#   images.sh previous COMMIT   operator and evaluator of an earlier commit, as toolorch/NAME:previous: build and load
#                               them, and print the folder in which that commit lies
# Dependencies come as wheels that this machine downloads, exactly those of requirements.lock: a container asks no network.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/hack/kind/pins.sh"
export KUBECONFIG=$CLUSTER_KUBECONFIG
WORK=$CACHE/images
IMAGES=(toolorch/operator toolorch/evaluator toolorch/mock-vllm toolorch/versitygw)
# What is built, and under which tag.
source=$root TAG=dev
UV=$root/.venv/bin/uv
mkdir -p "$WORK"
exec 9>"$WORK/lock"; flock 9
# Left by a build that was cut short.
rm -rf "$WORK"/{context,part}.*

digest() { sha256sum | cut -c1-16; }

# resolve EXTRA: the pins that one extra needs, one per line
resolve() {
  "$UV" pip compile --quiet --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
    --python-platform "$(uname -m)-manylinux_2_28" --constraint "$source/requirements.lock" --extra "$1" "$source/pyproject.toml" \
    | grep '==' | sort
}

# download PINS FOLDER: their wheels for the images' Python, whatever Python this machine runs
download() {
  local glibc platforms=()
  for glibc in 2_36 2_35 2_34 2_31 2_28 2_27 2_26 2_24 2_17 2_12 2_5; do platforms+=(--platform "manylinux_${glibc}_$(uname -m)"); done
  platforms+=(--platform "manylinux2014_$(uname -m)" --platform "manylinux2010_$(uname -m)" --platform "manylinux1_$(uname -m)")
  "$root/.venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.11 --implementation cp "${platforms[@]}" --requirement "$1" --dest "$2"
}

# Wheels of each layer, in $WORK/layers-<hash>/{tasks,operator,evaluator}: tasks is what evaluator and mock have in common.
layers() {
  local folder part role
  folder=$WORK/layers-$(cat "$source/requirements.lock" <("$root/.venv/bin/python" -c '
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(project["dependencies"], project["optional-dependencies"])' "$source/pyproject.toml") | digest)
  if [ ! -d "$folder" ]; then
    part=$(mktemp -d "$WORK/part.XXXXXX")
    for role in operator evaluator mock; do resolve $role >"$part/$role"; done
    [ -z "$(comm -13 "$part/evaluator" "$part/mock")" ] \
      || die "the mock needs what the evaluator does not: their images would no longer share their layers"
    mkdir "$part/layers"
    wheels "$(<"$part/mock")" "$part/layers/tasks"
    wheels "$(<"$part/operator")" "$part/layers/operator"
    wheels "$(comm -23 "$part/evaluator" "$part/mock")" "$part/layers/evaluator"
    [ $TAG = previous ] || rm -rf "$WORK"/layers-*
    mv "$part/layers" "$folder"; rm -rf "$part"
    [ $TAG = previous ] || find "$WORK" -maxdepth 1 -name 'wheels-*' -print0 | { grep -zvxFf <(readlink "$folder"/*) || true; } \
      | xargs -0 --no-run-if-empty rm -rf
  fi
  echo "$folder"
}

# wheels PINS LINK: a link to a folder with exactly these wheels; the same pins are downloaded once
wheels() {
  local folder part
  folder=$WORK/wheels-$(digest <<<"$1")
  if [ ! -d "$folder" ]; then
    say "downloading $(wc -l <<<"$1") wheels"
    part=$(mktemp -d "$WORK/part.XXXXXX")
    download <(echo "$1") "$part"
    mv "$part" "$folder"
  fi
  ln -s "$folder" "$2"
}

# Our own wheel, once per state of the sources.
code() {
  local folder
  folder=$WORK/code-$(cd "$source" && find crds operator evaluator -type f -path '*toolorch_*' -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum \
    | cat - pyproject.toml README.md LICENSE | digest)
  if [ ! -d "$folder" ]; then
    [ $TAG = previous ] || rm -rf "$WORK"/code-*
    VIRTUAL_ENV=$root/.venv "$UV" build --quiet --wheel --no-build-isolation --out-dir "$folder.part" "$source"
    rm -f "$folder.part/.gitignore"
    mv "$folder.part" "$folder"
  fi
  echo "$folder"
}

# build NAME DOCKERFILE INPUT...: the image toolorch/NAME:$TAG from these inputs (FOLDER=NAME_IN_CONTEXT), unless it is there
build() {
  local name=$1 dockerfile=$2 inputs context input; shift 2
  context=$(mktemp -d "$WORK/context.XXXXXX")
  for input in "$@"; do cp -rlL "${input%%=*}" "$context/${input#*=}" 2>/dev/null || cp -rL "${input%%=*}" "$context/${input#*=}"; done
  inputs=$(cd "$context" && (find . -type f -print0 | sort -z | xargs -0 sha256sum; cat "$source/images/$dockerfile"
    if grep -q '^FROM toolorch/tasks:dev' "$source/images/$dockerfile"; then docker image inspect -f '{{.Id}}' "toolorch/tasks:$TAG"; fi) | digest)
  if [ "$(docker image inspect -f '{{index .Config.Labels "toolorch.dev/inputs"}}' "toolorch/$name:$TAG" 2>/dev/null)" != "$inputs" ]; then
    say "building toolorch/$name:$TAG"
    sed "s|^FROM toolorch/tasks:dev|FROM toolorch/tasks:$TAG|" "$source/images/$dockerfile" >"$context/Dockerfile"
    docker_build --label "toolorch.dev/inputs=$inputs" --build-arg "BASE=$PYTHON_IMAGE" -t "toolorch/$name:$TAG" \
      "$context" >/dev/null || die "building toolorch/$name:$TAG failed"
  fi
  rm -rf "$context"
}

build_roles() {
  build tasks tasks.Dockerfile "$install" "$layers/tasks=wheels"
  build operator operator.Dockerfile "$install" "$layers/operator=wheels" "$code=code"
  build evaluator evaluator.Dockerfile "$install" "$layers/evaluator=wheels" "$code=code"
}

build_all() {
  local layers code install=$source/images/install.sh=install.sh
  layers=$(layers); code=$(code)
  build_roles
  [ $TAG = dev ] || return 0
  "$root/hack/kind/versitygw.sh"
  build mock-vllm mock.Dockerfile "$install" "$code=code"
  build versitygw versitygw.Dockerfile "$BIN/versitygw=versitygw"
}

# take_out COMMIT: its files, in a folder; only those of one commit are kept
take_out() {
  local commit part; commit=$(git -C "$root" rev-parse --verify "$1^{commit}")
  source=$WORK/previous-$commit
  [ ! -d "$source" ] || return 0
  rm -rf "$WORK"/previous-*
  part=$(mktemp -d "$WORK/part.XXXXXX")
  git -C "$root" archive "$commit" | tar -x -C "$part"
  mv "$part" "$source"
}

load_all() {
  # The control plane takes no pods of ours.
  local workers; workers=$(kind get nodes --name "$CLUSTER" 2>/dev/null | grep -v control-plane | paste -sd,)
  [ -n "$workers" ] || die "there is no cluster to load into: make cluster"
  "$root/.venv/bin/python" "$root/hack/kind/load.py" "$workers" "${IMAGES[@]/%/:$TAG}"
}

if [ "${1:-}" = previous ]; then
  TAG=previous IMAGES=(toolorch/operator toolorch/evaluator)
  take_out "$2"
fi
build_all
[ "${1:-}" = build ] || load_all
[ $TAG = dev ] || echo "$source"
