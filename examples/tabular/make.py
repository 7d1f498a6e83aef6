"""Writes train.csv and test.csv: what kind of weather a station saw, from four measurements.

The classes overlap a little and are no linear function of the columns; one value in fifty is missing.
"""

import csv
import math
import pathlib
import random

random.seed(7)


def measure():
    temperature = random.uniform(-10, 35)
    humidity = random.uniform(20, 100)
    pressure = random.gauss(1013, 9)
    wind = random.expovariate(1 / 12)
    saturation = humidity - 70 + 15 * math.sin(temperature / 12) - 0.9 * (pressure - 1013)
    saturation += random.gauss(0, 3)
    if saturation < 0:
        weather = "dry"
    elif temperature < 2:
        weather = "snow"
    else:
        weather = "storm" if wind > 15 else "rain"
    values = [f"{temperature:.1f}", f"{humidity:.0f}", f"{pressure:.1f}", f"{wind:.1f}"]
    return [v if random.random() > 0.02 else "" for v in values] + [weather]


for name, rows in (("train.csv", 2000), ("test.csv", 500)):
    with open(pathlib.Path(__file__).parent / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["temperature", "humidity", "pressure", "wind", "weather"])
        for _ in range(rows):
            writer.writerow(measure())
