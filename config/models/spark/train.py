"""Trains Spark from scratch on what tasks.py generates.

    train.py --vocabulary ANY_GEMMA4.gguf --out DIR [--tokens 24000000] [--seed 1]

Seeded and resumable: DIR/checkpoint.pt is replaced as a whole every few minutes, and the examples
of block n depend on the seed and n alone. The weights are trained in bf16 with an F32 master copy.
"""
import argparse
import ctypes
import json
import os
import random
import time

os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
import torch  # noqa: E402
from torch.nn import functional as F

import model
import tasks
import text

BLOCK = 16384  # examples made and sorted at once
IGNORED = -100


def block(seed, n, vocabulary, batch_tokens):
    """Batches of block n: (ids [rows, length], index of answer places, their next ids).

    Few shapes, since each new one costs the products' set-up: lengths are multiples of 8, and each
    length always comes with the same number of rows. A last batch that is not full is dropped.
    """
    rng = random.Random(f"{seed}/{n}")
    rows = []
    while len(rows) < BLOCK:
        e = tasks.example(rng, *tasks.choose(rng))
        if tasks.is_held_out(e):
            continue
        prompt = vocabulary.ids(text.prompt(e["messages"], e.get("tools", ())))
        rows.append((prompt, vocabulary.ids(text.answer(e))))
    rows.sort(key=lambda r: -len(r[0]) - len(r[1]))
    batches = []
    while rows:
        width = (len(rows[0][0]) + len(rows[0][1]) - 1 + 7) // 8 * 8
        take = batch_tokens // width
        if len(rows) >= take:
            batches.append(tensors(rows[:take], width))
        rows = rows[take:]
    rng.shuffle(batches)
    return batches


def tensors(rows, width):
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    places, wanted = [], []
    for i, (prompt, answer) in enumerate(rows):
        whole = prompt + answer
        ids[i, :len(whole) - 1] = torch.tensor(whole[:-1])
        places += range(i * width + len(prompt) - 1, i * width + len(whole) - 1)
        wanted += answer
    spare = -len(places) % 256
    return (ids, torch.tensor(places + [0] * spare), torch.tensor(wanted + [IGNORED] * spare))


def schedule(done, args):
    """Share of the rate: linear warm-up, flat, then linearly to zero over the last part."""
    x = done / args.tokens
    return min(1, x / 0.01, (1 - x) / args.decay if x < 1 else 0)


class Run:
    def __init__(self, args):
        self.args = args
        torch.manual_seed(args.seed)
        self.net = model.Spark()
        self.master = [p.detach().clone() for p in self.net.parameters()]
        self.net.to(torch.bfloat16)
        self.params = list(self.net.parameters())
        named = list(zip((n for n, _ in self.net.named_parameters()), self.master))
        matrices = [p for n, p in named if p.dim() == 2 and "embed" not in n]
        tables = [p for n, p in named if p.dim() == 2 and "embed" in n]
        rest = [p for p in self.master if p.dim() != 2]
        # Muon (Jordan et al. 2024) for the matrices of the layers, Adam for everything else.
        self.optimizers = {
            "muon": torch.optim.Muon(matrices, lr=args.muon_rate, momentum=0.95,
                                     weight_decay=args.weight_decay),
            "adam": torch.optim.AdamW([{"params": tables, "weight_decay": args.weight_decay},
                                       {"params": rest, "weight_decay": 0}],
                                      lr=args.rate, betas=(0.9, 0.95), fused=True)}
        self.rates = {"muon": args.muon_rate, "adam": args.rate}
        self.blocks = self.done = 0
        self.path = os.path.join(args.out, "checkpoint.pt")
        if os.path.exists(self.path):
            self.load()

    def save(self):
        torch.save({"master": self.master, **{k: o.state_dict() for k, o in self.optimizers.items()}, "blocks": self.blocks,
                    "done": self.done, "seed": self.args.seed}, self.path + ".part")
        os.replace(self.path + ".part", self.path)

    @torch.no_grad()
    def load(self):
        state = torch.load(self.path)
        if state["seed"] != self.args.seed:
            raise SystemExit(f"{self.path} is of seed {state['seed']}")
        torch._foreach_copy_(self.master, state["master"])
        torch._foreach_copy_(self.params, self.master)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])
        self.blocks, self.done = state["blocks"], state["done"]

    def step(self, batch):
        ids, places, wanted = batch
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[name] * schedule(self.done, self.args)
        h = self.net.hidden(ids).flatten(0, 1)[places]
        loss = F.cross_entropy(self.net.logits(h), wanted)
        loss.backward()
        for p, m in zip(self.params, self.master):
            m.grad = p.grad.float()
            p.grad = None
        torch.nn.utils.clip_grad_norm_(self.master, 1.0)
        for optimizer in self.optimizers.values():
            optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.params, self.master)
        self.done += ids.numel()
        return loss.item(), (wanted != IGNORED).sum().item()


def keep_freed_memory():
    """Activations are freed and taken again in every step: not by way of the kernel."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in (-1, 2**31 - 1), (-2, 100 << 20), (-3, 1 << 30):
            libc.mallopt(option, value)  # trim threshold, top pad, mmap threshold


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--vocabulary", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--tokens", type=float, default=24e6)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--batch-tokens", type=int, default=2048)
    p.add_argument("--rate", type=float, default=3e-3)
    p.add_argument("--muon-rate", type=float, default=0.015)
    p.add_argument("--decay", type=float, default=0.5)
    p.add_argument("--weight-decay", type=float, default=0.05)
    p.add_argument("--seconds", type=float, default=9e9, help="stop after these")
    args = p.parse_args()
    keep_freed_memory()
    os.makedirs(args.out, exist_ok=True)
    vocabulary = text.Vocabulary(args.vocabulary)
    run = Run(args)
    start, began, saved = time.time(), run.done, time.time()
    while run.done < args.tokens and time.time() - start < args.seconds:
        total = n = 0
        t0 = time.time()
        batches = block(args.seed, run.blocks, vocabulary, args.batch_tokens)
        made = time.time() - t0
        for batch in batches:
            loss, count = run.step(batch)
            total, n = total + loss * count, n + count
        run.blocks += 1
        speed = (run.done - began) / (time.time() - start)
        print(json.dumps({"block": run.blocks, "tokens": run.done, "loss": round(total / n, 4),
                          "tokens_per_s": round(speed), "making_s": round(made, 2)}), flush=True)
        if time.time() - saved > 120:
            run.save()
            saved = time.time()
    run.save()


if __name__ == "__main__":
    main()
