#!/usr/bin/env python3
"""Makes tests/golden/tiny-* from the full fixture set: python3 reduce.py FIXTURES [OUT].

FIXTURES holds models/<model>/{golden.json,golden/*.bin,*.gguf}. Kept are one model file each, and
of golden.json what its logits and greedy continuation are judged by, in the same layout, as
<model>.json and <model>-<source>.bin.
"""
import json
import os
import shutil
import sys

MODELS = (("tiny-dense", "Q8_0"), ("tiny-e", "Q4_0"), ("tiny-moe", "Q4_0"))


def reduce(source, model, kind, out):
    with open(os.path.join(source, "golden.json"), encoding="utf-8") as f:
        full = json.load(f)
    truth = "hfdeq_" + kind
    logits = "%s-%s.bin" % (model, truth)
    kept = {
        "model": full["model"],
        "prompts": [{k: p[k] for k in ("name", "text", "ids")} for p in full["prompts"]],
        "logit_sources": {truth: dict(full["logit_sources"][truth], file=logits)},
        "argmax_every_position": {truth: full["argmax_every_position"][truth]},
        "greedy64": {"hfdeq/" + kind: full["greedy64"]["hfdeq/" + kind]},
        "greedy_never_samples": full["greedy_never_samples"],
    }
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, model + ".json"), "w", encoding="utf-8") as f:
        json.dump(kept, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    gguf = "%s-%s.gguf" % (model, kind)
    for old, new in ((os.path.join("golden", truth + ".bin"), logits), (gguf, gguf)):
        shutil.copyfile(os.path.join(source, old), os.path.join(out, new))


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    out = sys.argv[2] if len(sys.argv) == 3 else os.path.dirname(os.path.abspath(__file__))
    for model, kind in MODELS:
        reduce(os.path.join(sys.argv[1], "models", model), model, kind, out)


main()
