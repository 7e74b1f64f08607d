"""The table of tests/bench/compare says what it was given: medians, ratios in the right direction,
verdicts, and a reason for each peer that is not there. Measures nothing.

bench_report.py PROJECT_ROOT
"""
import contextlib
import io
import json
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv[1]) / "tests" / "bench"))

from comparison import report  # noqa: E402


def figures(**values):
    return {"all_requests": 1000, "others": 0.0, **values}


def made_up():
    """Three rounds of two cases: ferrule's p50 is half the native one's, its rate a third."""
    rounds = [{
        "echo-1": {"ferrule": figures(p50_us=us), "native_epoll": figures(p50_us=2 * us),
                   "socat": figures(p50_us=4 * us), "haproxy": figures(p50_us=3 * us)},
        "echo-64": {"ferrule": figures(rate=100.0 * us, counters={}, io_enters_per_request=0.5),
                    "native_epoll": figures(rate=300.0 * us)},
    } for us in (10.0, 30.0, 20.0)]
    return {
        "engine": "kvm", "rounds": rounds, "reasons": {"haproxy": "haproxy is not installed"},
        "machine": {"cpus": 2, "cpu": "made up", "kernel": "0", "congestion_control": "reno"},
        "quiet": [{"line_before_ns": 100, "line_after_ns": None, "others": 0.0, "stolen": 0.0}] * 3,
        "ring": [{"round": 1, "size": size, "peer": peer, "gbps": gbps, "messages_per_second": 1e6,
                  "line_before_ns": 100, "line_after_ns": 100, "cpu_share": 1.0}
                 for size, peer, gbps in ((65536, "memcpy", 10.0), (65536, "ferrule", 9.0), (64, "ferrule", 3.0),
                                          (64, "ck_ring", 1.0), (64, "boost_spsc", 2.0))],
        "boot": [{"empty_vm_us": 1000.0, "first_byte_us": 4000.0}],
        "fair": [{name: {"p50_us": us, "p99_us": us, "p999_us": us} for name, us in (
            ("alone", 10.0), ("connect", 10.5), ("write", 14.0), ("hold", 16.0))}],
        "guests": {"guests": 500, "answered": 499, "started_seconds": 9.0, "pss_each": 1 << 20, "cpu_all": 0.0},
    }


def expect(value, wanted, what):
    if value != wanted:
        sys.exit(f"{what}: {value!r} instead of {wanted!r}")


def find(judged, start):
    found = [each for each in judged if each["title"].startswith(start)]
    expect(len(found), 1, f"judgements of '{start}'")
    return found[0]


def check_verdicts(judged):
    for start, value, verdict in (
            ("echo 64 B, 1 connection", 0.5, "aim"), ("echo-1: times better", 3.0, "aim"),
            ("echo 64 B, 64 connections", 1 / 3, "MISSED"), ("ring, 64 KiB", 0.9, "must"),
            ("ring, 64 B", 1.5, "aim"), ("exec to first byte", 4.0, "MISSED"),
            ("echo 64 B, p99 beside 64 connects", 1.05, "aim"), ("echo 64 B, p99 beside 64 peers", 1.4, "must"),
            ("echo 64 B, p99 beside 64 connections", 1.6, "MISSED"),
            ("500 idle guests: share", 499 / 500, "MISSED"), ("500 idle guests: seconds", 9.0, "aim")):
        each = find(judged, start)
        expect(round(each["value"], 9), round(value, 9), start)
        expect(each["verdict"], verdict, start)
    expect("haproxy" in find(judged, "echo-1: times better")["title"], True, "the best relay is the quickest")


def main():
    results = made_up()
    results["judged"] = report.judge(results)
    check_verdicts(results["judged"])
    expect({each["verdict"] for each in report.judge(results, 2)}, {"-"}, "verdicts of two rounds")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        report.print_all(results)
    for text in ("10 .. 30", "3,000 .. 9,000", "skipped: haproxy is not installed", "MISSED"):
        expect(text in out.getvalue(), True, f"'{text}' is in the table")
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        report.write_json(results, file.name)
        expect(json.load(file)["engine"], "kvm", "what the JSON has")
    print(f"{len(results['judged'])} judgements")


main()
