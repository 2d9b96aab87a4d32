#!/usr/bin/env bash
# Everything that kind needs, from Go modules and Debian packages: programs, a node image, a Python base image.
# Each step is skipped when its result is there. Needs root, Go and a C compiler; Kubernetes is the long step.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../pins.sh"

install_packages() {
  local wanted=(debootstrap iptables iproute2 containernetworking-plugins jq gcc libc6-dev) package lacking=()
  for package in "${wanted[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || lacking+=("$package"); done
  [ ${#lacking[@]} -gt 0 ] || return 0
  say "installing ${lacking[*]}"
  apt-get update -qq || say "apt-get update complained; going on with what it has"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${lacking[@]}" >/dev/null
}

build_programs() {
  go_program kind sigs.k8s.io/kind "$KIND_VERSION"
  go_program helm helm.sh/helm/v3/cmd/helm "$HELM_VERSION"
  go_program coredns github.com/coredns/coredns "$COREDNS_VERSION" "$NODE_BIN"
  local name
  for name in containerd containerd-shim-runc-v2 ctr; do
    go_program $name "github.com/containerd/containerd/v2/cmd/$name" "$CONTAINERD_VERSION" "$NODE_BIN"
  done
}

# One program that is all of Kubernetes; see kube/main.go. Rebuilt when its source changes.
build_kube() {
  local source stamp minor=${BUILT_KUBE_VERSION#v1.} name
  source=$(cat "$here"/kube/{main.go,go.mod,go.sum} | sha256sum | cut -c1-12)
  stamp=kube-$BUILT_KUBE_VERSION-$source
  if [ ! -x "$BIN/$stamp" ]; then
    say "building Kubernetes $BUILT_KUBE_VERSION (the long step: about 6 minutes)"
    (cd "$here/kube" && CGO_ENABLED=0 go build -trimpath -o "$BIN/$stamp.part" -ldflags "-s -w \
      -X k8s.io/component-base/version.gitVersion=$BUILT_KUBE_VERSION \
      -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*} \
      -X k8s.io/client-go/pkg/version.gitVersion=$BUILT_KUBE_VERSION" . 2> >(grep -v '^go: downloading' >&2))
    mv "$BIN/$stamp.part" "$BIN/$stamp"
  fi
  for name in kube kubectl kubeadm; do ln -sfn "$stamp" "$BIN/$name"; done
}

# debian_image TAG PACKAGES: a plain Debian tree with these packages, as an image
debian_image() {
  have_image "$1" && return
  say "making image $1"
  local tree mirror
  mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' 2>/dev/null | awk '$2 == "bookworm" {print $1; exit}')
  tree=$(mktemp -d "$GROUND/tree.XXXXXX"); mkdir -p "$GROUND/debs"
  debootstrap --variant=minbase --cache-dir="$GROUND/debs" --include="$2" bookworm "$tree" ${mirror:+"$mirror"} \
    >"$GROUND/debootstrap.log" || { tail -n 20 "$GROUND/debootstrap.log" >&2; die "debootstrap failed"; }
  rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,man}/*
  tar -C "$tree" -c . | docker import --change 'CMD ["bash"]' - "$1" >/dev/null
  rm -rf "$tree"
}

# The images that kubeadm starts a control plane from, packed into one archive: names as this kubeadm asks for them.
pack_control_plane() {
  local folder=$1 name images
  gcc -Os -static -s -o "$folder/pause" "$here/kube/pause.c"
  cp -L "$BIN/kube" "$NODE_BIN/coredns" "$folder/"
  docker_build -f "$here/kube/control-plane.Dockerfile" --target kube -t toolorch/ground-kube "$folder" >/dev/null
  docker_build -f "$here/kube/control-plane.Dockerfile" --target pause -t toolorch/ground-pause "$folder" >/dev/null
  docker_build -f "$here/kube/control-plane.Dockerfile" --target coredns -t toolorch/ground-coredns "$folder" >/dev/null
  # containerd's configuration names a pause image of its own, beside kubeadm's.
  images=$( (kubeadm config images list --kubernetes-version "$BUILT_KUBE_VERSION" 2>/dev/null
             grep -rhoE 'registry.k8s.io/pause:[0-9.]+' "$folder/boot/etc/containerd") | sort -u)
  for name in $images; do
    case $name in
      */pause:*) docker tag toolorch/ground-pause "$name" ;;
      */coredns:*) docker tag toolorch/ground-coredns "$name" ;;
      *) docker tag toolorch/ground-kube "$name" ;;
    esac
  done
  # shellcheck disable=SC2086
  docker save -o "$folder/control-plane.tar" $images
}

node_image() {
  have_image "$BUILT_NODE_IMAGE" && return
  debian_image toolorch/ground-debian:bookworm systemd,systemd-sysv,dbus,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,pigz,e2fsprogs,ca-certificates,curl,jq,procps,runc
  say "making image $BUILT_NODE_IMAGE"
  local folder program; folder=$(mktemp -d "$GROUND/node.XXXXXX")
  mkdir -p "$folder/cni"
  # The files that boot a node come with kind's own module.
  cp -r "$(cd "$GROUND" && go mod download -json "sigs.k8s.io/kind@$KIND_VERSION" | jq -r .Dir)/images/base/files" "$folder/boot"
  chmod -R u+w "$folder/boot"
  pack_control_plane "$folder"
  for program in containerd containerd-shim-runc-v2 ctr; do cp -L "$NODE_BIN/$program" "$folder/"; done
  for program in bridge host-local portmap loopback; do cp "/usr/lib/cni/$program" "$folder/cni/"; done
  printf %s "$BUILT_KUBE_VERSION" >"$folder/version"
  cp "$here"/node/* "$folder/"
  docker_build -t toolorch/ground-node "$folder" >/dev/null
  # The archive goes into the node's own containerd, which must run for that: hence a container, committed.
  docker rm -f toolorch-ground >/dev/null 2>&1 || true
  docker run -d --name toolorch-ground --privileged --entrypoint sleep -v "$folder:/in:ro" toolorch/ground-node infinity >/dev/null
  docker exec toolorch-ground bash /in/preload.sh /in/control-plane.tar
  docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' toolorch-ground "$BUILT_NODE_IMAGE" >/dev/null
  docker rm -f toolorch-ground >/dev/null
  rm -rf "$folder"
}

install_packages
command -v go >/dev/null || die "no image registry answers, and there is no Go to build with: install it from https://go.dev/dl"
build_programs
build_kube
node_image
debian_image "$PYTHON_IMAGE" python3,python3-venv,python3-pip,python-is-python3,ca-certificates
touch "$GROUND/built"
say "the ground is built"
