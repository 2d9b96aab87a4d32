# Runs in a container of the node image: puts an image archive into the node's containerd, so that a cluster pulls nothing.
set -eu
containerd >/tmp/containerd.log 2>&1 &
server=$!
for _ in $(seq 120); do ctr version >/dev/null 2>&1 && break; sleep 0.5; done
ctr --namespace k8s.io images import --all-platforms --no-unpack "$1" >/dev/null 2>&1
kill "$server"
wait "$server" || true
rm -f /tmp/containerd.log
