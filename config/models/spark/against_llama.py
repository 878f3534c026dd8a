"""Holds Spark's greedy answers against llama.cpp's server, which runs the same file.

    llama-server -m spark.gguf --port 8099          (any build that knows gemma4)
    against_llama.py --program build/tollgate --model spark.gguf --server http://127.0.0.1:8099 \\
        --set tests/eval/test.jsonl [-n 50] [--limit 0.05]

Each conversation is rendered by the program, both sides get the same token ids. Where the answers
part, the gap between the best two logits there (ours, exact) decides: below the limit either is
right. Exit status 1 when one is above. Needs nothing but Python.
"""
import argparse
import json
import subprocess
import sys
import urllib.request

LONGEST = 48


def run(args, *words, given):
    out = subprocess.run([args.program, *words, "-m", args.model], input=given, text=True,
                         capture_output=True, check=True)
    return json.loads(out.stdout)


def ours(args, ids):
    out = run(args, "logits", "--ids", "-", "--generate", str(LONGEST), given=json.dumps(ids))
    return out["generated"]


def gap(args, ids):
    out = run(args, "logits", "--ids", "-", "--top", "2", given=json.dumps(ids))
    first, second = out["positions"][0]["top"]
    return first["logit"] - second["logit"]


def theirs(args, ids):
    body = {"prompt": ids, "n_predict": LONGEST, "temperature": 0, "top_k": 1,
            "return_tokens": True, "cache_prompt": False, "ignore_eos": False}
    request = urllib.request.Request(args.server + "/completion", json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["tokens"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in "program", "model", "server", "set":
        p.add_argument("--" + name, required=True)
    p.add_argument("-n", type=int, default=50)
    p.add_argument("--limit", type=float, default=0.05)
    args = p.parse_args()
    equal = close = apart = 0
    with open(args.set, encoding="utf-8") as lines:
        rows = [json.loads(next(lines)) for _ in range(args.n)]
    for row in rows:
        asked = {"messages": row["messages"], "add_generation_prompt": True}
        if "tools" in row:
            asked["tools"] = row["tools"]
        ids = run(args, "render", given=json.dumps(asked))["ids"]
        a, b = ours(args, ids), theirs(args, ids)
        at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), None)
        if at is None:
            equal += 1
            continue
        width = gap(args, ids + a[:at])
        close, apart = close + (width < args.limit), apart + (width >= args.limit)
        print(f"{row['id']}: part at token {at}, {a[at]} and {b[at]}, gap {width:.4f}"
              f"{'' if width < args.limit else ' ABOVE THE LIMIT'}")
    print(f"{equal} of {args.n} equal, {close} part below the limit of {args.limit}, {apart} above")
    return apart > 0


if __name__ == "__main__":
    sys.exit(main())
