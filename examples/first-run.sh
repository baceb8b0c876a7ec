#!/usr/bin/env bash
# A first try on one machine: a responder on ten ports of the loopback, an initiator that holds 1,000 sessions to it.
# Leaving the initiator's prompt stops both.
set -euo pipefail

ports=${1:-3000-3009}
ready=$(mktemp)
sessioner_responder --listen "127.0.0.1:$ports" --no-prompt --exec status >"$ready" &
responder=$!
trap 'kill "$responder" 2>/dev/null || true; rm -f "$ready"' EXIT

# The responder's status appears once it listens.
until [ -s "$ready" ]; do
  kill -0 "$responder" 2>/dev/null || { echo "The responder could not start on ports $ports: is one in use?" >&2; exit 1; }
  sleep 0.1
done

sessioner_initiator --target "127.0.0.1:$ports" --exec 'set 1000' --exec 'wait 30s' --exec status --exec help
