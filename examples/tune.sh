#!/usr/bin/env bash
# Raises the operating system's limits for many sessions, and puts them back.
#
#     tune.sh apply [SESSIONS]    raise what SESSIONS sessions need (100k unless told otherwise)
#     tune.sh undo                put back every value as it was before the first apply
#
# A value is only raised, never lowered, and each change is told as `name: old -> new`. The values as they were
# are kept in /run/sessioner-tune.state, which lasts until the next boot, as the changes do; each network
# namespace needs a file of its own, named by SESSIONER_TUNE_STATE.
# Ends with 1 if something could not be changed, with 2 on wrong usage.

set -euo pipefail
umask 077

readonly STATE=${SESSIONER_TUNE_STATE:-/run/sessioner-tune.state}
readonly SYS=/proc/sys

failed=0

path_of() { echo "$SYS/${1//.//}"; }

exists() { [[ -e $(path_of "$1") ]]; }

# Several numbers in one value are separated by one blank, however the kernel separates them.
value_of() {
    local words
    read -r -a words <"$(path_of "$1")"
    echo "${words[*]}"
}

# write NAME VALUE: sets it and tells so; 1 if the kernel refuses.
write() {
    local name=$1 wanted=$2 old
    old=$(value_of "$name")
    if ! { echo "$wanted" >"$(path_of "$name")"; } 2>/dev/null; then
        echo "$name: stays at $old, it cannot be set to $wanted here" >&2
        failed=1
        return 1
    fi
    echo "$name: $old -> $(value_of "$name")"
}

# change NAME VALUE: remembers the value of before the first change, then writes.
change() {
    local name=$1 wanted=$2
    if ! grep -qs "^$name=" "$STATE"; then
        echo "$name=$(value_of "$name")" >>"$STATE"
    fi
    write "$name" "$wanted" || true
}

# at_least NAME NUMBER: raises a value that is there and smaller.
at_least() {
    local name=$1 wanted=$2
    if exists "$name" && (($(value_of "$name") < wanted)); then
        change "$name" "$wanted"
    fi
}

widen_ports() {
    local name=net.ipv4.ip_local_port_range low high floor
    read -r low high <<<"$(value_of "$name")"
    # The kernel refuses a range that begins below the first unprivileged port.
    floor=$(value_of net.ipv4.ip_unprivileged_port_start)
    floor=$((floor > 1024 ? floor : 1024))
    if ((low > floor || high < 65535)); then
        change "$name" "$((low < floor ? low : floor)) 65535"
    fi
}

# 1 is the widest of the three: 0 reuses no port in TIME_WAIT, 2 those of the loopback.
reuse_ports() {
    local name=net.ipv4.tcp_tw_reuse
    if (($(value_of "$name") != 1)); then
        change "$name" 1
    fi
}

track() {
    local sessions=$1 most=net.netfilter.nf_conntrack_max entries
    # Not loaded, or a maximum of 0, which is none.
    if ! exists "$most" || (($(value_of "$most") == 0)); then
        return
    fi
    # A closed session stays tracked for up to two minutes beside the one that took its place.
    entries=$(($(value_of net.netfilter.nf_conntrack_count) + 2 * sessions))
    at_least net.netfilter.nf_conntrack_buckets $(((entries + 3) / 4))
    at_least "$most" "$entries"
}

apply() {
    local sessions=$1 queue in_use
    # Both ends may be on this host, and others open files too.
    in_use=$(value_of fs.file-nr)
    at_least fs.file-max $((${in_use%% *} + 2 * sessions + 10000))
    at_least fs.nr_open $((sessions + 1000))
    at_least fs.epoll.max_user_watches $((2 * sessions + 10000))
    widen_ports
    reuse_ports
    # Older kernels refuse a longer queue; without cookies a quarter of the SYN queue is kept for known peers.
    queue=$((sessions < 65535 ? sessions : 65535))
    at_least net.core.somaxconn "$queue"
    at_least net.ipv4.tcp_max_syn_backlog $(((queue * 4 + 2) / 3))
    at_least net.ipv4.tcp_max_orphans "$sessions"
    at_least net.ipv4.tcp_max_tw_buckets "$sessions"
    track "$sessions"
}

undo() {
    local lines line name value left=()
    if [[ ! -e $STATE ]]; then
        echo "nothing to undo: $STATE is not there"
        return
    fi
    mapfile -t lines <"$STATE"
    for ((line = ${#lines[@]} - 1; line >= 0; line--)); do
        name=${lines[line]%%=*} value=${lines[line]#*=}
        # What is no longer there, such as a module's, needs no undoing.
        if exists "$name" && [[ $(value_of "$name") != "$value" ]]; then
            write "$name" "$value" || left=("${lines[line]}" "${left[@]}")
        fi
    done
    if ((${#left[@]})); then
        printf '%s\n' "${left[@]}" >"$STATE"
    else
        rm "$STATE"
    fi
}

usage() {
    echo "usage: tune.sh apply [SESSIONS] | undo     SESSIONS like 5000, 100k or 1m" >&2
    exit 2
}

# Prints the number that 5000, 100k or 1m is.
count_of() {
    [[ $1 =~ ^([1-9][0-9]{0,8})([km]?)$ ]] || return 1
    case ${BASH_REMATCH[2]} in
        k) echo $((BASH_REMATCH[1] * 1000)) ;;
        m) echo $((BASH_REMATCH[1] * 1000000)) ;;
        *) echo "${BASH_REMATCH[1]}" ;;
    esac
}

main() {
    local sessions
    case "${1-} $#" in
        "apply 1" | "apply 2") sessions=$(count_of "${2-100k}") || usage ;;
        "undo 1") ;;
        *) usage ;;
    esac
    if ((EUID != 0)); then
        echo "tune.sh changes limits of the whole host and needs root: sudo $0 $*" >&2
        exit 1
    fi
    if [[ $1 == apply ]]; then apply "$sessions"; else undo; fi
    exit "$failed"
}

main "$@"
