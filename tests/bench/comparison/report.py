"""Medians, spreads, ratios and verdicts of what was measured, and the table of them."""
import json

from comparison.cases import CASES, QUIET
from comparison.extras import RING_OTHERS, median
from comparison.fair import BESIDE
from comparison.peers import NOTES, RELAYS

UNITS = {"p50_us": ("us", 1), "rate": ("/s", 1), "gbps": ("GB/s", 1)}


ROUNDS_LEAST = 3  # for a verdict
NO_VERDICT = "-"


def spread(values):
    values = [value for value in values if value is not None]
    return (min(values), max(values)) if values else (None, None)


def verdict(value, must, aim, smaller):
    if value is None:
        return "not measured"
    if value <= aim if smaller else value >= aim:
        return "aim"
    return "must" if (value <= must if smaller else value >= must) else "MISSED"


def judgement(title, value, low, high, must, aim, smaller):
    return {"title": title, "value": value, "low": low, "high": high, "must": must, "aim": aim,
            "smaller_is_better": smaller, "verdict": verdict(value, must, aim, smaller)}


# ---- loads

def summarise(figures):
    """Medians of all numbers of a peer's rounds, and the spread of them."""
    summary = {}
    for key in {key for each in figures for key, value in each.items() if isinstance(value, (int, float))}:
        values = [each.get(key) for each in figures]
        summary[key] = {"median": median(values), "spread": spread(values)}
    return summary


def ratios(rounds, case, better, ours="ferrule", theirs=None):
    """The ratio of the medians and the spread of the rounds' own ratios."""
    pairs = [(each[ours][case.metric], each[theirs][case.metric]) for each in rounds
             if case.metric in each.get(ours, {}) and case.metric in each.get(theirs, {})]
    if not pairs:
        return None, None, None
    calculate = case.better if better else case.ratio
    whole = calculate(median([pair[0] for pair in pairs]), median([pair[1] for pair in pairs]))
    return whole, *spread([calculate(*pair) for pair in pairs])


def judge_case(case, rounds):
    found = [judgement(f"{case.title} / {case.native}", *ratios(rounds, case, False, theirs=case.native),
                       case.must, case.aim, case.smaller_is_better)]
    measured = [(median([each[name][case.metric] for each in rounds if case.metric in each.get(name, {})]), name)
                for name in RELAYS if any(case.metric in each.get(name, {}) for each in rounds)]
    if measured:
        _, best = (min if case.smaller_is_better else max)(measured)
        found.append(judgement(f"{case.name}: times better than the best relay, {best}",
                               *ratios(rounds, case, True, theirs=best), 1.0, 1.5, False))
    return found


def number(value):
    """Short, for a column."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def load_rows(case, rounds, reasons):
    """A row for each peer of a case."""
    rows = []
    for name in case.peers():
        figures = [each[name] for each in rounds if case.metric in each.get(name, {})]
        if not figures:
            reason = reasons.get(f"{case.name}/{name}", reasons.get(name))
            rows += [[name, "skipped: " + reason]] if reason else []
            continue
        summary = summarise(figures)

        def middle(key):
            return summary.get(key, {}).get("median")

        value, (low, high) = middle(case.metric), summary[case.metric]["spread"]
        ratio = ratios(rounds, case, False, ours=name, theirs=case.native)[0]
        bulk = case.metric == "gbps"
        rows.append([name, number(value), f"{number(low)} .. {number(high)}", number(ratio),
                     *(["-"] * 3 if bulk else [number(middle(key)) for key in ("p50_us", "p99_us", "p999_us")]),
                     number(middle("cpu_ms_per_gib" if bulk else "cpu_us_per_request")),
                     number(middle("cpu_ms_per_gib_guest" if bulk else "cpu_us_per_request_guest"))])
    return rows


def counter_rows(rounds):
    """Ferrule's own counters: for each request, or each MiB of bulk."""
    rows = []
    for case in CASES:
        figures = [each[case.name]["ferrule"] for each in rounds
                   if "counters" in each.get(case.name, {}).get("ferrule", {})]
        if not figures:
            continue
        summary = summarise(figures)
        per = "_per_mib" if case.metric == "gbps" else "_per_request"
        names = ["doorbells", "interrupts", "io_enters", "io_operations", "sleeps", "other_exits"]
        rows.append([case.name, per[5:].replace("mib", "MiB")] +
                    [number(summary.get(name + per, {}).get("median")) for name in names])
    return rows


# ---- the others

def judge_ring(measured):
    found, table = [], {}
    for each in measured:
        table.setdefault((each["size"], each["peer"]), []).append(each["gbps"])

    def ratio(size, ours, theirs):
        pairs = list(zip(table.get((size, ours), []), table.get((size, theirs), [])))
        pairs = [(a, b) for a, b in pairs if b]
        if not pairs:
            return None, None, None
        return (median([a for a, _ in pairs]) / median([b for _, b in pairs]),
                *spread([a / b for a, b in pairs]))

    found.append(judgement("ring, 64 KiB / copying another CPU's fresh bytes", *ratio(65536, "ferrule", "memcpy"),
                           0.8, 0.95, False))
    for size, text in ((64, "64 B"), (1024, "1 KiB")):
        peers = [(median(values), name) for (of, name), values in table.items()
                 if of == size and name in RING_OTHERS]
        if peers:
            best = max(peers)[1]
            found.append(judgement(f"ring, {text}: times the best of the others, {best}",
                                   *ratio(size, "ferrule", best), 1.0, 1.5, False))
    return found


def judge_boot(measured):
    pairs = [each["first_byte_us"] / each["empty_vm_us"] for each in measured]
    whole = median([each["first_byte_us"] for each in measured]) / median([each["empty_vm_us"] for each in measured])
    return [judgement("exec to first byte served / making and entering an empty VM", whole, *spread(pairs),
                      3.0, 1.5, True)]


def judge_memory(measured):
    cpu, pss = [each["cpu"] * 100 for each in measured], [each["pss"] / (1 << 20) for each in measured]
    return [judgement("idle guest, % of one CPU", median(cpu), *spread(cpu), 0.5, 0.5, True),
            judgement("idle guest, PSS in MiB", median(pss), *spread(pss), 6.0, 3.0, True)]


def judge_many(measured):
    pairs = [each["beside"]["rate"] / each["alone"]["rate"] for each in measured]
    whole = median([each["beside"]["rate"] for each in measured]) / median(
        [each["alone"]["rate"] for each in measured])
    return [judgement(f"64 busy streams beside {measured[0]['idle']:,} idle ones / without", whole,
                      *spread(pairs), 0.8, 0.95, False)]


def judge_fair(measured):
    def p99(name):
        return [each[name]["p99_us"] for each in measured]

    return [judgement(f"echo 64 B, p99 beside {text} / alone", median(p99(name)) / median(p99("alone")),
                      *spread([a / b for a, b in zip(p99(name), p99("alone"))]), 1.5, 1.1, True)
            for name, text in BESIDE.items()]


def judge_guests(measured):
    count, answered = measured["guests"], measured["answered"]
    seconds = measured["started_seconds"]
    return [judgement(f"{count} idle guests: share that answers", answered / count, None, None, 1.0, 1.0, False),
            judgement(f"{count} idle guests: seconds until all are started", seconds, None, None,
                      float("inf"), 10.0, True)]


def judge(results, rounds=ROUNDS_LEAST):
    """All that is judged, in the order of the table."""
    found = []
    for case in CASES:
        of_case = [each[case.name] for each in results["rounds"] if case.name in each]
        if case.judged and of_case:
            found += judge_case(case, of_case)
    for key, function in (("ring", judge_ring), ("boot", judge_boot), ("memory", judge_memory),
                          ("many", judge_many), ("fair", judge_fair), ("guests", judge_guests)):
        if results.get(key):
            found += function(results[key])
    if rounds < ROUNDS_LEAST:
        found = [{**each, "verdict": NO_VERDICT} for each in found]
    return found


# ---- the table

def print_table(heads, rows):
    widths = [max([len(heads[i])] + [len(row[i]) for row in rows if i == 0 or len(row) > 2])
              for i in range(len(heads))]
    for row in [heads, *rows]:
        print("  " + "  ".join(text.ljust(widths[i]) if i == 0 or len(row) == 2 else text.rjust(widths[i])
                               for i, text in enumerate(row)).rstrip())


def print_machine(results):
    machine = results["machine"]
    print(f"{machine['cpus']} CPUs, {machine['cpu']}, Linux {machine['kernel']}, congestion control "
          f"{machine['congestion_control']}, engine {results['engine']}")
    for index, each in enumerate(results["quiet"], 1):
        print(f"  round {index}: a cache line there and back {number(each['line_before_ns'])} ns before, "
              f"{number(each['line_after_ns'])} ns after; others used {each['others']:.0%} of one CPU, "
              f"{each['stolen']:.0%} stolen")
    kept = [figures["others"] for each in results["rounds"] for case in each.values() for figures in case.values()]
    noisy = sum(others > QUIET for others in kept)
    if noisy:
        print(f"  NOT QUIET: others used more than {QUIET:.0%} of one CPU during {noisy} of {len(kept)} "
              f"measurements, tries again included; do not trust their ratios")


def print_loads(results):
    for case in CASES:
        rounds = [each[case.name] for each in results["rounds"] if case.name in each]
        if not rounds:
            continue
        unit = "ms/GiB" if case.metric == "gbps" else "us/req"
        print(f"\n{case.name}: {case.title}; {len(rounds)} rounds")
        print_table(["peer", "median", "spread", "/ native", "p50 us", "p99 us", "p99.9 us",
                     f"CPU {unit}", "of it guest"], load_rows(case, rounds, results["reasons"]))
    rows = counter_rows(results["rounds"])
    if rows:
        print("\nferrule's counters (exits: to user space)")
        print_table(["case", "for each", "doorbells", "interrupts", "io_uring_enter", "operations", "sleeps",
                     "exits"], rows)


def print_ring(measured):
    print("\nring between two threads, GB/s")
    groups = {}
    for each in measured:
        groups.setdefault((each["size"], each["peer"]), []).append(each)
    rows = []
    for (size, peer), found in groups.items():
        values = [each["gbps"] for each in found]
        low, high = spread(values)
        lines = [each[key] for each in found for key in ("line_before_ns", "line_after_ns")]
        rows.append([peer, str(size), number(median(values)), f"{number(low)} .. {number(high)}",
                     number(median([each["messages_per_second"] for each in found]) / 1e6),
                     f"{number(min(lines))} .. {number(max(lines))}",
                     f"{min(each['cpu_share'] for each in found):.0%}"])
    print_table(["peer", "bytes", "median", "spread", "M messages/s", "cache line ns", "CPUs had"], rows)


def print_others(results):
    if results.get("ring"):
        print_ring(results["ring"])
    if results.get("boot"):
        print("\nboot, us")
        rows = []
        for key, text in (("empty_vm_us", "making and entering an empty VM"),
                          ("empty_vm_irqchip_us", "the same, an irqchip made before the slot"),
                          ("listening_us", "exec to listening"), ("first_byte_us", "exec to the first byte")):
            values = [each[key] for each in results["boot"] if key in each]
            if values:
                rows.append([text, number(median(values)), "{} .. {}".format(*map(number, spread(values)))])
        print_table(["", "median", "spread"], rows)
    if results.get("memory"):
        print("\nmemory and idling")
        rows = []
        for key, unit, text in (
                ("pss", 1 << 20, "PSS of an idle guest, MiB"), ("memfd", 1 << 20, "its memfds, MiB"),
                ("cpu", 0.01, "CPU of an idle guest, % of one"),
                ("cpu_with_streams", 0.01, "the same with 1,000 idle streams"),
                ("idle_stream_pss", 1024, "PSS of an idle stream, KiB"),
                ("idle_stream_memfd", 1024, "memfd bytes of an idle stream, KiB"),
                ("busy_stream_pss", 1024, "PSS of a busy stream, KiB"),
                ("busy_stream_memfd", 1024, "memfd bytes of a busy stream, KiB")):
            values = [each[key] / unit for each in results["memory"] if key in each]
            if values:
                rows.append([text, number(median(values)), "{} .. {}".format(*map(number, spread(values)))])
        print_table(["", "median", "spread"], rows)
    if results.get("fair"):
        print("\necho 64 B, one connection, us")
        rows = []
        for name, text in {"alone": "alone", **BESIDE}.items():
            values = {key: [each[name][key] for each in results["fair"]] for key in ("p50_us", "p99_us", "p999_us")}
            rows.append([text, *(number(median(values[key])) for key in values),
                         "{} .. {}".format(*map(number, spread(values["p99_us"])))])
        print_table(["", "p50", "p99", "p99.9", "spread of p99"], rows)
    if results.get("guests"):
        each = results["guests"]
        print(f"\n{each['guests']} guests: {each['answered']} answered, started in {each['started_seconds']:.1f} s, "
              f"{each['pss_each'] / (1 << 20):.2f} MiB PSS each, {each['cpu_all']:.1%} of one CPU for all of them idle")


def print_verdicts(results):
    print("\njudged: ratio of medians (spread of the rounds' own ratios)")
    if any(each["verdict"] == NO_VERDICT for each in results["judged"]):
        print(f"  fewer than {ROUNDS_LEAST} rounds: a look, and no verdict")
    rows = []
    for each in results["judged"]:
        sign = "<=" if each["smaller_is_better"] else ">="
        inner = "" if each["low"] is None else f"{number(each['low'])} .. {number(each['high'])}"
        must = "-" if each["must"] == float("inf") else f"{sign} {each['must']:g}"
        rows.append([each["title"], number(each["value"]), inner, must, f"{sign} {each['aim']:g}", each["verdict"]])
    print_table(["", "value", "spread", "must", "aim", "reached"], rows)


def print_notes(results):
    print("\nnotes")
    measured = {peer for found in results["rounds"] for peers in found.values() for peer in peers}
    for name, text in NOTES.items():
        if name not in measured and name not in results["reasons"]:
            continue
        print(f"  {name}: {text}" + (f" (skipped: {results['reasons'][name]})" if name in results["reasons"] else ""))
    for key, reason in results["reasons"].items():
        if key not in NOTES:
            print(f"  {key}: {reason}")
    print("  wrk has no time to warm up; CPU time of relays includes the native server behind them")


def print_all(results):
    print_machine(results)
    print_loads(results)
    print_others(results)
    print_notes(results)
    print_verdicts(results)


def write_json(results, path):
    """JSON knows no infinity."""
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(each) for each in value]
        return None if value == float("inf") else value

    with open(path, "w", encoding="utf-8") as file:
        json.dump(plain(results), file, indent=1)
        file.write("\n")
