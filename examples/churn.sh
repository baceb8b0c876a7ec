#!/usr/bin/env bash
# Short sessions at some rates on one machine: a responder that answers each with a page, an initiator that opens
# SECONDS (10) of them at each RATE (100, 1000, 5000 a second), asks with an HTTP request, and tells how long each took.
# With eight ports there are enough of ours on the loopback for all rates that one process can do.
#
#   examples/churn.sh [SECONDS] [FIRST_PORT] [RATE...]
set -euo pipefail

seconds=${1:-10}
first=${2:-3000}
rates=("${@:3}")
[ "${#rates[@]}" -gt 0 ] || rates=(100 1000 5000)
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
churn ${rates[*]} for ${seconds}s cooldown 1s send @$here/http-request
wait churn
COMMANDS
