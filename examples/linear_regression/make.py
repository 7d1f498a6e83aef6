"""Writes train.csv and test.csv: y = 3 a - 2 b + 0.5 c + 4, plus normal noise of 0.1.

A trained model should find about these weights, and an error (RMSE) on test.csv of about the noise.
"""

import csv
import pathlib
import random

random.seed(20240601)
for name, rows in (("train.csv", 400), ("test.csv", 100)):
    with open(pathlib.Path(__file__).parent / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["a", "b", "c", "y"])
        for _ in range(rows):
            a, b, c = (round(random.uniform(-1, 1), 4) for _ in range(3))
            writer.writerow([a, b, c, round(3 * a - 2 * b + 0.5 * c + 4 + random.gauss(0, 0.1), 4)])
