#!/usr/bin/env bash
# Every check and every test, cheap ones first. All of them run, so that one failure does not hide another;
# the closing lines come last, and any failure fails the whole.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lines=()
failed=0

check() { # NAME COMMAND…
  local name=$1 start=$SECONDS; shift
  printf '\n--- %s\n' "$name"
  if "$@" </dev/null; then
    lines+=("ok      $name ($((SECONDS - start)) s)")
  else
    lines+=("FAILED  $name ($((SECONDS - start)) s)"); failed=1
    return 1
  fi
}

# As check, and remembers pytest's own closing line.
tests() { # NAME TARGET
  local log status; log=$(mktemp)
  check "$1" bash -o pipefail -c "make $2 2>&1 | tee $log"
  status=$?
  closing+=("$1: $(grep -E '^=+ .*(passed|failed|error|no tests ran).* =+$' "$log" | tail -n 1)")
  rm -f "$log"
  return $status
}
closing=()

check "ruff" make lint
check "mypy" make types
check "imports" make imports
tests "tests without a cluster" test-unit
check "cluster" make cluster && check "images" make images && tests "tests on kind" test-cluster
tests "faults" test-some-faults

printf '\n---\n'
printf '%s\n' "${lines[@]}" "${closing[@]}"
exit $failed
