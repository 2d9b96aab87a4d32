#!/usr/bin/env bash
# The S3 server of demos and tests, as one static program in $BIN: built with this machine's Go, or in a container that has one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/pins.sh"
package=github.com/versity/versitygw/cmd/versitygw

if [ -x "$BIN/versitygw-$VERSITYGW_VERSION" ] || command -v go >/dev/null; then
  go_program versitygw "$package" "$VERSITYGW_VERSION"
else
  say "building versitygw $VERSITYGW_VERSION in a container"
  id=$(docker create -e CGO_ENABLED=0 golang:1.26 go install -trimpath -ldflags='-s -w' "$package@$VERSITYGW_VERSION")
  docker start --attach "$id" >/dev/null
  docker cp "$id:/go/bin/versitygw" "$BIN/versitygw-$VERSITYGW_VERSION"
  docker rm "$id" >/dev/null
  ln -sfn "versitygw-$VERSITYGW_VERSION" "$BIN/versitygw"
fi
