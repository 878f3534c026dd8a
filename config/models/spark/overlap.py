"""How near the evaluated prompts are to what was trained: no prompt is in both, but the same
question may be, in other words, and near-twins are.

    overlap.py --set tests/eval/test.jsonl [--blocks 29] [--seed 1] [--rows build/eval/rows.jsonl]

Makes the training's examples again (a minute for 29 blocks) and counts for each family and level:
twin: a conversation was trained that differs in case, punctuation and tools alone; numbers: the
same two numbers were asked for, in whatever words. --rows: of how many of these, and of how many of
the others, local was right. Needs nothing but Python.
"""
import argparse
import collections
import json
import random
import re

import tasks

BLOCK = 16384  # as in train.py


def plain(text):
    return " ".join(re.findall(r"[a-z0-9]+|[-+*=]", text.lower()))


def twin(e):
    return tuple((m["role"], plain(m["content"])) for m in e["messages"])


def numbers(e):
    """The level's two numbers; None where it has none."""
    found = re.findall(r"\d+", e["messages"][-1]["content"])
    return (e["level"], *found) if e["family"] == "arithmetic" else None


def trained(seed, blocks):
    for n in range(blocks):
        rng, made = random.Random(f"{seed}/{n}"), 0
        while made < BLOCK:
            e = tasks.example(rng, *tasks.choose(rng))
            if not tasks.is_held_out(e):
                made += 1
                yield e


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--set", required=True)
    p.add_argument("--rows")
    p.add_argument("--blocks", type=int, default=29)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    with open(args.set, encoding="utf-8") as lines:
        evaluated = [json.loads(line) for line in lines]
    right = {}
    if args.rows:
        with open(args.rows, encoding="utf-8") as lines:
            right = {r["id"]: r["local"]["right"] for r in map(json.loads, lines)}
    exact, twins, pairs = set(), set(), set()
    for e in trained(args.seed, args.blocks):
        exact.add(tasks.prompt_key(e))
        twins.add(twin(e))
        pairs.add(numbers(e))
    counts = collections.defaultdict(collections.Counter)
    for e in evaluated:
        if tasks.prompt_key(e) in exact:
            raise SystemExit(f"{e['id']} was trained")
        near, c = twin(e) in twins, counts[e["family"], e["level"]]
        c.update(n=1, twin=near, numbers=numbers(e) is not None and numbers(e) in pairs)
        if right:
            c["right of twins" if near else "right of others"] += right[e["id"]]
    names = ["n", "twin", "numbers"] + (["right of twins", "right of others"] if right else [])
    print("| family, level |", " | ".join(names), "|\n|" + "---|" * (len(names) + 1))
    for (family, level), c in sorted(counts.items()):
        print(f"| {family} {level} |", " | ".join(str(c[n]) for n in names), "|")
    total = sum(counts.values(), collections.Counter())
    print("| all |", " | ".join(str(total[n]) for n in names), "|")


if __name__ == "__main__":
    main()
