#!/usr/bin/env bash
# How many sessions a firewall in the path holds, and how many new ones a second it lets pass. TARGET is a responder, or
# any echo server, behind it: ADDR:PORT or ADDR:PORT-PORT; the more ports there are, the more sessions can be tried.
# At most LIMIT sessions are tried (as many as this host can have), and each rate for TIME (2s).
#
#   examples/firewall-capacity.sh TARGET [LIMIT] [TIME]
set -euo pipefail

target=${1:?"the form is: firewall-capacity.sh ADDR:PORT[-PORT] [LIMIT] [TIME]"}
limit=${2:+limit $2}
time=${3:-2s}

# `set 0` first: the sessions that are held anyway take up room as well.
sessioner_initiator --target "$target" \
  --exec "set 0" --exec "find sessions $limit" --exec "wait find 30min" \
  --exec "find rate for $time" --exec "wait find 30min" --exec quit
