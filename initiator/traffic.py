"""What goes over the sessions: bytes, and the reads and writes that move them."""

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Counts since the start of the process, or of a run."""

    received: int = 0
    sent: int = 0
    reads: int = 0
    writes: int = 0

    def since(self, before: "Traffic") -> "Traffic":
        """Return what has come since then."""
        return Traffic(
            self.received - before.received,
            self.sent - before.sent,
            self.reads - before.reads,
            self.writes - before.writes,
        )
