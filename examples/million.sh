#!/usr/bin/env bash
# A million sessions on one machine, both ends: a responder and an initiator with as many workers as the descriptor limit
# asks for, the sessions pinged and held for SECONDS (300), then closed at the pace that TIME_WAIT allows.
#
#   examples/million.sh [SESSIONS] [SECONDS]
#
# It runs in a network namespace of its own, so it needs root, and leaves no value of the kernel changed but
# fs.file-max, which it raises where that is too low. It takes some ten gigabytes of the kernel's memory.
set -euo pipefail

sessions=${1:-1000000}
seconds=${2:-300}

if [ -z "${SESSIONER_INSIDE:-}" ]; then
  SESSIONER_INSIDE=yes exec unshare --net "$0" "$sessions" "$seconds"
fi

ip link set lo up
sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=65535 \
  net.ipv4.tcp_max_syn_backlog=65535 net.ipv4.tcp_max_tw_buckets=$((sessions + sessions / 4))
needed=$((2 * sessions + 100000))
if [ "$(cat /proc/sys/fs/file-max)" -lt "$needed" ]; then
  sysctl -w fs.file-max="$needed"
fi

# Ten addresses with ten ports each: a hundred targets, none of which needs more than a sixth of the local ports.
ports=700-709
targets=()
for host in 1 2 3 4 5 6 7 8 9 10; do
  targets+=(--target "127.0.0.$host:$ports")
done

work=$(mktemp -d)
trap 'kill "${responder:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

cat >"$work/initiator" <<COMMANDS
wait held 60s
set $sessions
wait held 10min
status
sleep ${seconds}s
status
latency
set 0
wait held 10min
status
COMMANDS
printf 'status\nwait clients %s 15min\nstatus\nsleep 1h\n' "$sessions" >"$work/responder"

sessioner_responder --workers auto --listen "0.0.0.0:$ports" --script "$work/responder" >"$work/said" &
responder=$!
until [ -s "$work/said" ]; do
  kill -0 "$responder" 2>/dev/null || { echo "The responder could not start." >&2; exit 1; }
  sleep 0.1
done
began=$(date +%s)
sessioner_initiator --workers auto --ping "${targets[@]}" --script "$work/initiator" | while IFS= read -r line; do
  printf '%5s s  %s\n' "$(($(date +%s) - began))" "$line"
done
sed 's/^/responder: /' "$work/said"
