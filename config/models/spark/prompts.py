"""Writes held-out prompts for tests/eval as JSON lines, by the mix of tasks.py.

    prompts.py --fit 1500 --test 1500 --out FOLDER    FOLDER/fit.jsonl and FOLDER/test.jsonl

None of them is trained on, none is in both files, and the same seed gives the same files. Needs
nothing but Python.
"""
import argparse
import json
import os
import random

import tasks


def wanted(n):
    """How many of each (family, level): the mix, rounded so that the sum is n."""
    exact = {k: n * v / sum(tasks.MIX.values()) for k, v in tasks.MIX.items()}
    out = {k: int(v) for k, v in exact.items()}
    for k in sorted(exact, key=lambda k: out[k] - exact[k])[:n - sum(out.values())]:
        out[k] += 1
    return out


def collect(rng, split, n):
    seen, rows = set(), []
    for (family, level), count in wanted(n).items():
        found = tries = 0
        while found < count:
            tries += 1
            if tries > 2000 * count:
                raise SystemExit(f"{family} {level}: only {found} of {count} held-out prompts")
            e = tasks.example(rng, family, level)
            key = tasks.prompt_key(e)
            if key in seen or not tasks.is_held_out(e) or tasks.is_test(e) != (split == "test"):
                continue
            seen.add(key)
            found += 1
            rows.append({"id": f"{split}-{family}-{level}-{found}", "split": split} | e)
    rng.shuffle(rows)
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--fit", type=int, default=1500)
    p.add_argument("--test", type=int, default=1500)
    p.add_argument("--seed", type=int, default=2)
    p.add_argument("--out", required=True)
    args = p.parse_args()
    for split, n in ("fit", args.fit), ("test", args.test):
        rows = collect(random.Random(f"{args.seed}/{split}"), split, n)
        with open(os.path.join(args.out, split + ".jsonl"), "w", encoding="utf-8") as out:
            for row in rows:
                out.write(json.dumps(row, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
