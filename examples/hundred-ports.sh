#!/usr/bin/env bash
# The walk-through of the README on one machine: a responder on one hundred ports, an initiator that holds one session
# to each, then SESSIONS (15,000) over all of them, then none. Both daemons' own words are shown.
#
#   examples/hundred-ports.sh [SESSIONS] [FIRST_PORT]
set -euo pipefail

sessions=${1:-15000}
first=${2:-3000}
ports="127.0.0.1:$first-$((first + 99))"
work=$(mktemp -d)
trap 'kill "${responder:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

cat >"$work/initiator" <<COMMANDS
wait held 30s
status
set $sessions
sleep 300ms
status
wait held 2min
status
sleep 1s
set 0
wait held 30s
status
COMMANDS

# It stays until the initiator has ended: a responder that left would take the sessions with it.
sessioner_responder --hashsize 100000 --listen "$ports" --no-prompt --exec status \
  --exec "wait clients 100 30s" --exec status --exec "wait clients $sessions 2min" --exec status >"$work/said" &
responder=$!
until [ -s "$work/said" ]; do
  kill -0 "$responder" 2>/dev/null || { echo "The responder could not start: is a port of $ports in use?" >&2; exit 1; }
  sleep 0.1
done
sessioner_initiator --target "$ports" --script "$work/initiator" | sed 's/^/initiator: /'
kill "$responder"
wait "$responder" && responder=
sed 's/^/responder: /' "$work/said"
