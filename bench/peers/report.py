"""How figures are written: Markdown tables, ratios, and what is said while the runs go on."""

import sys


def progress(text):
    print(text, file=sys.stderr, flush=True)


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def megabytes(value):
    return f"{value / 1e6:,.0f} MB"


def with_ratio(value, own, text):
    """"838 us (5.6x)": the figure and its ratio to Ingot's."""
    return f"{text} ({value / own:.2g}x)" if own else text
