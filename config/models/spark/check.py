"""Holds text.py against the program: the same conversations, the same token ids.

    check.py --vocabulary MODEL.gguf --out ids.jsonl [-n 400]       where PyTorch's tree is
    check.py --vocabulary MODEL.gguf --program tollgate --against ids.jsonl    where the program runs

Exit status 1 when `tollgate render` gives other ids. The second half needs nothing but Python.
"""
import argparse
import json
import random
import subprocess
import sys

import tasks


def write(path, model, n):
    import text
    vocabulary, rng = text.Vocabulary(model), random.Random(7)
    keys = list(tasks.MIX)
    with open(path, "w", encoding="utf-8") as out:
        for i in range(n):
            e = tasks.example(rng, *keys[i % len(keys)])
            ids = vocabulary.ids(text.prompt(e["messages"], e.get("tools", ())))
            out.write(json.dumps({"example": e, "ids": ids}) + "\n")


def compare(path, model, program):
    n = other = 0
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            e = line["example"]
            asked = {"messages": e["messages"], "add_generation_prompt": True}
            if "tools" in e:
                asked["tools"] = e["tools"]
            got = subprocess.run([program, "render", "-m", model], input=json.dumps(asked),
                                 text=True, capture_output=True, check=True)
            n += 1
            if json.loads(got.stdout)["ids"] != line["ids"]:
                other += 1
                print("other ids:", json.dumps(e["messages"]))
    print(f"{n} conversations, {other} with other ids")
    return other > 0 or n == 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--vocabulary", required=True)
    p.add_argument("--out")
    p.add_argument("-n", type=int, default=400)
    p.add_argument("--program")
    p.add_argument("--against")
    args = p.parse_args()
    if args.out:
        return write(args.out, args.vocabulary, args.n)
    return compare(args.against, args.vocabulary, args.program)


if __name__ == "__main__":
    sys.exit(main())
