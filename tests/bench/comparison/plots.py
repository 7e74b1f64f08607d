"""The ratio to the native server over connections and message size, by gnuplot."""
import os
import shutil

from comparison.extras import median
from comparison.processes import Failed, run

AXES = {"connections": "connections, 64 B messages", "size": "bytes of a message, 16 connections"}

SCRIPT = """
set terminal svg size 800,500 background '#ffffff'
set output '{svg}'
set title 'echo: requests/s of Ferrule / native epoll'
set xlabel '{label}'
set ylabel 'ratio'
set logscale x 2
set yrange [0:*]
set grid
set key off
plot '{data}' using 1:2:3:4 with yerrorbars pt 7 lc rgb '#1f77b4', \\
     '{data}' using 1:2 with lines lc rgb '#1f77b4', 1 with lines dt 2 lc rgb '#888888'
"""


def rows_of(sweeps, over):
    """Value, ratio of the medians, and the spread of the rounds' own."""
    for value in sorted({point["value"] for sweep in sweeps for point in sweep if point["over"] == over}):
        points = [point for sweep in sweeps for point in sweep if (point["over"], point["value"]) == (over, value)]
        own = [point["ferrule"] / point["native_epoll"] for point in points]
        whole = median([point["ferrule"] for point in points]) / median([point["native_epoll"] for point in points])
        yield value, whole, min(own), max(own)


def write(sweeps, directory):
    """ratio-connections.svg and ratio-size.svg, and the data under them."""
    if not shutil.which("gnuplot"):
        raise Failed("gnuplot is not installed: scripts/setup bench")
    os.makedirs(directory, exist_ok=True)
    for over, label in AXES.items():
        base = os.path.join(directory, f"ratio-{over}")
        with open(base + ".data", "w", encoding="utf-8") as file:
            file.write("# value, ratio of medians, least, most\n")
            file.writelines("{} {:.4f} {:.4f} {:.4f}\n".format(*row) for row in rows_of(sweeps, over))
        with open(base + ".gnuplot", "w", encoding="utf-8") as file:
            file.write(SCRIPT.format(svg=base + ".svg", label=label, data=base + ".data"))
        run(["gnuplot", base + ".gnuplot"], 30)
