#!/usr/bin/env python3
"""Makes train.csv and test.csv: journeys, of which some are late, by hour, weekday, line and weather."""
import pathlib
import random

HERE = pathlib.Path(__file__).parent
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LINES = ("blue", "green", "red", "yellow")
WEATHER = ("clear", "fog", "rain", "snow")


def row(numbers):
    hour, day, line, weather = (numbers.randint(5, 23), numbers.choice(DAYS), numbers.choice(LINES),
                                numbers.choice(WEATHER))
    busy = day not in ("Sat", "Sun") and hour in (7, 8, 9, 16, 17, 18)
    risk = 2.5 * busy + {"clear": -1, "fog": 0, "rain": 0.5, "snow": 2.5}[weather] + (1.5 if line == "red" else -1)
    late = risk + numbers.gauss(0, 0.5) > 1
    if numbers.random() < 0.03:
        weather = ""
    return f"{hour},{day},{line},{weather},{'late' if late else 'punctual'}"


def main():
    for half, count in (("train", 1500), ("test", 300)):
        numbers = random.Random(half)
        rows = "\n".join(row(numbers) for _ in range(count))
        (HERE / f"{half}.csv").write_text(f"hour,day,line,weather,arrival\n{rows}\n")


if __name__ == "__main__":
    main()
