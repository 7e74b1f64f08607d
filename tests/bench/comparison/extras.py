"""What is not one load against one server: rings, boot, memory, many streams, many guests, sweeps."""
import contextlib
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import statistics
import subprocess
import time

from comparison import machine
from comparison.peers import LISTENING
from comparison.processes import Failed, Process, kill_with_parent, run

IDLE_STREAMS = 1000
BUSY_STREAMS = 64
MANY_IDLE = 10000
GUESTS = 500
RING_OTHERS = ["ck_ring", "rte_ring", "boost_spsc"]
SWEEP_CONNECTIONS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
SWEEP_SIZES = [64, 256, 1024, 4096, 16384, 65536]


def lines_of(argv, seconds):
    return [json.loads(line) for line in run(argv, seconds).split("\n") if line.startswith("{")]


def ring(peers, rounds, ms):
    return lines_of([peers.bench("ring_bench"), "--rounds", rounds, "--ms", ms], 300)


def line_ns(peers):
    """The round trip of a cache line between the two CPUs."""
    found = lines_of([peers.bench("ring_bench"), "--probe"], 30)
    return found[0]["line_ns"] if found else None


def boot(peers, rounds):
    found = lines_of([peers.bench("boot"), "--rounds", rounds, os.path.join(peers.build, "monitor", "ferrule"),
                      os.path.join(peers.build, "guest", "echo.elf")], 120)
    if not found:
        raise Failed("there is no usable /dev/kvm")
    return found


# ---- memory

def open_streams(port, count):
    found = []
    for _ in range(count):
        found.append(socket.create_connection(("127.0.0.1", port), 10))
        found[-1].sendall(b"x")
        if found[-1].recv(1) != b"x":
            raise Failed("a stream does not answer")
    return found


def idle(peers, seconds):
    """A guest that was just started, and then one with quiet streams; CPU as a share of one."""
    with peers.running("ferrule", "echo") as running:
        pid = running.processes["peer"].pid
        time.sleep(0.5)
        figures = {"pss": machine.pss_bytes(running.pids("peer")), "memfd": machine.memfd_bytes(pid)}
        before, start = machine.cpu_ns(running.pids("peer")), time.monotonic_ns()
        time.sleep(seconds)
        figures["cpu"] = (machine.cpu_ns(running.pids("peer")) - before) / (time.monotonic_ns() - start)
        streams = open_streams(running.port, IDLE_STREAMS)
        figures["idle_stream_pss"] = (machine.pss_bytes(running.pids("peer")) - figures["pss"]) / IDLE_STREAMS
        figures["idle_stream_memfd"] = (machine.memfd_bytes(pid) - figures["memfd"]) / IDLE_STREAMS
        before, start = machine.cpu_ns(running.pids("peer")), time.monotonic_ns()
        time.sleep(seconds)
        figures["cpu_with_streams"] = (
            machine.cpu_ns(running.pids("peer")) - before) / (time.monotonic_ns() - start)
        for each in streams:
            each.close()
    return figures


def busy(peers):
    """Memory of streams while they carry 64 KiB messages."""
    with peers.running("ferrule", "echo") as running:
        pid = running.processes["peer"].pid
        pss, memfd = machine.pss_bytes(running.pids("peer")), machine.memfd_bytes(pid)
        load = Process(peers.scratch, [peers.bench("load"), "echo", f"127.0.0.1:{running.port}",
                                       "--connections", BUSY_STREAMS, "--size", 65536, "--ms", 1500])
        try:
            time.sleep(1)
            load.check()
            return {"busy_stream_pss": (machine.pss_bytes(running.pids("peer")) - pss) / BUSY_STREAMS,
                    "busy_stream_memfd": (machine.memfd_bytes(pid) - memfd) / BUSY_STREAMS}
        finally:
            load.stop()


# ---- many streams

def beside_idle(peers, count, ms):
    """Requests/s of 64 busy streams beside so many idle ones."""
    with peers.running("ferrule", "echo", ("--memory", "2G")) as running:
        argv = [peers.bench("load"), "echo", f"127.0.0.1:{running.port}", "--connections", 64,
                "--idle", count, "--ms", ms]
        return json.loads(run(argv, 120))


# ---- many guests

def answer(port):
    with socket.create_connection(("127.0.0.1", port), 20) as stream:
        stream.sendall(b"x")
        stream.settimeout(20)
        return stream.recv(1) == b"x"


def first_ports(guests, seconds):
    """The ports of guests as they say them; {guest: port}."""
    ports, said = {}, {}
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as waiting:
        for guest in guests:
            waiting.register(guest.stdout, selectors.EVENT_READ, guest)
        while len(ports) < len(guests) and time.monotonic() < until and waiting.get_map():
            for key, _ in waiting.select(1):
                text = os.read(key.fd, 4096)
                said[key.data] = said.get(key.data, b"") + text
                match = LISTENING.search(said[key.data].decode(errors="replace"))
                if match:
                    ports[key.data] = int(match[1])
                if match or not text:
                    waiting.unregister(key.fileobj)
    return ports


def many_guests(peers, count, seconds=90):
    """So many idle guests at once: when the last of them was started, and whether each answers."""
    argv = [*kill_with_parent(), os.path.join(peers.build, "monitor", "ferrule"), "run", "--engine",
            peers.engine, "--listen", "127.0.0.1:0",
            os.path.join(peers.build, "guest", "echo.elf" if peers.engine == "kvm" else "echo"), "127.0.0.1:0"]
    guests = []
    begin = time.monotonic()
    try:
        for _ in range(count):
            guests.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL, start_new_session=True))
        ports = first_ports(guests, seconds)
        started = time.monotonic() - begin
        answered = sum(answer(port) for port in ports.values())
        pss = machine.pss_bytes([guest.pid for guest in guests[:20]]) / min(20, count)
        before, start = machine.cpu_ns([guest.pid for guest in guests]), time.monotonic_ns()
        time.sleep(2)
        cpu = (machine.cpu_ns([guest.pid for guest in guests]) - before) / (time.monotonic_ns() - start)
        return {"guests": count, "answered": answered, "started_seconds": started,
                "pss_each": pss, "cpu_all": cpu}
    finally:
        end_all(guests)


def end_all(guests):
    for guest in guests:
        guest.send_signal(signal.SIGTERM)
    until = time.monotonic() + 30
    for guest in guests:
        try:
            guest.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            guest.kill()
            guest.wait()
        guest.stdout.close()


# ---- sweeps, for the plots

def sweep(peers, ms):
    """Requests/s of Ferrule and of the native server over connections and over sizes."""
    found = []
    points = [("connections", count, ["--connections", count]) for count in SWEEP_CONNECTIONS]
    points += [("size", size, ["--connections", 16, "--size", size]) for size in SWEEP_SIZES]
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(peers.running(name, "echo")) for name in ("ferrule", "native_epoll")}
        for over, value, options in points:
            point = {"over": over, "value": value}
            for name, running in servers.items():
                argv = [peers.bench("load"), "echo", f"127.0.0.1:{running.port}", *options,
                        "--warm", 100, "--ms", ms]
                figures = json.loads(run(argv, 60))
                point[name] = figures["rate"]
                point[name + "_p50_us"] = figures["p50_us"]
            found.append(point)
    return found


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None
