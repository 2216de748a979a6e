"""Runs a suite: `python -m benchmarks cells|pool [--json] [--only NAME ...] [--quick]`."""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks import cells, machine, pool

SUITES = {"cells": cells, "pool": pool}


def main() -> None:
    """Run a suite and print its table, or JSON with the machine's description."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("suite", choices=[*SUITES])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", nargs="*", default=None, help="some of the suite's measures")
    parser.add_argument("--quick", action="store_true", help="a tenth of the repeats: to see that it runs")
    options = parser.parse_args()
    results = SUITES[options.suite].run(only=options.only, scale=0.1 if options.quick else 1.0, say=_say)
    if options.json:
        print(json.dumps({"suite": options.suite, "machine": machine.describe(), "results": results}, indent=1))
    else:
        print(cells.table(results))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
