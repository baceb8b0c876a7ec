"""Tests of what an initiator tells StatsD and Prometheus, with real sessions behind it."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.exporters.settings import Exporters
from initiator.engine import Engine
from initiator.exporters import exporting, families, published
from initiator.settings import Settings
from initiator.workloads.churn import ChurnSettings
from initiator.workloads.expressions import parse_message
from initiator.workloads.query import QuerySettings
from initiator.workloads.questions import DEFAULT_NAME, DEFAULT_TYPE, build_question
from initiator.workloads.schedule import constant
from initiator.workloads.send import SendSettings
from tests.common.exporters.test_prometheus import samples, scrape
from tests.common.exporters.test_statsd import server, told
from tests.initiator.test_engine import both, hold, initiating, status
from tests.support import Peer

pytestmark = pytest.mark.usefixtures("run")

FreePorts = Callable[[int], int]

PREFIX = "sessioner_initiator_"


async def values(engine: Engine) -> dict[str, Any]:
    """Return what Prometheus is given, by name and the values of the labels."""
    return {
        " ".join([sample.name.removeprefix(PREFIX), *sample.labels.values()]): sample.value
        for family in families(await published(engine))
        for sample in family.samples
    }


async def query(engine: Engine, rate: float, seconds: float) -> None:
    """Send queries, and return when they have ended."""
    question = build_question(DEFAULT_NAME, DEFAULT_TYPE)
    await engine.start_query(QuerySettings(constant(rate), 1, (question,), arrivals="constant", seconds=seconds))
    await engine.wait_query()


@pytest.mark.parametrize("what", ["queries", "messages"])
async def test_no_rate_is_asked_for_while_the_last_answers_are_awaited(what: str) -> None:
    with Peer() as peer:  # which answers nothing
        async with aclosing(Engine(Settings(seed=1))) as engine:
            await engine.add_targets(peer.endpoint, None)
            await engine.wait_held()
            if what == "queries":
                question = build_question(DEFAULT_NAME, DEFAULT_TYPE)
                await engine.start_query(QuerySettings(constant(100), 1, (question,), timeout=60.0))
            else:
                message = parse_message(b"x", 1)
                await engine.start_send(SendSettings(1, (message,), rate=100.0, marker=message))
            await status(engine, lambda now: now.traffic.sent > 0)
            assert (await values(engine))[f"{what}_asked_per_second"] == 100
            await (engine.stop_query if what == "queries" else engine.stop_send)()
            assert (await values(engine))[f"{what}_asked_per_second"] == 0
            now = await engine.snapshot()
            run = now.query if what == "queries" else now.send
            assert run
            assert run.running


async def test_sessions_and_targets_are_told() -> None:
    async with both(3) as (engine, _, (first, second, third)):
        await hold(engine, 10)
        found = await values(engine)
        assert (found["sessions_asked"], found["sessions_held"], found["targets"]) == (10, 10, 3)
        assert (found["sessions_established_total"], found["attempts"]) == (10, 0)
        assert [found[f"target_sessions_held {target}"] for target in (first, second, third)] == [4, 3, 3]
        assert found["connect_seconds_count raw"] == found["connect_seconds_bucket raw +Inf"] == 10
        # A figure that is still 0 has a name already.
        assert (found["sessions_lost_total rst"], found["queries_sent_total"], found["ping_seconds_count raw"]) == (
            0,
            0,
            0,
        )


async def test_losses_and_failures_are_told_by_reason_and_target() -> None:
    async with both() as (engine, responder, (target,)):
        await hold(engine, 4)
        await responder.drop(3, reset=True)
        await status(engine, lambda now: now.losses == {"rst": 3})
        found = await values(engine)
        assert found["sessions_lost_total rst"] == found[f"target_sessions_lost_total {target} rst"] == 3
        assert found["sessions_lost_total fin"] == 0
    with Peer(backlog=None) as refusing:
        async with initiating([refusing.address]) as engine:
            await status(engine, lambda now: now.failures)
            found = await values(engine)
            name = f"target_attempts_failed_total {refusing.address} refused"
            assert found["attempts_failed_total refused"] == found[name] > 0
            assert found["sessions_held"] == 0


async def test_the_queries_of_all_runs_are_counted() -> None:
    async with both() as (engine, _, _):
        await hold(engine, 3)
        await query(engine, 100, 0.2)
        first = await values(engine)
        await query(engine, 100, 0.5)
        found = await values(engine)
    assert (first["queries_sent_total"], first["queries_answered_total"]) == (20, 20)
    assert found["queries_due_total"] == found["queries_sent_total"] == found["queries_answered_total"] == 70
    assert found["answers_total echo"] == 70
    assert (
        found["query_seconds_count raw"]
        == found["query_seconds_count corrected"]
        == found["late_seconds_count raw"]
        == 70
    )
    assert found["query_seconds_sum corrected"] >= found["query_seconds_sum raw"] > 0
    assert (found["queries_asked_per_second"], found["queries_outstanding"]) == (0, 0)
    assert found["sent_bytes_total"] == found["received_bytes_total"] > 70 * 20


async def test_the_short_sessions_of_all_runs_are_counted() -> None:
    async with both() as (engine, _, _):
        none = await values(engine)
        for rates in ([100.0], [50.0, 100.0]):
            await engine.start_churn(rates, ChurnSettings(seconds=0.2, request=b"x"))
            await engine.wait_churn()
        found = await values(engine)
    assert (none["transactions_due_total"], none["transactions_completed_total"]) == (0, 0)
    assert {none[f"{what}_asked_per_second"] for what in ("queries", "messages", "transactions")} == {0}
    assert found["transactions_due_total"] == found["transactions_begun_total"] == 50
    assert found["transactions_completed_total"] == 50
    assert found["sessions_established_total"] == 1, "they are none of those held"


async def test_the_rate_of_short_sessions_is_told_while_it_is_asked_for() -> None:
    async with both() as (engine, _, _):
        await engine.start_churn([20.0], ChurnSettings(seconds=600, request=b"x"))
        await status(engine, lambda now: now.churn and now.churn.now)
        found = await values(engine)
        await engine.stop_churn()
        ended = await values(engine)
    assert (found["transactions_asked_per_second"], ended["transactions_asked_per_second"]) == (20, 0)
    assert ended["transactions_due_total"] == ended["transactions_completed_total"] + sum(
        value for name, value in ended.items() if name.startswith("transactions_failed_total")
    )


async def test_short_sessions_that_fail_are_told_by_reason() -> None:
    with Peer(backlog=None) as refusing, server() as (sock, endpoint):
        async with initiating([refusing.address]) as engine:
            await engine.start_churn([100.0], ChurnSettings(seconds=0.1))
            await engine.wait_churn()
            found = await values(engine)
            async with exporting(Exporters(endpoint, "box", 60), engine):
                datagram = await told(sock)
    begun = int(found["transactions_begun_total"])
    assert found.get("transactions_failed_total refused", 0) == begun
    assert found["transactions_due_total"] == 10
    assert found["transactions_completed_total"] == 0
    assert [datagram[f"box.transactions.{name}"] for name in ("begun", "completed", "failed")] == [
        f"{begun}|c",
        "0|c",
        "10|c",
    ]


async def test_what_is_published_does_not_change_any_more() -> None:
    async with both() as (engine, _, _):
        await hold(engine, 2)
        before = await published(engine)
        text = repr([family.samples for family in families(before)])
        await hold(engine, 6)
        await query(engine, 100, 0.1)
        assert repr([family.samples for family in families(before)]) == text


async def test_prometheus_and_statsd_are_told_the_same(free_ports: FreePorts) -> None:
    address = Address("127.0.0.1", free_ports(1))
    with server() as (sock, endpoint):
        async with both() as (engine, _, _):
            await hold(engine, 5)
            await query(engine, 100, 0.1)
            async with exporting(Exporters(endpoint, "box", 60, address), engine):
                datagram = await told(sock)
                text = await asyncio.to_thread(scrape, address)
    found = samples(text)
    assert found[f"{PREFIX}sessions_held", ()] == 5
    assert (datagram["box.connections.total"], datagram["box.connections.opened"]) == ("5|g", "5|c")
    assert (datagram["box.connections.total.in"], datagram["box.connections.total.out"]) == ("0|g", "5|g")
    assert (datagram["box.traffic.msgs.sent"], datagram["box.traffic.msgs.rcvd"]) == ("10|c", "10|c")
    sent, received = (int(found[f"{PREFIX}{way}_bytes_total", ()]) for way in ("sent", "received"))
    assert (datagram["box.traffic.data.sent"], datagram["box.traffic.data.rcvd"]) == (f"{sent}|c", f"{received}|c")
    assert datagram["box.traffic.data"] == f"{sent + received}|c"
    latencies = [
        float(datagram[f"box.latency.message.{name}"].removesuffix("|g")) for name in ("min", "mean", "95", "max")
    ]
    assert latencies == sorted(latencies)
    assert latencies[0] > 0


async def test_latencies_are_those_of_a_window() -> None:
    with server() as (sock, endpoint):
        async with both() as (engine, _, _):
            await hold(engine, 5)
            async with exporting(Exporters(endpoint, "box", 0.1), engine):
                assert float((await told(sock))["box.latency.connect.max"].removesuffix("|g")) > 0
                # Nothing is established in the next one: that is no latency of 0.
                later = await told(sock)
    assert later["box.connections.opened"] == "0|c"
    assert not [name for name in later if ".latency." in name]


async def test_nothing_is_left_behind_when_the_other_cannot_start(free_ports: FreePorts) -> None:
    address = Address("127.0.0.1", free_ports(1))
    async with initiating([]) as engine:
        for exporters in (
            Exporters(statsd=Endpoint("127.0.0.1", 9, 9), prometheus=address),
            Exporters(statsd=Endpoint("127.0.0.1", 9, 9)),
        ):
            async with exporting(exporters, engine):
                if exporters.prometheus:
                    with pytest.raises(UsageError, match="Address already in use"):
                        async with exporting(exporters, engine):
                            pass
