"""What a box in the path limits: sessions, the rate of new ones, how long it remembers idle ones."""

from typing import Final

from tests.daemons.namespaces import Network

DROP: Final = "drop"
REJECT: Final = "reject with tcp reset"


def limit_sessions(network: Network, most: int, verdict: str) -> None:
    """Let a source have so many sessions; those being closed are not counted (nf_conncount)."""
    network.rules(f"ct state new add @counted {{ ip saddr ct count over {most} }} {verdict}")


def limit_rate(network: Network, rate: int, burst: int, verdict: str) -> None:
    """Let so many new sessions a second pass, and so many at once when there were none for a while."""
    network.rules(f"ct state new limit rate over {rate}/second burst {burst} packets {verdict}")


def forget_idle(network: Network, seconds: int, verdict: str) -> None:
    """Forget sessions that were idle for so long, and take none up again from the middle."""
    network.box.sysctl("netfilter/nf_conntrack_tcp_loose", 0)
    network.box.sysctl("netfilter/nf_conntrack_tcp_timeout_established", seconds)
    network.rules(f"ct state invalid {verdict}", f"tcp flags & (syn | rst) == 0 ct state new {verdict}")
