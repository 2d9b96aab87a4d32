#!/bin/sh
# install.sh WHEELS ROOT: puts exactly these wheels into ROOT/opt/venv, compiled and without what never runs in a pod.
# The virtual environment itself is made by the image that is the lowest to need it.
set -eu
wheels=$1 root=$2
site=$root/opt/venv/lib/python3.11/site-packages

[ -x /opt/venv/bin/python ] || python3 -m venv --without-pip /opt/venv
"$(dirname "$(readlink -f /opt/venv/bin/python)")/python3" -m pip --python /opt/venv/bin/python install \
  --quiet --no-index --no-deps --no-compile --disable-pip-version-check --root "$root" "$wheels"/*.whl

# What never runs in a pod: tests, C headers and type stubs of packages, zstandard's second backend, and of inspect_ai the
# web viewer and the programs that it injects into sandboxes. The rest of inspect_* stays, since it looks files up by path.
find "$site" -type d \( -name tests -o -name test \) -not -path "$site/inspect_*" -prune -exec rm -rf {} +
find "$site" -type f -name '*.pyi' -delete
rm -rf "$site"/pyarrow/include "$site"/numpy/_core/include "$site"/zstandard/_cffi.*.so \
  "$site"/inspect_ai/binaries "$site"/inspect_ai/_view/dist "$site"/inspect_ai/_view/www

# Compiled here because a pod's root is read-only. A hash instead of a time keeps the layer the same from build to build.
/opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$root" "$site"
