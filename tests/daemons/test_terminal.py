"""Tests of whole daemons at pseudo-terminals, with a terminal emulator as their screen."""

import os
import signal
import socket
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import pexpect
import pyte
import pytest

from tests.daemons import uncertain
from tests.support import PATIENCE, ROOT, Peer, environment, responder

ROWS, COLUMNS = 24, 100

TAB, ENTER, UP = "\t", "\r", "\x1b[A"
CTRL_C, CTRL_D, CTRL_R = "\x03", "\x04", "\x12"

FreePorts = Callable[[int], int]


class Terminal:
    """A daemon at a pseudo-terminal, and the screen it draws; leaving the block ends the daemon."""

    def __init__(self, name: str, *arguments: str, state: Path, prefix: Sequence[str] = ()) -> None:
        self.prompt = f"{name} $ "
        self.text = ""
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.Stream(self._screen)
        command = [*prefix, sys.executable, "-m", name, *arguments]
        self.child = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(ROOT),
            env={**environment(), "XDG_STATE_HOME": str(state), "TERM": "xterm"},
            dimensions=(ROWS, COLUMNS),
            encoding="utf-8",
            echo=True,
        )
        self.child.delaybeforesend = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.child.close(force=True)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen that are not empty."""
        return [text for line in self._screen.display if (text := line.rstrip())]

    @property
    def typed(self) -> str | None:
        """What stands behind the last prompt."""
        for line in reversed(self._screen.display):
            if line.startswith(self.prompt):
                return str(line[len(self.prompt) :].rstrip())
        return None

    @property
    def toolbar(self) -> str:
        """The last line of the screen that is not empty."""
        return self.lines[-1] if self.lines else ""

    @property
    def raises_signals(self) -> bool:
        """Whether Ctrl-C would be a signal now, and no key."""
        return bool(termios.tcgetattr(self.child.child_fd)[3] & termios.ISIG)

    def until(self, check: Callable[[Self], object]) -> None:
        """Draw what comes, and keep its text, until a check of the screen holds."""
        end = monotonic() + PATIENCE
        while not check(self):
            assert monotonic() < end, "\n".join(["the screen stays:", *self._screen.display])
            with suppress(pexpect.TIMEOUT):
                new = self.child.read_nonblocking(1 << 16, timeout=0.02)
                self._stream.feed(new)
                self.text += new

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal."""
        self._screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def type(self, keys: str) -> None:
        """Type keys."""
        self.child.send(keys)

    def command(self, line: str) -> None:
        """Type a line, and draw until a new prompt stands below it."""
        self.type(line)
        self.until(lambda screen: screen.typed == line)
        before = self.prompts
        self.type(ENTER)
        self.until(lambda screen: screen.prompts > before and screen.typed == "")

    @property
    def prompts(self) -> int:
        """How many prompts stand on the screen."""
        return sum(line.startswith(self.prompt) for line in self._screen.display)

    def end(self) -> int:
        """Draw until the daemon has ended, keep its text, and return its exit code."""
        self.child.expect(pexpect.EOF, timeout=PATIENCE)
        self.text += self.child.before
        self.child.wait()
        self.child.close()
        return int(self.child.exitstatus)


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts a daemon at a terminal, with the history of this test, and draws its prompt."""
    with ExitStack() as stack:

        def start_one(name: str, *arguments: str) -> Terminal:
            terminal = stack.enter_context(Terminal(name, *arguments, state=tmp_path))
            terminal.until(lambda screen: screen.typed == "" and screen.toolbar != terminal.prompt.rstrip())
            return terminal

        yield start_one


@contextmanager
def holding(terminal: Terminal, count: int) -> Iterator[Terminal]:
    """Have an initiator hold so many sessions, and give its terminal."""
    terminal.command(f"set {count}")
    terminal.until(lambda screen: screen.toolbar.startswith(f"{count} sessions held"))
    yield terminal


def listening(port: int) -> Sequence[str]:
    return ("responder", "--listen", f"127.0.0.1:{port}")


# Keys


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_the_prompt_is_the_daemon_s_name(name: str, start: Start, free_ports: FreePorts) -> None:
    options = ["--loopback"] if name == "initiator" else ["--listen", f"127.0.0.1:{free_ports(1)}"]
    terminal = start(name, *options)
    assert f"{name} $" in [line.rstrip() for line in terminal.lines]


def test_keys_echo_and_edit_the_line(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("hxlp")
    terminal.until(lambda screen: screen.typed == "hxlp")
    terminal.type("\x1b[D\x1b[D\x7fe")
    terminal.until(lambda screen: screen.typed == "help")
    terminal.type(ENTER)
    terminal.until(lambda screen: any("end every session and leave" in line for line in screen.lines))


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("deta", "details"),
        ("target a", "target add"),
        ("drop 5 r", "drop 5 rst"),
        ("status --", "status --json"),
        ("help dro", "help drop"),
        ("watch sta", "watch status"),
        ("watch target r", "watch target remove"),
        ("find idle u", "find idle up-to"),
        ("expect loss", "expect losses"),
        ("query 5 names READ", "query 5 names README.md"),
        ("report examples/hundred", "report examples/hundred-ports.sh"),
        ("set 5 1", "set 5 {target}"),
        ("list 127", "list {target}"),
        ("target remove 1", "target remove {target}"),
    ],
)
def test_tab_completes(typed: str, completed: str, at_one_target: Terminal, target: str) -> None:
    at_one_target.type(typed + TAB)
    at_one_target.until(lambda screen: screen.typed == completed.format(target=target))
    at_one_target.type(CTRL_C)
    at_one_target.until(lambda screen: screen.typed == "")


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """Give the address of a target that stays for all tests."""
    with Peer() as peer:
        yield str(peer.address)


@pytest.fixture(scope="module")
def at_one_target(target: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Give the terminal of an initiator with one target, for tests that leave it as it was."""
    with Terminal("initiator", "--target", target, state=tmp_path_factory.mktemp("state")) as terminal:
        terminal.until(lambda screen: screen.typed == "" and screen.toolbar.startswith("1 session held"))
        yield terminal


def test_tab_shows_what_is_possible(at_one_target: Terminal) -> None:
    at_one_target.type("d" + TAB + TAB)
    at_one_target.until(lambda screen: any({"details", "drop", "debug"} <= set(line.split()) for line in screen.lines))
    at_one_target.type(CTRL_C)
    at_one_target.until(lambda screen: screen.typed == "")


def test_tab_where_a_number_belongs_does_nothing(at_one_target: Terminal) -> None:
    at_one_target.type("set " + TAB + "7")
    at_one_target.until(lambda screen: screen.typed == "set 7")
    at_one_target.type(CTRL_C)
    at_one_target.until(lambda screen: screen.typed == "")


def test_history_is_kept_between_runs_and_can_be_searched(start: Start, tmp_path: Path) -> None:
    first = start("initiator", "--loopback")
    for line in ("set 12", "debug on", "debug off"):
        first.command(line)
    first.type(CTRL_D)
    assert first.end() == 0
    history = tmp_path / "sessioner" / "initiator_history"
    assert "+set 12" in history.read_text().splitlines()
    assert history.stat().st_mode & 0o077 == 0
    second = start("initiator", "--loopback")
    second.type(UP)
    second.until(lambda screen: screen.typed == "debug off")
    second.type(UP)
    second.until(lambda screen: screen.typed == "debug on")
    second.type(CTRL_C)
    second.until(lambda screen: screen.typed == "")
    second.type(CTRL_R + "set")
    second.until(lambda screen: any(line.endswith("set 12") for line in screen.lines))
    second.type(ENTER + ENTER)
    second.until(lambda screen: screen.toolbar.startswith("12 sessions held"))


def test_without_a_place_for_the_history_there_is_a_prompt(free_ports: FreePorts) -> None:
    options = ["--listen", f"127.0.0.1:{free_ports(1)}"]
    with Terminal("responder", *options, state=Path("/proc/nowhere")) as terminal:
        terminal.until(lambda screen: screen.typed == "")
        terminal.command("debug")
        terminal.type(UP)
        terminal.until(lambda screen: screen.typed == "debug")


def test_enter_repeats_the_last_command(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.command("debug")
    assert "Debug output enabled" in terminal.lines
    terminal.type(ENTER)
    terminal.until(lambda screen: "Debug output disabled" in screen.lines)
    terminal.type(ENTER)
    terminal.until(lambda screen: screen.lines.count("Debug output enabled") == 2)


def test_a_wrong_line_is_told_above_the_next_prompt(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.command("frobnicate")
    assert 'Unknown command "frobnicate", valid commands are:' in terminal.lines
    terminal.command("set")
    assert "You need to specify the number to requested connections!" in terminal.lines


def test_ctrl_c_clears_the_line_and_then_says_how_to_leave(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("set 5")
    terminal.until(lambda screen: screen.typed == "set 5")
    terminal.type(CTRL_C)
    terminal.until(lambda screen: screen.typed == "")
    assert not any("leaves" in line for line in terminal.lines)
    terminal.type(CTRL_C)
    terminal.until(lambda screen: any("Ctrl-D" in line and "quit" in line for line in screen.lines))
    terminal.command("debug")
    assert "Debug output enabled" in terminal.lines


def test_ctrl_c_ends_a_search_in_the_history(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.command("set 12")
    terminal.type(CTRL_R + "set")
    terminal.until(lambda screen: any("search" in line and line.endswith("set 12") for line in screen.lines))
    terminal.type(CTRL_C)
    terminal.until(lambda screen: not any("search" in line for line in screen.lines))
    terminal.type(CTRL_C)
    terminal.until(lambda screen: screen.typed == "")
    terminal.command("debug")
    assert "Debug output enabled" in terminal.lines


def test_ctrl_c_ends_a_command_that_goes_on(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.command("sleep 1h")
    terminal.type("half")
    terminal.until(lambda screen: screen.typed == "half")
    terminal.type(CTRL_C)
    terminal.until(lambda screen: screen.typed == "")
    assert "Interrupted" not in terminal.lines
    terminal.type(CTRL_C)
    terminal.until(lambda screen: "Interrupted" in screen.lines)
    terminal.command("debug")
    assert "Debug output enabled" in terminal.lines


def test_ctrl_c_drops_the_lines_typed_behind_what_it_ends(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.command("sleep 1h")
    terminal.command("debug")
    terminal.command("sleep 1h")
    terminal.type(CTRL_C)
    terminal.until(lambda screen: "Interrupted" in screen.lines)
    assert "2 lines behind it dropped" in terminal.lines
    terminal.command("debug")
    assert "Debug output enabled" in terminal.lines


@pytest.mark.parametrize("leave", [CTRL_D, "quit" + ENTER])
def test_leaving_does_not_wait_for_a_command_that_goes_on(leave: str, start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.command("sleep 1h")
    terminal.type(leave)
    assert terminal.end() == 0


def test_what_is_stopped_holds_no_line_up_and_is_told_when_its_answers_are_in(start: Start) -> None:
    """Nothing answers here, so it is over when the session is, which the next run waits for."""
    with Peer() as silent:
        terminal = start("initiator", "--target", str(silent.address))
        terminal.until(lambda screen: screen.toolbar.startswith("1 session"))
        terminal.command("query 100 timeout 1h")
        terminal.command("stop query")
        terminal.command("debug")
        terminal.until(lambda screen: "Debug output enabled" in screen.lines)
        terminal.command("debug")
        assert "Queries (" not in terminal.text
        terminal.command("query 7")
    terminal.until(lambda screen: "Queries: 7 a second, arrivals" in screen.text)
    terminal.until(lambda screen: "Queries (100 a second, arrivals poisson, " in screen.text)


def test_ctrl_c_right_behind_enter_does_not_end_the_daemon(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("sleep 1h" + ENTER)
    terminal.until(lambda screen: screen.raises_signals or screen.prompts == 2)
    terminal.type(CTRL_C)
    terminal.until(lambda screen: screen.typed == "")
    terminal.type(CTRL_C + CTRL_C)
    terminal.until(lambda screen: any("leaves" in line for line in screen.lines))
    assert terminal.child.isalive()


def test_keys_typed_right_behind_enter_are_kept(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("debug" + ENTER + "debug" + ENTER + "sleep 1ms" + ENTER + "hel")
    terminal.until(lambda screen: screen.typed == "hel")
    assert [line for line in terminal.lines if "Debug" in line] == ["Debug output enabled", "Debug output disabled"]


def test_pasted_lines_are_carried_out_one_by_one(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("\x1b[200~debug on\nset 12\nhel\x1b[201~")
    terminal.until(lambda screen: screen.toolbar.startswith("12 sessions held"))
    terminal.until(lambda screen: screen.typed == "hel")
    assert "Debug output enabled" in terminal.lines


def test_a_watch_ends_with_the_next_line(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.command("watch debug 50ms")
    terminal.until(lambda screen: screen.lines.count("Debug output enabled") >= 3)
    terminal.type("help quit")
    terminal.until(lambda screen: screen.typed == "help quit")
    terminal.type(ENTER)
    terminal.until(lambda screen: screen.typed == "" and any("end every session" in line for line in screen.lines))


@pytest.mark.parametrize("leave", [CTRL_D, "quit" + ENTER])
def test_leaving_ends_every_session_with_exit_code_0(leave: str, start: Start, free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port) as there:
        with holding(start("initiator", "--target", f"127.0.0.1:{port}"), 10) as terminal:
            there.until(lambda now: now["held"] == 10)
            terminal.type(leave)
            assert terminal.end() == 0
        now = there.until(lambda now: not now["held"])
        assert now["losses"] == {"fin": 10}


def test_a_terminal_that_vanishes_ends_the_daemon(start: Start, free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port) as there:
        terminal = start("initiator", "--target", f"127.0.0.1:{port}")
        there.until(lambda now: now["held"] == 1)
        terminal.child.ptyproc.fileobj.close()
        assert terminal.child.wait() == 0
        there.until(lambda now: not now["held"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_signals_end_it_cleanly(number: signal.Signals, start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("half a line")
    terminal.until(lambda screen: screen.typed == "half a line")
    terminal.child.kill(number)
    assert terminal.end() == 0


def test_an_interrupt_at_the_prompt_is_a_ctrl_c(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("half a line")
    terminal.until(lambda screen: screen.typed == "half a line")
    terminal.child.kill(signal.SIGINT)
    terminal.until(lambda screen: screen.typed == "")
    terminal.child.kill(signal.SIGINT)
    terminal.until(lambda screen: any("Ctrl-D" in line for line in screen.lines))


# What is drawn


def test_the_toolbar_shows_the_progress_and_then_what_is_held(start: Start) -> None:
    terminal = start("initiator", "--loopback", "--connect-rate", "20")
    terminal.command("set 200")
    terminal.until(lambda screen: screen.toolbar.startswith("[#") and "/200 sessions" in screen.toolbar)
    assert "/s" in terminal.toolbar
    terminal.until(lambda screen: screen.toolbar.endswith("lost") and " left " in screen.toolbar)
    terminal.command("rate off")
    terminal.until(lambda screen: screen.toolbar.startswith("200 sessions held"))
    assert "[" not in terminal.toolbar


def test_the_toolbar_shows_losses_and_targets_that_pause(start: Start) -> None:
    with Peer() as peer, Peer(backlog=None) as refusing:
        terminal = start("initiator", "--target", str(peer.address), str(refusing.address))
        terminal.until(lambda screen: "1 of 2 targets pausing" in screen.toolbar)


def _begins(text: str, terminal: Terminal) -> bool:
    return terminal.toolbar.startswith(text)


def test_the_toolbar_outlives_what_it_does_not_know_and_tells_a_bug_once(tmp_path: Path) -> None:
    with Terminal(uncertain.NAME, state=tmp_path) as terminal:
        terminal.until(lambda screen: screen.toolbar == "before")
        terminal.until(lambda screen: screen.toolbar == "after")
        assert terminal.text.count("This is a bug") == terminal.text.count("ZeroDivisionError") == 1
        assert "no worker answers" not in terminal.text


def test_text_above_the_prompt_does_not_tear_it(start: Start, free_ports: FreePorts) -> None:
    port = free_ports(1)
    terminal = start(*listening(port))
    terminal.command("debug on")
    terminal.type("half a li")
    terminal.until(lambda screen: screen.typed == "half a li")
    with ExitStack() as stack:
        for count in ("25 clients", "50 clients", "75 clients", "100 clients"):
            for _ in range(25):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            terminal.until(partial(_begins, count))
            assert terminal.typed == "half a li"
        terminal.until(lambda screen: sum(line.startswith("Accepted 127.0.0.1:") for line in screen.lines) >= 15)
        *above, prompt, toolbar = terminal.lines
        assert prompt == "responder $ half a li"
        assert toolbar.startswith("100 clients")
        assert all(line.startswith("Accepted 127.0.0.1:") and line.endswith(f":{port}") for line in above)
        terminal.type("ne")
        terminal.until(lambda screen: screen.typed == "half a line")


@contextmanager
def dumped(terminal: Terminal, port: int) -> Iterator[None]:
    """Have a responder show what it hears, and let something be heard."""
    terminal.command("dump on all in")
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"heard just now")
        assert sock.recv(1)
        yield


def test_what_comes_unasked_is_shown_before_the_answer_of_a_later_command(start: Start, free_ports: FreePorts) -> None:
    port = free_ports(1)
    terminal = start(*listening(port))
    with dumped(terminal, port):
        terminal.type("debug" + ENTER)
        terminal.until(lambda screen: "heard just now" in screen.text and "Debug output enabled" in screen.text)
    assert terminal.text.index("heard just now") < terminal.text.index("Debug output enabled")


@pytest.mark.parametrize("leave", ["quit" + ENTER, CTRL_D, signal.SIGTERM], ids=["quit", "Ctrl-D", "TERM"])
def test_what_comes_unasked_right_before_the_end_is_shown(
    leave: str | signal.Signals, start: Start, free_ports: FreePorts
) -> None:
    port = free_ports(1)
    terminal = start(*listening(port))
    with dumped(terminal, port):
        if isinstance(leave, str):
            terminal.type(leave)
        else:
            terminal.child.kill(leave)
        assert terminal.end() == 0
    assert terminal.text.count("heard just now") == 1


@pytest.mark.parametrize("how", ["--script", "--exec"])
def test_the_report_of_a_script_at_a_terminal_is_shown(how: str, tmp_path: Path) -> None:
    lines = ["wait held", "query 100 for 100ms", "wait query"]
    script = tmp_path / "script"
    script.write_text("\n".join(lines))
    executed = [word for line in [*lines, "quit"] for word in ("--exec", line)]
    arguments = ["--script", str(script)] if how == "--script" else executed
    with Terminal("initiator", "--loopback", *arguments, state=tmp_path) as terminal:
        assert terminal.end() == 0
    assert "Queries: 100 a second, arrivals" in terminal.text
    assert "Queries sent             : " in terminal.text


def test_a_long_list_arrives_whole(start: Start, free_ports: FreePorts) -> None:
    port = free_ports(1)
    with ExitStack() as stack:
        terminal = start(*listening(port))
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(700)]
        terminal.until(lambda screen: screen.toolbar.startswith("700 clients"))
        terminal.type("list" + ENTER)
        terminal.until(lambda screen: screen.text.count(" : last action ") == 700 and screen.typed == "")
        for sock in socks:
            assert f"127.0.0.1:{sock.getsockname()[1]}->127.0.0.1:{port} : last action " in terminal.text


def test_a_screen_that_changes_its_size_goes_on(start: Start) -> None:
    terminal = start("initiator", "--loopback")
    terminal.type("half")
    terminal.until(lambda screen: screen.typed == "half")
    terminal.resize(10, 60)
    terminal.type(" line")
    terminal.until(lambda screen: screen.typed == "half line")


def test_a_terminal_that_is_not_read_stalls_nothing(start: Start, free_ports: FreePorts) -> None:
    port = free_ports(2)
    with responder(port, 2) as there:
        terminal = start("initiator", "--target", f"127.0.0.1:{port}-{port + 1}", "--ping")
        terminal.command("ping interval 100ms")
        terminal.command("debug on")
        # From here on nothing is read: the debug output of the pings fills the terminal at once.
        terminal.type("set 3000" + ENTER)
        there.until(lambda now: now["held"] == 3000)
        there.until(lambda now: now["received"] >= 3000 * 4)
        terminal.type("debug off" + ENTER)
        terminal.until(lambda screen: screen.typed == "" and screen.toolbar.startswith("3000 sessions held"))
        # What was still to be shown may have pushed the answer off the screen.
        terminal.until(lambda screen: "Debug output disabled" in screen.text)
        terminal.type("half")
        terminal.until(lambda screen: screen.typed == "half")


AROUND = """
cd "$1" && shift
stty -g >before
sh -c 'echo $$ >pid; exec "$@"' sh "$@"
echo $? >code
stty -g >after
"$1" -c 'import os; print(*map(os.get_blocking, (0, 1, 2)))' >blocking
"""


@pytest.mark.parametrize("leave", ["quit" + ENTER, CTRL_D, signal.SIGTERM], ids=["quit", "Ctrl-D", "TERM"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_terminal_is_left_as_it_was(leave: str | signal.Signals, loop: str, tmp_path: Path) -> None:
    around = ("sh", "-c", AROUND, "sh", str(tmp_path))
    with Terminal("initiator", "--loopback", "--loop", loop, state=tmp_path, prefix=around) as terminal:
        terminal.until(lambda screen: screen.typed == "" and screen.toolbar.startswith("10 sessions held"))
        if isinstance(leave, str):
            terminal.type(leave)
        else:
            os.kill(int((tmp_path / "pid").read_text()), leave)
        assert terminal.end() == 0
    written = {path.name: path.read_text().strip() for path in tmp_path.iterdir() if path.is_file()}
    assert written["code"] == "0"
    assert written["after"] == written["before"]
    assert written["blocking"] == "True True True"
