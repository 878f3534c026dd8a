"""Expectations for tests/unit/engine/test_spark.c: greedy answers of model.py, in F32, on the weights
of the file as they are, with the gap between the best two logits at each step.

    golden.py --model spark.gguf --set test.jsonl --out spark.json

One prompt of each family and level. The whole row is computed anew for each token.
"""
import argparse
import json

import torch

import export
import text

LONGEST = 40
ENDS = "<turn|>", "<|tool_response>"


@torch.no_grad()
def answer(net, ids, ends):
    said, gaps = [], []
    while len(said) < LONGEST and (not said or said[-1] not in ends):
        h = net.hidden(torch.tensor([ids + said]))[0, -1]
        best = net.logits(h[None])[0].topk(2)
        said.append(best.indices[0].item())
        gaps.append(round((best.values[0] - best.values[1]).item(), 4))
    return said, gaps


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in "model", "set", "out":
        p.add_argument("--" + name, required=True)
    args = p.parse_args()
    vocabulary, net = text.Vocabulary(args.model), export.load(args.model)
    ends = [vocabulary.id[e] for e in ENDS]
    seen, cases = set(), []
    with open(args.set, encoding="utf-8") as lines:
        for e in map(json.loads, lines):
            if (e["family"], e["level"]) in seen:
                continue
            seen.add((e["family"], e["level"]))
            ids = vocabulary.ids(text.prompt(e["messages"], e.get("tools", ())))
            said, gaps = answer(net, ids, ends)
            cases.append({"id": e["id"], "ids": ids, "answer": said, "gaps": gaps})
    with open(args.out, "w", encoding="utf-8") as out:
        out.write('{"cases":[\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) +
                  "\n]}\n")


if __name__ == "__main__":
    main()
