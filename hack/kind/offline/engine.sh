#!/usr/bin/env bash
# Starts the Docker engine on a machine where nothing else does: no service manager, a fresh container or micro-VM.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../pins.sh"

if ! command -v dockerd >/dev/null || ! command -v runc >/dev/null; then
  say "installing the Docker engine"
  apt-get update -qq || say "apt-get update complained; going on with what it has"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null
fi

flags=()
# All 41 capabilities of Linux 5.9 and later. A host that lacks one cannot give it to a container either, and runc would fail.
if [ $((0x$(awk '/^CapBnd/ {print $2}' /proc/self/status) & 0x1ffffffffff)) != $((0x1ffffffffff)) ]; then
  install -m 755 "$here/runc_bounded.py" "$BIN/runc-bounded"
  flags+=(--add-runtime "bounded=$BIN/runc-bounded" --default-runtime bounded)
fi

say "starting the Docker engine"
# An engine that was killed leaves its pid file, and a new one would refuse to start over it.
if [ -f /var/run/docker.pid ] && ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then rm -f /var/run/docker.pid; fi
setsid nohup dockerd "${flags[@]}" >"$GROUND/dockerd.log" 2>&1 </dev/null &
for _ in $(seq 120); do
  docker info >/dev/null 2>&1 && exit 0
  sleep 0.5
done
tail -n 10 "$GROUND/dockerd.log" >&2
die "the Docker engine did not come up within a minute: $GROUND/dockerd.log"
