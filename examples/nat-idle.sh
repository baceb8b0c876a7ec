#!/usr/bin/env bash
# For how long a NAT or a firewall in the path remembers a session on which nothing is said, what it does then, and
# whether TCP keepalive helps. TARGET is a responder, or any echo server, behind it; TIME is the longest tried (1h). It
# takes little longer than the path remembers.
#
#   examples/nat-idle.sh TARGET [TIME]
set -euo pipefail

target=${1:?"the form is: nat-idle.sh ADDR:PORT [TIME]"}
time=${2:-1h}

sessioner_initiator --target "$target" \
  --exec "find idle up-to $time" --exec "wait find 2d" --exec quit
