#!/usr/bin/env bash
# How fast a machine echoes when many sessions speak at once: SESSIONS (1,000) say a message together, ROUNDS (10) times,
# every echo is verified, and bench.csv has a row for each session and round. Without a TARGET (ADDR:PORT) a responder is
# started here.
#
#   examples/bench.sh [SESSIONS] [ROUNDS] [TARGET]
set -euo pipefail

sessions=${1:-1000}
rounds=${2:-10}
target=(--loopback)
[ $# -lt 3 ] || target=(--target "$3")

sessioner_initiator "${target[@]}" \
  --exec "bench $sessions rounds $rounds csv bench.csv" --exec "wait bench 5min" --exec quit
echo "The first rows of bench.csv:"
head -n 3 bench.csv
