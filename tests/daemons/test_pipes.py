"""Tests of whole daemons whose standard streams are pipes, files or /dev/null."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import PATIENCE, ROOT, Daemon, Peer, environment, initiator, limited, responder

FreePorts = Callable[[int], int]

SET_ALONE = "You need to specify the number to requested connections!\n"

STANDARD = {"status", "list", "drop", "wait", "sleep", "watch", "limits", "debug", "help", "quit"}

REPORTS = {
    "initiator": ["status", "details", "list", "limits", "limits 100k"],
    "responder": ["status", "list", "listeners", "limits", "limits 100k"],
}


def run(name: str, *arguments: str, given: str = "", path: Path = Path("/dev/null")) -> tuple[str, str, int]:
    """Run a daemon to its end with a text, or else a file, as its input; return its output, errors and exit code."""
    with path.open() as source:
        result = subprocess.run(
            [sys.executable, "-m", name, *arguments],
            **({"input": given} if given else {"stdin": source}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=ROOT,
            env=environment(),
        )
    return result.stdout, result.stderr, result.returncode


def start(name: str, *arguments: str, first: int) -> Daemon:
    """Start a daemon of a kind on one port of the loopback."""
    return responder(first, 1, *arguments) if name == "responder" else initiator(first, 1, *arguments)


def address_options(name: str, first: int) -> Sequence[str]:
    return ("--listen" if name == "responder" else "--target", f"127.0.0.1:{first}")


def one_line(text: str, *parts: str) -> None:
    """Assert that a text is one line with these parts."""
    assert text.count("\n") == 1, text
    assert text.endswith("\n")
    for part in parts:
        assert part in text


both = pytest.mark.parametrize("name", ["initiator", "responder"])


# Lines


def test_each_line_is_carried_out_as_it_arrives_and_its_output_is_flushed(free_ports: FreePorts) -> None:
    first = free_ports(3)
    with responder(first, 3) as there, initiator(first, 3) as here:
        here.send("set 30", "wait 30s")
        here.until(lambda now: now["held"] == 30)
        there.until(lambda now: now["held"] == 30)
        assert here.ask("set 6", "wait 30s", "status --json")["held"] == 6
        there.until(lambda now: now["held"] == 6)
        here.send("ping")
        assert here.line() == "Ping enabled"
        here.send("ping")
        assert here.line() == "Ping disabled"
        assert here.end("quit")[2] == 0
        now = there.until(lambda now: not now["held"])
        assert now["losses"] == {"fin": 30}
        assert there.end()[2] == 0


def test_the_first_lines_of_status_are_those_that_scripts_read(free_ports: FreePorts) -> None:
    first = free_ports(2)
    with responder(first, 2) as there, initiator(first, 2) as here:
        output, _, _ = here.end("set 4", "wait 30s", "status", "details", "quit")
        status, _, details = output.partition("Target ")
        limit = re.escape(status.splitlines()[3])
        assert re.match(r"Max descriptors limit    : \d+/\d+$", status.splitlines()[3])
        assert re.match(
            "Connections requested    : 4\nConnected clients        : 4\nConfigured targets       : 2\n"
            f"{limit}\nPing through connections : no\nDebug output             : no\n",
            status,
        )
        assert details.startswith(
            f"127.0.0.1:{first}:\n   Maximum allowed connections       : 2\n"
            "   Currently established connections : 2\n   Session hash max depth            : 1\n"
        )
        output, _, _ = there.end("status", "listeners", "list", "quit")
        assert re.match(
            "Connected clients        : 0\nActive listeners         : 2\nClients hash size        : 10000\n"
            "Clients hash max depth   : 0\nListeners hash max depth : 1\nMax descriptors limit    : \\d+/\\d+\n"
            "Debug output             : no\n",
            output,
        )
        more = ", 0 held, mode echo, 0 bytes received, 0 bytes sent, 0 messages sent\n"
        assert output.endswith(
            "Active listeners according to internal hash structure: 2\n"
            f"127.0.0.1:{first} : 2 accepted connections{more}127.0.0.1:{first + 1} : 2 accepted connections{more}"
            "Connected clients according to internal hash structure: 0\n"
        )


def test_lists_show_one_session_a_line(free_ports: FreePorts) -> None:
    first = free_ports(1)
    with responder(first) as there, initiator(first) as here:
        here.send("set 450", "wait 30s")
        there.send("wait clients 450 30s")
        ours, _, _ = there.end("list", "list 20", f"list 127.0.0.1:{first}", "quit")
        lines = ours.splitlines()
        title = "Connected clients according to internal hash structure: 450"
        assert [at for at, line in enumerate(lines) if line == title] == [0, 451, 472]
        assert len(lines) == 1 + 450 + 1 + 20 + 1 + 450
        pattern = rf"127\.0\.0\.1:\d+->127\.0\.0\.1:{first} : last action \d+ seconds ago"
        assert all(re.fullmatch(pattern, line) for line in lines if line != title)


@both
def test_no_terminal_codes_go_into_a_pipe(name: str, free_ports: FreePorts) -> None:
    lines = "status\nlist\nhelp\nbogus\nset\ndebug\nlimits\nquit\n"
    output, errors, _ = run(name, *address_options(name, free_ports(1)), given=lines)
    assert output
    assert "\x1b" not in output + errors
    assert " $ " not in output


@both
def test_the_end_of_the_input_is_quit(name: str, free_ports: FreePorts) -> None:
    with start(name, first=free_ports(1)) as daemon:
        output, _, code = daemon.end("help quit")
        assert (output.split()[0], code) == ("quit", 0)


@both
def test_input_may_be_a_file(name: str, free_ports: FreePorts, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("\nstatus --json\n\n\nhelp quit\nquit\nstatus\n")
    output, _, code = run(name, *address_options(name, free_ports(1)), path=tmp_path / "lines")
    *reports, last = output.splitlines()
    assert [json.loads(line)["age"] for line in reports] == [0.0] * 3
    assert last.startswith("quit ")
    assert code == 0


@both
def test_input_may_be_nothing(name: str, free_ports: FreePorts) -> None:
    output, errors, code = run(name, *address_options(name, free_ports(1)))
    assert (output, code) == ("", 0)
    one_line(errors, "descriptors")


@both
def test_an_empty_line_repeats_the_last_valid_command(name: str, free_ports: FreePorts) -> None:
    with start(name, first=free_ports(1)) as daemon:
        output, _, _ = daemon.end("help quit", "", "bogus", "", "debug", "  ", "quit")
    lines = [line for line in output.splitlines() if not line.startswith("  ")]
    assert lines[0] == lines[1] == lines[3]
    assert lines[2].startswith('Unknown command "bogus"')
    assert lines[4:] == ["Debug output enabled", "Debug output disabled"]


@both
def test_an_unknown_command_is_told_with_those_there_are(name: str, free_ports: FreePorts) -> None:
    with start(name, first=free_ports(1)) as daemon:
        output, _, code = daemon.end("frobnicate now", "quit")
    said, names, hint = output.splitlines()
    assert said == 'Unknown command "frobnicate", valid commands are:'
    assert hint == "  `help` tells of all, `quit` leaves"
    assert set(names.split()) >= STANDARD
    assert code == 2


def test_set_alone_says_what_is_missing(free_ports: FreePorts) -> None:
    with initiator(free_ports(1)) as daemon:
        output, _, code = daemon.end("set", "quit")
    assert (output, code) == (SET_ALONE, 2)


WRONG = {
    "initiator": [
        "set -1",
        "set 1.5",
        "set ten",
        "set 5 127.0.0.1:1",
        "set 5 nowhere",
        "set 5 6 7",
        "target",
        "target add",
        "target add 1.2.3.4",
        "target add :80",
        "target remove 127.0.0.1:1",
        "rate 0",
        "rate fast",
        "lifetime 0s",
        "lifetime on",
        "lifetime 5s off",
        "dump some",
        "dump off in",
        "ping maybe",
        "ping interval 10-5s",
        "hashsize",
        "hashsize 0",
        "hashsize 1000000m",
        "drop",
        "drop 1.2.3.4",
        "drop 5 now",
        "wait until later",
        "list x",
        "status now",
        "details --jason",
        'set "5',
    ],
    "responder": [
        "listen",
        "listen add",
        "listen add 1.2.3.4:0",
        "listen add 192.0.2.1:5000",
        "listen remove 127.0.0.1:1",
        "hashsize x",
        "hashsize 1000000m",
        "drop -3",
        "drop 127.0.0.1:1",
        "list 127.0.0.1",
        "wait clients",
        "sleep",
        "sleep long",
        "watch",
        "watch watch status 1s 1s",
        "watch bogus 1s",
        "watch status now",
        "limits many",
        "debug maybe",
        "help bogus",
        "quit now",
        "status --json --json",
    ],
}


@both
def test_a_wrong_line_costs_a_clear_text_and_changes_nothing(name: str, free_ports: FreePorts) -> None:
    first = free_ports(1)
    options = ["--listen", f"127.0.0.1:{first}"] if name == "responder" else ["--target", f"127.0.0.1:{first}"]
    with ExitStack() as stack:
        if name == "initiator":
            stack.enter_context(responder(first))
        daemon = stack.enter_context(Daemon(name, *options))
        before = settled(daemon.ask("sleep 100ms", "status --json"))
        for line in WRONG[name]:
            daemon.send(line, "status --json")
            assert not daemon.line().startswith("{"), f"{line} is taken"
            assert settled(json.loads(daemon.line())) == before, line
        _, errors, code = daemon.end("quit")
    assert code in (1, 2)
    one_line(errors)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_set_is_shown_where_nothing_is_said(workers: str, free_ports: FreePorts) -> None:
    """Alone these commands say what holds, and status does where it is not the usual."""
    alone = ["rate", "lifetime", "ping interval", "percentiles"]
    changed = ["rate 100", "lifetime 1h", "ping interval 1-3s", "percentiles 50,99.9"]
    with initiator(free_ports(1), 1, "--workers", workers) as daemon:
        output, _, code = daemon.end(*alone, "status", *changed, *alone, "status", "rate off", "lifetime off")
    lines = output.splitlines()
    usual = ["Rate of new sessions not limited", "Lifetime of sessions not limited", "Ping interval 30s to 1m00s"]
    said = ["At most 100 new sessions a second", "Lifetime 1h00m", "Ping interval 1.0s to 3.0s", "Percentiles 50, 99.9"]
    assert lines[:4] == [*usual, "Percentiles 50, 95, 99, 99.9"]
    at = lines.index(said[0])
    assert lines[at : at + 8] == said * 2
    attempts, pings = (line for line in lines[at:] if "100 begun" in line or "1.0s to 3.0s)" in line)
    assert re.fullmatch(r"Attempts under way       : \d+ \(at most 100 begun a second\)", attempts)
    assert pings == "Ping round trip          : no answers yet (interval 1.0s to 3.0s)"
    assert not any("begun a second" in line or "interval 30" in line for line in lines[4:at])
    assert (lines[-2:], code) == (usual[:2], 0)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_sent_where_there_is_no_target(workers: str, free_ports: FreePorts) -> None:
    first = free_ports(1)
    lines = ["query 10 for 1s", "send x rate 1 for 1s", "echo check for 1s", "churn 1", "set 5"]
    with initiator(first, 1, "--workers", workers) as daemon:
        output, _, code = daemon.end(f"target remove 127.0.0.1:{first}", *lines)
    refused = [f"{line.split()[0]}: there is no target; `target add ADDR:PORT` adds one" for line in lines]
    assert output.splitlines() == ["1 target removed", *refused]
    assert code == 2


def settled(now: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that only commands change."""
    return {name: now[name] for name in ("held", "hashsize", "descriptors", "losses", "exhausted")} | {
        name: now[name] for name in ("asked", "targets", "ping", "listeners", "paused") if name in now
    }


@both
def test_a_thousand_lines_of_garbage_do_not_end_it(name: str, free_ports: FreePorts) -> None:
    garbage = [
        bytes(byte for byte in (number * 7 + at * 13 & 0xFF for at in range(number % 60 + 1)) if byte not in b"\n")
        for number in range(1000)
    ]
    with start(name, first=free_ports(1)) as daemon:
        assert daemon.process.stdin
        output, errors = daemon.process.communicate(b"\n".join([*garbage, b"debug on", b"quit\n"]), timeout=PATIENCE)
    assert daemon.process.returncode == 2
    assert output.endswith(b"Debug output enabled\n")
    assert b"This is a bug" not in errors
    assert b"Traceback" not in errors


@both
def test_watching_ends_with_the_next_line(name: str, free_ports: FreePorts) -> None:
    with start(name, first=free_ports(1)) as daemon:
        daemon.send("watch status --json 50ms")
        for _ in range(3):
            json.loads(daemon.line())
        output, _, code = daemon.end("help quit")
    assert output.splitlines()[-1].startswith("quit ")
    assert code == 0


def test_watching_ends_with_the_next_line_however_many_were_sent_at_once(free_ports: FreePorts) -> None:
    with responder(free_ports(1)) as daemon:
        daemon.send("sleep 50ms", "watch debug 1h", "help quit")
        assert daemon.line().startswith("Debug output")
        assert daemon.line().startswith("quit ")


@both
def test_lines_behind_quit_are_dropped_in_silence(name: str, free_ports: FreePorts) -> None:
    with start(name, first=free_ports(1)) as daemon:
        output, errors, code = daemon.end("quit", *["status"] * 5000)
    assert (output, code) == ("", 0)
    one_line(errors)


@both
def test_an_output_that_nobody_reads_any_more_holds_nothing_up(name: str, free_ports: FreePorts) -> None:
    with start(name, first=free_ports(1)) as daemon:
        assert daemon.process.stdout
        daemon.send("help")
        daemon.line()
        daemon.process.stdout.close()
        daemon.process.stdout = None
        _, errors, code = daemon.end(*["help"] * 2000, "quit")
    assert code == 0
    one_line(errors)


def test_an_output_that_is_not_read_does_not_stop_the_engine(free_ports: FreePorts) -> None:
    first = free_ports(2)
    with responder(first, 2) as there, initiator(first, 2) as here:
        here.send("set 500", *["help"] * 2000)
        there.until(lambda now: now["held"] == 500)


@both
def test_every_report_is_json_on_request(name: str, free_ports: FreePorts) -> None:
    first = free_ports(2)
    with ExitStack() as stack:
        if name == "initiator":
            stack.enter_context(responder(first, 2))
            daemon = stack.enter_context(initiator(first, 2))
            daemon.send("set 10", "wait 30s")
        else:
            daemon = stack.enter_context(responder(first, 2))
            other = stack.enter_context(initiator(first, 2))
            other.send("set 10")
            daemon.send("wait clients 10 30s")
        for report in REPORTS[name]:
            daemon.send(f"{report} --json", "help quit")
            rows = []
            while not (line := daemon.line()).startswith("quit "):
                rows.append(json.loads(line))
            assert len(rows) == {"list": 10, "details": 2, "listeners": 2}.get(report, 1), report
            assert all(rows)
        assert daemon.end("quit")[2] == 0


def test_figures_are_the_same_as_text_and_as_json(free_ports: FreePorts) -> None:
    first = free_ports(2)
    with responder(first, 2), initiator(first, 2) as here:
        now = here.ask("set 12", "wait 30s", "status --json")
        output, _, _ = here.end("status", "quit")
        shown = dict(line.split(" : ", 1) for line in re.sub(" +: ", " : ", output).splitlines())
        assert (shown["Connections requested"], shown["Connected clients"]) == (str(now["asked"]), str(now["held"]))
        assert shown["Sessions hash size"] == str(now["hashsize"])


# Options


@both
def test_commands_given_as_options_run_before_the_input(name: str, free_ports: FreePorts) -> None:
    options = ["--exec", "debug on", "--exec", "help quit", "--exec", ""]
    output, _, code = run(name, *address_options(name, free_ports(1)), *options, given="debug\n")
    first, *others, last = output.splitlines()
    assert (first, last, code) == ("Debug output enabled", "Debug output disabled", 0)
    assert len(others) == 2
    assert others[0] == others[1]


@both
def test_quit_as_an_option_ends_it(name: str, free_ports: FreePorts) -> None:
    options = ["--exec", "quit", "--exec", "debug"]
    output, _, code = run(name, *address_options(name, free_ports(1)), *options, given="debug\n")
    assert (output, code) == ("", 0)


@both
def test_a_script_skips_comments_and_blank_lines_and_ends_the_process(
    name: str, free_ports: FreePorts, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("# a comment\n\n   \n  # another\ndebug on\n\ndebug off\n")
    output, _, code = run(name, *address_options(name, free_ports(1)), "--script", str(script), given="help\n")
    assert (output, code) == ("Debug output enabled\nDebug output disabled\n", 0)


@both
def test_a_comment_in_a_file_or_at_the_prompt_is_passed_over(name: str, free_ports: FreePorts, tmp_path: Path) -> None:
    """It is no command, and none that an empty line repeats; behind a command # is a word as any other."""
    (tmp_path / "lines").write_text("debug on\n# a comment\n\n  #quit\nquit # now\n")
    options = ["--exec", "#quit"]
    output, _, code = run(name, *address_options(name, free_ports(1)), *options, path=tmp_path / "lines")
    *switched, refused = output.splitlines()
    assert switched == ["Debug output enabled"] * 2
    assert refused.startswith('quit: "#" does not belong there')
    assert code == 2


@both
def test_a_script_may_go_on_at_the_prompt(name: str, free_ports: FreePorts, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("debug on\nprompt\n")
    options = ["--exec", "debug off", "--script", str(script)]
    output, _, code = run(name, *address_options(name, free_ports(1)), *options, given="debug\n")
    assert output == "Debug output disabled\nDebug output enabled\nDebug output disabled\n"
    assert code == 0


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("help", 0),
        ("bogus", 2),
        ("set", 2),
        ("wait 50ms", 3),
        ("target add 127.0.0.1:PORT", 2),
        ("wait 50ms\nbogus", 3),
        ("bogus\nwait 50ms\nhelp", 2),
    ],
)
def test_a_script_s_exit_code_is_that_of_its_first_failure(
    lines: str, code: int, free_ports: FreePorts, tmp_path: Path
) -> None:
    first = free_ports(1)
    script = tmp_path / "script"
    script.write_text(lines.replace("PORT", str(first)))
    assert run("initiator", "--target", f"127.0.0.1:{first}", "--script", str(script))[2] == code


def test_a_wait_that_is_not_met_says_how_far_it_came(free_ports: FreePorts) -> None:
    first = free_ports(1)
    with initiator(first) as here:
        output, _, code = here.end("set 5", "wait 100ms", "quit")
    assert (output, code) == ("wait: 0 of 5 sessions held\n", 3)


@both
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)], ids=["TERM", "HUP", "INT"]
)
def test_signals_end_it_cleanly(name: str, number: signal.Signals, code: int, free_ports: FreePorts) -> None:
    first = free_ports(1)
    with Peer() as peer:
        options = ["--listen", f"127.0.0.1:{first}"] if name == "responder" else ["--target", str(peer.address)]
        with Daemon(name, *options, "--no-prompt", "--exec", "status --json") as daemon:
            assert json.loads(daemon.line())
            daemon.signal(number)
            output, errors, returned = daemon.end()
    assert (output, returned) == ("", code)
    one_line(errors)


def test_a_signal_ends_a_command_that_takes_long(free_ports: FreePorts) -> None:
    with initiator(free_ports(1)) as daemon:
        daemon.send("debug on", "sleep 1h")
        assert daemon.line() == "Debug output enabled"
        daemon.signal(signal.SIGTERM)
        assert daemon.end()[2] == 0


def test_without_a_prompt_nothing_is_read(free_ports: FreePorts) -> None:
    first = free_ports(2)
    with responder(first, 2) as there:
        options = ["--no-prompt", "--exec", "set 20", "--exec", "wait 30s", "--exec", "status --json"]
        with initiator(first, 2, *options) as here:
            here.send("set 5", "quit")
            assert json.loads(here.line())["held"] == 20
            assert there.ask("sleep 200ms", "status --json")["held"] == 20
            here.signal(signal.SIGTERM)
            assert here.end()[2] == 0
        there.until(lambda now: not now["held"])


BAD_ADDRESSES = ["1.2.3.4", "1.2.3.4:0", ":80", "a:9-3", "x:70000"]


@both
@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused_in_one_line(name: str, address: str) -> None:
    output, errors, code = run(name, "--listen" if name == "responder" else "--target", address)
    assert (output, code) == ("", 2)
    one_line(errors, f'"{address}"', "ADDR:PORT")


@pytest.mark.parametrize("arguments", [[], ["--listen", "127.0.0.1:1", "--frob"]])
def test_wrong_options_are_refused_in_one_line(arguments: list[str]) -> None:
    output, errors, code = run("responder", *arguments)
    assert (output, code) == ("", 2)
    one_line(errors, "sessioner_responder: ")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(closed: str, free_ports: FreePorts, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "responder", "--listen", f"127.0.0.1:{free_ports(1)}", "--log", str(log)]
    closing = ["sh", "-c", f'"$@" {closed}', "sh", *command, "--exec", "help quit", "--exec", "status"]
    result = subprocess.run(
        closing, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, cwd=ROOT, env=environment()
    )
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr
    assert log.read_text().count("Command: ") == 2


@both
def test_a_hash_size_that_no_memory_holds_is_refused(name: str, free_ports: FreePorts) -> None:
    arguments = ["--hashsize", "1000000m", *address_options(name, free_ports(1))]
    output, errors, code = run(name, *arguments)
    assert (output, code) == ("", 2)
    one_line(errors, "1000000m")


def test_a_port_in_use_is_named(free_ports: FreePorts) -> None:
    first = free_ports(3)
    with socket.create_server(("127.0.0.1", first + 1)):
        output, errors, code = run("responder", "--listen", f"127.0.0.1:{first}-{first + 2}")
    assert (output, code) == ("", 1)
    one_line(errors, f"127.0.0.1:{first + 1}", "in use")


def test_a_source_address_that_is_not_ours_is_refused(free_ports: FreePorts) -> None:
    options = ["--target", f"127.0.0.1:{free_ports(1)}", "--source-ip", "192.0.2.1"]
    output, errors, code = run("initiator", *options)
    assert (output, code) == ("", 1)
    one_line(errors, "192.0.2.1")


def test_an_interface_that_is_not_there_is_refused(free_ports: FreePorts) -> None:
    options = ["--target", f"127.0.0.1:{free_ports(1)}", "--interface", "nowhere0"]
    output, errors, code = run("initiator", *options)
    assert (output, code) == ("", 1)
    one_line(errors, "nowhere0")


def test_a_backlog_above_what_the_system_allows_is_said(free_ports: FreePorts) -> None:
    allowed = Path("/proc/sys/net/core/somaxconn").read_text().strip()
    _, errors, _ = run("responder", "--listen", f"127.0.0.1:{free_ports(1)}", "--backlog", str(int(allowed) + 1))
    assert f"backlog {allowed}" in errors


@pytest.mark.parametrize("option", ["--script", "--log"])
def test_a_file_that_cannot_be_used_is_named(option: str, free_ports: FreePorts, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    output, errors, code = run("responder", "--listen", f"127.0.0.1:{free_ports(1)}", option, str(path))
    assert (output, code) == ("", 2)
    one_line(errors, str(path))


def test_the_log_has_commands_changes_of_state_and_losses_with_times(free_ports: FreePorts, tmp_path: Path) -> None:
    first, log = free_ports(1), tmp_path / "log"
    with responder(first) as there, initiator(first, 1, "--log", str(log)) as here:
        here.ask("set 10", "wait 30s", "status --json")
        there.send("wait clients 10 30s", "drop 3 rst")
        here.until(lambda now: now["losses"] == {"rst": 3} and now["held"] == 10)
        here.end("bogus", "quit")
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ", line) for line in lines)
    texts = [line.split(" ", 3)[3] for line in lines]
    assert texts[:3] == ["Command: set 10", "Command: wait 30s", "Command: status --json"]
    assert texts[-1] == "Command: quit"
    losses = [text for text in texts if text.startswith("Lost ")]
    pattern = rf"Lost 127\.0\.0\.1:\d+->127\.0\.0\.1:{first}: rst"
    assert len(losses) == 3
    assert all(re.fullmatch(pattern, loss) for loss in losses)


def test_the_log_is_appended_to(free_ports: FreePorts, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    run("responder", "--listen", f"127.0.0.1:{free_ports(1)}", "--log", str(log), given="debug\n")
    assert log.read_text().startswith("before\n")
    assert "Command: debug" in log.read_text()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_first_try_needs_no_responder(loop: str) -> None:
    with Daemon("initiator", "--loopback", "--loop", loop) as daemon:
        now = daemon.ask("set 200", "wait 30s", "status --json")
        assert (now["asked"], now["held"], now["targets"]) == (200, 200, 10)
        assert daemon.end("quit")[2] == 0


def test_a_first_try_may_name_its_targets(free_ports: FreePorts) -> None:
    first = free_ports(3)
    with initiator(first, 3, "--loopback") as daemon:
        assert daemon.ask("set 9", "wait 30s", "status --json")["held"] == 9
        details = daemon.end("details --json", "quit")[0].splitlines()
    assert [json.loads(line)["target"] for line in details] == [f"127.0.0.1:{first + at}" for at in range(3)]


def test_a_host_name_stands_for_every_address_it_has(free_ports: FreePorts) -> None:
    first = free_ports(1)
    known = {info[4][0] for info in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
    with Daemon("responder", "--listen", f"localhost:{first}") as there:
        assert there.ask("status --json")["listeners"] == len(known)


def test_hash_sizes_apply_to_the_targets_after_them(free_ports: FreePorts) -> None:
    first = free_ports(3)
    arguments = [
        *("-t", f"127.0.0.1:{first}"),
        *("-s", "5", "-t", f"127.0.0.1:{first + 1}"),
        *("-s", "70", "-t", f"127.0.0.1:{first + 2}"),
    ]
    output, _, _ = run("initiator", *arguments, given="details --json\n")
    sizes = [json.loads(line)["hashsize"] for line in output.splitlines()]
    assert sizes[1:] == [5, 70]


# Descriptors that run out


def test_when_descriptors_run_out_nobody_who_was_accepted_is_disturbed(free_ports: FreePorts) -> None:
    port = free_ports(1)
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon("responder", "--listen", f"127.0.0.1:{port}", "-u", prefix=limited(96)))
        assert daemon.ask("status --json")["descriptors"] == [96, 96]
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE)) for _ in range(150)]
        now = daemon.until(lambda now: now["paused"])
        assert now["exhausted"] == ["descriptors"]
        assert 50 < now["held"] < 96
        for sock in socks[: now["held"]]:
            echoed(sock)
        for sock in socks[:30]:
            sock.close()
        for sock in socks[30 : now["held"] + 30]:
            echoed(sock)
        for sock in socks:
            sock.close()
        now = daemon.until(lambda now: not now["exhausted"] and not now["held"])
        assert (now["losses"], now["accepted"], now["paused"]) == ({"fin": 150}, 150, False)
        _, errors, _ = daemon.end("quit")
    assert errors.count("Out of descriptors: ") == errors.count("There are descriptors again") == 1


def echoed(sock: socket.socket) -> None:
    """Assert that a blocking client gets back what it sends."""
    sock.sendall(b"still here")
    assert sock.recv(100) == b"still here"


def test_what_is_kept_of_the_descriptors_is_not_used_up_while_clients_wait(free_ports: FreePorts) -> None:
    port = free_ports(1)
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon("responder", "--listen", f"127.0.0.1:{port}", "-u", prefix=limited(96)))
        assert daemon.ask("status --json")["held"] == 0
        for _ in range(150):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        before = daemon.until(lambda now: now["paused"])
        after = daemon.ask("sleep 3s", "status --json")
        assert after["held"] == before["held"]


def test_when_descriptors_run_out_what_is_held_stays() -> None:
    with Peer() as peer, Daemon("initiator", "--target", str(peer.address), "-u", prefix=limited(128)) as daemon:
        now = daemon.ask("set 500", "status --json")
        assert (now["asked"], now["descriptors"]) == (500, [128, 128])
        now = daemon.until(lambda now: now["exhausted"] == ["descriptors"] and not now["attempts"])
        held = now["held"]
        assert 70 < held < 128
        # Trying again and again opens no more, and says no more.
        now = daemon.ask("sleep 500ms", "status --json")
        assert (now["held"], now["established"], now["losses"], now["failures"]) == (held, held, {}, {})
        assert now["exhausted"] == ["descriptors"]
        daemon.send("set 20")
        daemon.until(lambda now: now["held"] == 20 and not now["exhausted"])
        daemon.send(f"set {held}")
        now = daemon.until(lambda now: now["held"] == held)
        assert not now["exhausted"]
        output, errors, code = daemon.end("quit")
    assert (output, code) == ("", 0)
    assert errors.count("Out of descriptors: ") == errors.count("There are descriptors again") == 1


# Sessions that are none

ONE_PORT = """
ip link set lo up
echo "40000 40001" >/proc/sys/net/ipv4/ip_local_port_range
exec "$@"
"""


@pytest.mark.namespace
def test_a_session_with_itself_is_none() -> None:
    """A port in the range that sessions are opened from, where nobody listens, can be opened from that very port."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    prefix = ("unshare", "-n", "sh", "-c", ONE_PORT, "sh")
    with Daemon("initiator", "--target", "127.0.0.1:40000", "127.0.0.1:40001", prefix=prefix) as daemon:
        now = daemon.until(lambda now: now["failures"].get("refused", 0) >= 4 or now["held"])
        assert (now["held"], now["established"], now["pausing_targets"]) == (0, 0, 2)
