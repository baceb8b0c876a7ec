#!/usr/bin/env bash
# How many short sessions a second a responder on this machine answers before they take twice as long as the best ones:
# steps of SECONDS (5) each, from START (500) a second up, then narrowed down.
#
#   examples/saturate.sh [SECONDS] [FIRST_PORT] [START]
set -euo pipefail

seconds=${1:-5}
first=${2:-3000}
start=${3:-500}
here=$(dirname "$0")
ports="127.0.0.1:$first-$((first + 7))"
ready=$(mktemp)
trap 'kill "${responder:-}" 2>/dev/null || true; rm -f "$ready"' EXIT

sessioner_responder --mode serve --content "$here/http-answer" --listen "$ports" --no-prompt --exec status >"$ready" &
responder=$!
until [ -s "$ready" ]; do
  kill -0 "$responder" 2>/dev/null || { echo "The responder could not start: is a port of $ports in use?" >&2; exit 1; }
  sleep 0.1
done

sessioner_initiator --target "$ports" <<COMMANDS
saturate from $start by 2 for ${seconds}s cooldown 200ms timeout 2s send @$here/http-request
wait saturate
COMMANDS
