#!/usr/bin/env bash
# What to measure on a machine with a GPU, in at most 10 minutes, with nothing but this repository and what is installed:
#
#     benchmarks/gpu.sh [OUT]          OUT is results/gpu by default
#     benchmarks/gpu.sh --toy OUT      every part on the CPU with toy models, to test this script
#
# 1. tests   those marked gpu
# 2. speed   steps of full, freeze:0.5 and lora:32 against sentence-transformers, MFU, memory against its estimate
# 3. study   the largest study that fits the time left
#
# Each part is a process with a time limit of its own and writes its results into OUT as they come; one that fails or
# runs over loses none of the others. OUT/summary.md is the page to read, OUT/log.txt what the parts printed. Exits 3
# without a GPU, 2 if a package is missing, 1 if a part did not end well. PYTHON names the Python that has torch,
# SECONDS_IN_ALL a shorter time.
set -uo pipefail
cd "$(dirname "$0")/.."
toy=""
if [ "${1:-}" = --toy ]; then
  toy=yes
  shift
fi
out=${1:-results/gpu}
[ -n "${PYTHON:-}" ] || { [ -x .venv/bin/python ] && PYTHON=.venv/bin/python; } || PYTHON=python3
total=${SECONDS_IN_ALL:-600}
started=$(date +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# caches of this run alone: nothing of another one is taken for measured, and nothing is left behind
export PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" XDG_CACHE_HOME="$work/cache"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1
if ! "$PYTHON" -c 'from importlib.metadata import version; version("embudget")' 2> /dev/null; then
  # records name the version, which an installation knows; this writes only its metadata, beside the repository
  mkdir -p "$work/installed"
  "$PYTHON" -c 'import setuptools, sys; setuptools.setup(script_args=["-q", "egg_info", "--egg-base", sys.argv[1]])' \
    "$work/installed" && export PYTHONPATH="$PYTHONPATH:$work/installed"
fi

left() { echo $((total - 10 - ($(date +%s) - started))); }  # the last 10 seconds are for the summary
status=0
part() {  # NAME SECONDS COMMAND...: run a part of the measurements and note how it ended
  local name=$1 limit=$2 code
  shift 2
  [ "$limit" -le "$(left)" ] || limit=$(left)
  if [ "$limit" -lt 20 ]; then
    echo "== $name: left out, since the time is up" | tee -a "$out/log.txt"
    status=1
    return
  fi
  echo "== $name, at most $limit s" | tee -a "$out/log.txt"
  timeout --kill-after=10 "$limit" "$PYTHON" "$@" 2>&1 | tee -a "$out/log.txt"
  code=${PIPESTATUS[0]}
  [ "$code" = 0 ] || status=1
  echo "== $name: $([ "$code" = 124 ] || [ "$code" = 137 ] && echo 'ended by its time limit' || echo "exit status $code")," \
    "$(($(date +%s) - started)) s after the start" | tee -a "$out/log.txt"
}

"$PYTHON" -m benchmarks.gpu.machine --out "$out" ${toy:+--toy} || exit $?
: > "$out/log.txt"
rm -f "$out"/tests.json "$out"/speed.json "$out"/study.json "$out"/study.db*  # of an earlier measurement
if [ -n "$toy" ]; then
  small=(--models toy-small --methods full lora:4 --packages click packaging requests rich --work "$work")
  part tests 150 -m benchmarks.gpu.tests --out "$out" --mark "not gpu" tests/gpu/test_gradients.py
  part speed 150 -m benchmarks.gpu.speed --out "$out" "${small[@]}" --batch-sizes 8 --rounds 2
  part study 250 -m benchmarks.gpu.study --out "$out" "${small[@]}" --batch-size 4 --most 3e9 --seconds 240
else
  part tests 170 -m benchmarks.gpu.tests --out "$out"
  part speed 220 -m benchmarks.gpu.speed --out "$out" --work "$work" --seconds 190
  part study 400 -m benchmarks.gpu.study --out "$out" --work "$work" --seconds $(($(left) - 20))
fi
"$PYTHON" -m benchmarks.gpu.summary --out "$out" || status=1
exit $status
