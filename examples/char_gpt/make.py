"""Writes text.txt: sentences of a small grammar, from a fixed seed.

A model that has learned it writes words and sentences of the same kind. Nobody's text, so that it may
lie here; take any other text for a larger model.
"""

import pathlib
import random

PLACES = "hill river harbour meadow mill tower forest bridge orchard lighthouse".split()
BEINGS = "fox heron miller sailor owl shepherd otter baker crow fisherman".split()
COLOURS = "grey red old quiet tired clever small golden hungry patient".split()
VERBS = "watches follows remembers greets finds answers passes forgets paints guards".split()
TIMES = ["in the morning", "after the rain", "before the snow", "at noon", "when the wind turns", "at night"]
JOINTS = ["and then", "but", "while", "because", "until"]


def being(draw):
    return f"the {draw.choice(COLOURS)} {draw.choice(BEINGS)}"


def clause(draw):
    return f"{being(draw)} {draw.choice(VERBS)} {being(draw)} by the {draw.choice(PLACES)}"


def sentence(draw):
    text = clause(draw)
    if draw.random() < 0.5:
        text += f" {draw.choice(TIMES)}"
    if draw.random() < 0.4:
        text += f", {draw.choice(JOINTS)} {clause(draw)}"
    return text[0].upper() + text[1:] + "."


draw = random.Random(20240601)
lines = []
while sum(map(len, lines)) < 40000:
    lines.append(" ".join(sentence(draw) for _ in range(draw.randint(2, 5))) + "\n")
(pathlib.Path(__file__).parent / "text.txt").write_text("".join(lines))
