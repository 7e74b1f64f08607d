"""Fairness: one connection that echoes, beside many of the same guest that get nowhere."""
import contextlib
import json
import re
import socket
import time

from comparison.processes import Failed, run

NOISY = 64
NOISE = re.compile(r"noise on [0-9.]+:(\d+)\n")
FILL_SECONDS = 0.5  # in which rings and sockets of those that are not read become full
BESIDE = {"connect": "64 connects to where nobody answers", "write": "64 peers that do not read what it sends",
          "hold": "64 connections that it does not read"}


@contextlib.contextmanager
def black_hole():
    """A port that answers no SYN, because its backlog is full: what --connect and the guest call it."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield "{}:{}".format(*server.getsockname())


def send_what_goes(streams):
    for each in streams:
        with contextlib.suppress(BlockingIOError):
            while each.send(bytes(65536)):
                pass


@contextlib.contextmanager
def noise(running, what):
    """The peers of a guest that writes or holds."""
    port = int(running.processes["peer"].wait_for(NOISE)[1])
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(NOISY)]
        for each in streams:
            each.setblocking(False)
        until = time.monotonic() + FILL_SECONDS
        while time.monotonic() < until:
            if what == "hold":
                send_what_goes(streams)
            time.sleep(0.01)
        yield


def echo_beside(peers, what, ms):
    """What load says of one connection, beside that; None: alone."""
    options, arguments = [], ["127.0.0.1:0"]
    with contextlib.ExitStack() as stack:
        if what == "connect":
            hole = stack.enter_context(black_hole())
            options, arguments = ["--connect", hole], [*arguments, what, hole]
        elif what:
            arguments += [what, "127.0.0.1:0"]
        running = stack.enter_context(peers.running("ferrule", "beside", options, arguments))
        if what in ("write", "hold"):
            stack.enter_context(noise(running, what))
        figures = json.loads(run([peers.bench("load"), "echo", f"127.0.0.1:{running.port}", "--ms", ms], 60))
    if what == "connect" and running.counters.get("connections_made") != 0:
        raise Failed("the black hole has answered")
    return figures


def fair(peers, rounds, ms):
    """A round: alone and beside each; begun with another one each time."""
    found = []
    names = [None, *BESIDE]
    for index in range(rounds):
        turn = index % len(names)
        found.append({what or "alone": echo_beside(peers, what, ms) for what in names[turn:] + names[:turn]})
    return found
