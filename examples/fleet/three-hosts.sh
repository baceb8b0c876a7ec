#!/usr/bin/env bash
# A Ray cluster for a fleet, brought up by hand on hosts that have `pip install 'sessioner[fleet]'` in the same version.
#
#   three-hosts.sh token               on one host: make the token, and copy ~/.ray/auth_token to the same place on all
#   three-hosts.sh head 10.0.0.1       on the first host, with its own address
#   three-hosts.sh node 10.0.0.2 10.0.0.1   on each other host, with its own address and the head's
#   three-hosts.sh rules 10.0.0.1-10.0.0.3  print nftables rules that keep everybody else away from Ray
#   three-hosts.sh stop                on each host, at the end: ends all of Ray on it
#
# It stays in the foreground, so that a service manager may start it again. Then, on the first host:
#
#   sessioner_initiator --fleet 10.0.0.1:6379 --target 10.0.9.1:3000-3099
set -euo pipefail

# The ports that Ray listens on, all of them fixed, so that rules can name them.
head_port=6379
first_port=6380
last_port=6480

# Whoever reaches Ray's ports runs code as the user who started it. Ray 2.52 and later ask for a token; earlier ones
# ignore this, and have nothing but the network to protect them.
export RAY_AUTH_MODE=${RAY_AUTH_MODE-token}

# What the head tells of itself to Prometheus is on a port of its own otherwise, on all addresses.
export AUTOSCALER_METRIC_PORT=$((first_port + 3))

start() {
  # Sessions take descriptors: raise the limit as far as this user may.
  ulimit -n "$(ulimit -Hn)"
  exec ray start --block --disable-usage-stats --num-cpus=0 --object-store-memory=100000000 \
    --node-manager-port=$((first_port)) --object-manager-port=$((first_port + 1)) \
    --runtime-env-agent-port=$((first_port + 2)) --min-worker-port=$((first_port + 10)) --max-worker-port=$last_port "$@"
}

case "${1-}:$#" in
token:1) ray get-auth-token --generate >/dev/null && echo "The token is in ~/.ray/auth_token" ;;
head:2) start --head --include-dashboard=false --node-ip-address="$2" --port=$head_port ;;
node:3) start --node-ip-address="$2" --address="$3:$head_port" ;;
rules:2)
  echo "table inet ray {"
  echo "  chain input {"
  echo "    type filter hook input priority 0; policy accept;"
  echo "    tcp dport $head_port-$last_port iif lo accept"
  echo "    tcp dport $head_port-$last_port ip saddr $2 accept"
  echo "    tcp dport $head_port-$last_port drop"
  echo "  }"
  echo "}"
  ;;
stop:1) ray stop ;;
*) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
