"""Spark's shape and its forward pass in PyTorch: Gemma 4 with the branches of the E-series.

The formulas of local_engine/gemma4.c: q, k and v normed per head and scores unscaled, norms before
and behind each block, per-layer embeddings, a tail of layers that reads the keys and values of the
last owner of its kind, one scale of each layer's output, a tied head with softcap. On a CPU most of
a step this small is spent in passes over activations, not in products, so the norm and RoPE have
their gradients written out, and a norm in front of a product has no weights (the product has them).
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

SHAPE = dict(vocab=4096, d=160, layers=8, global_layers=(3, 7), shared=4, heads=4, head_s=32,
             head_g=64, ff=320, ff_tail=640, ple=32, window=64, base_g=1e6, base_s=1e4,
             rotated_g=0.25, softcap=30.0, eps=1e-6, context=2048)


class Norm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps), times w if there is one."""

    @staticmethod
    def forward(ctx, x, w):
        power = torch.linalg.vector_norm(x, dim=-1, keepdim=True).float().square()
        r = (power / x.shape[-1] + SHAPE["eps"]).rsqrt().to(x.dtype)
        y = x * r
        ctx.save_for_backward(y, r, w)
        return y if w is None else y * w

    @staticmethod
    def backward(ctx, dy):
        y, r, w = ctx.saved_tensors
        t = dy * y
        d = y.shape[-1]
        if w is None:
            dot, dw, g = t.sum(-1, keepdim=True), None, dy
        else:
            dot, g = (t @ w)[..., None], dy * w
            dw = t.reshape(-1, d).sum(0)
        return torch.addcmul(g, y, dot, value=-1 / d).mul_(r), dw


def norm(x, w=None):
    return Norm.apply(x, w)


def turned(x, cos, sin):
    h = x.shape[-1] // 2
    a, b = x[..., :h], x[..., h:]
    out = torch.empty_like(x)
    torch.mul(a, cos, out=out[..., :h]).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=out[..., h:]).addcmul_(a, sin)
    return out


class Rope(torch.autograd.Function):
    """Pairs (i, i + head / 2) of x [..., n, head] turned by cos and sin [n, head / 2]."""

    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin)

    @staticmethod
    def backward(ctx, dy):
        cos, sin = ctx.saved_tensors
        return turned(dy, cos, -sin), None, None


def rope_table(n, head, base, rotated):
    i = torch.arange(head // 2, dtype=torch.float64)
    theta = base ** (-2 * i / head)
    theta[int(head // 2 * rotated):] = 0
    angle = torch.arange(n, dtype=torch.float64)[:, None] * theta
    return angle.cos(), angle.sin()


def linear(rows_in, rows_out):
    return nn.Linear(rows_in, rows_out, bias=False)


def ones(n):
    return nn.Parameter(torch.ones(n))


class Layer(nn.Module):
    def __init__(self, s, index):
        super().__init__()
        self.kind = "g" if index in s["global_layers"] else "s"
        self.owns = index < s["layers"] - s["shared"]
        self.heads, self.head = s["heads"], s["head_" + self.kind]
        d, ff, ple = s["d"], s["ff"] if self.owns else s["ff_tail"], s["ple"]
        self.post_attn, self.post_ffn, self.post_ple = ones(d), ones(d), ones(d)
        self.q_norm = ones(self.head)
        self.q, self.o = linear(d, self.heads * self.head), linear(self.heads * self.head, d)
        if self.owns:
            self.k, self.v = linear(d, self.head), linear(d, self.head)
        self.gate, self.up, self.down = linear(d, ff), linear(d, ff), linear(ff, d)
        self.ple_gate, self.ple_proj = linear(d, ple), linear(ple, d)
        self.scale = ones(1)

    def attention(self, h, kv, tables):
        b, n, _ = h.shape
        cos, sin, mask = tables[self.kind]
        if self.owns:
            kv[self.kind] = Rope.apply(norm(self.k(h)), cos, sin), norm(self.v(h))
        k, v = kv[self.kind]
        q = self.q(h).view(b, n, self.heads, self.head).transpose(1, 2)
        q = Rope.apply(norm(q, self.q_norm), cos, sin)
        # One key head for all query heads: a row's queries are one matrix.
        score = (q.reshape(b, -1, self.head) @ k.transpose(1, 2)).view(b, self.heads, n, n)
        weight = torch.softmax(score + mask, -1)
        o = (weight.view(b, -1, n) @ v).view(b, self.heads, n, self.head)
        return self.o(o.transpose(1, 2).reshape(b, n, -1))

    def forward(self, x, p, kv, tables):
        x = x + norm(self.attention(norm(x), kv, tables), self.post_attn)
        h = norm(x)
        x = x + norm(self.down(F.gelu(self.gate(h), approximate="tanh") * self.up(h)),
                     self.post_ffn)
        g = F.gelu(self.ple_gate(x), approximate="tanh") * p
        return (x + norm(self.ple_proj(g), self.post_ple)) * self.scale


class Spark(nn.Module):
    def __init__(self, s=SHAPE):
        super().__init__()
        self.s = s
        d, width = s["d"], s["ple"] * s["layers"]
        self.embed, self.ple_embed = nn.Embedding(s["vocab"], d), nn.Embedding(s["vocab"], width)
        self.ple_context, self.ple_context_norm = linear(d, width), ones(s["ple"])
        self.layers = nn.ModuleList(Layer(s, i) for i in range(s["layers"]))
        self.norm = ones(d)
        for w in self.parameters():
            if w.dim() == 2:
                nn.init.normal_(w, std=1 / math.sqrt(w.shape[1]))
        nn.init.normal_(self.ple_embed.weight, std=1 / math.sqrt(s["ple"]))
        self.tables_of = {}

    def tables(self, n, dtype):
        if (n, dtype) not in self.tables_of:
            s = self.s
            back = torch.arange(n)[:, None] - torch.arange(n)[None, :]
            out = {}
            for kind, rotated, window in ("g", s["rotated_g"], n), ("s", 1, s["window"]):
                cos, sin = rope_table(n, s["head_" + kind], s["base_" + kind], rotated)
                mask = torch.zeros(n, n).masked_fill((back < 0) | (back >= window), -math.inf)
                out[kind] = cos.to(dtype), sin.to(dtype), mask.to(dtype)
            self.tables_of[n, dtype] = out
        return self.tables_of[n, dtype]

    def hidden(self, ids):
        """ids [batch, n] -> [batch, n, d], normed for the head."""
        s, (b, n) = self.s, ids.shape
        x = self.embed(ids) * math.sqrt(s["d"])
        a = self.ple_embed(ids).view(b, n, s["layers"], s["ple"]) * math.sqrt(s["ple"] / 2)
        # The engine divides this by sqrt(d) first, which the norm takes out again.
        c = norm(self.ple_context(x).view(b, n, s["layers"], s["ple"]), self.ple_context_norm)
        p = torch.add(a, c, alpha=math.sqrt(0.5)).unbind(2)
        kv, tables = {}, self.tables(n, x.dtype)
        for layer, per_layer in zip(self.layers, p):
            x = layer(x, per_layer, kv, tables)
        return norm(x, self.norm)

    def logits(self, h):
        z = h @ self.embed.weight.t()
        return self.s["softcap"] * torch.tanh(z.float() / self.s["softcap"])
