"""Token ids of a conversation, as the program's tokenizer and the chat template give them.

The vocabulary is read from any GGUF file of Gemma 4 (tests/golden has one with 4096 tokens). Only
the parts of the template that the tasks need are written here; check.py holds it against
`tollgate render`.
"""
import functools

import gguf
from tokenizers import Tokenizer, models, normalizers



class Vocabulary:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        field = lambda name: reader.fields["tokenizer.ggml." + name].contents()
        merges = [tuple(m.split(" ")) for m in field("merges")]
        self.id = {t: i for i, t in enumerate(field("tokens"))}
        bpe = models.BPE(self.id, merges, byte_fallback=True, fuse_unk=False, unk_token="<unk>",
                         cache_capacity=1 << 16)
        self.bpe = Tokenizer(bpe)
        self.bpe.normalizer = normalizers.Replace(" ", "\u2581")
        self.encode = functools.lru_cache(1 << 18)(self._encode)

    def _encode(self, text):
        return tuple(self.bpe.encode(text, add_special_tokens=False).ids)

    def ids(self, parts):
        """parts: text, and special tokens as ("name",)."""
        out = []
        for part in parts:
            if isinstance(part, tuple):
                out.append(self.id[part[0]])
            else:
                out.extend(self.encode(part))
        return out


BOS, TURN, END = ("<bos>",), ("<|turn>",), ("<turn|>",)
CHANNEL, CHANNEL_END, QUOTE = ("<|channel>",), ("<channel|>",), ('<|"|>',)
TOOL, TOOL_END = ("<|tool>",), ("<tool|>",)
CALL, CALL_END, RESPONSE = ("<|tool_call>",), ("<tool_call|>",), ("<|tool_response>",)


def quoted(text):
    return [QUOTE, text, QUOTE]


def joined(lists):
    out = []
    for i, parts in enumerate(lists):
        out += [","] * (i > 0) + parts
    return out


def declaration(tool):
    """Flat objects of strings only, as the tasks' tools are."""
    f = tool["function"]
    fields = []
    for name, value in sorted(f["parameters"]["properties"].items()):
        described = value.get("description")
        fields.append([name + ":{"] +
                      (["description:"] + quoted(described) + [","] if described else []) +
                      ["type:"] + quoted(value["type"].upper()) + ["}"])
    return ([TOOL, "declaration:" + f["name"] + "{description:"] + quoted(f["description"]) +
            [",parameters:{properties:{"] + joined(fields) + ["},required:["] +
            joined([quoted(r) for r in f["parameters"]["required"]]) +
            ["],type:"] + quoted("OBJECT") + ["}}", TOOL_END])


def merged(parts):
    """Neighbouring texts as one: tokens may cross their borders."""
    out = []
    for part in parts:
        if out and isinstance(part, str) and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return out


def prompt(messages, tools=()):
    parts = [BOS]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    if system or tools:
        parts += [TURN, "system\n" + system.strip()]
        for tool in tools:
            parts += declaration(tool)
        parts += [END, "\n"]
    for m in messages:
        if m["role"] == "system":
            continue
        role = {"assistant": "model"}.get(m["role"], m["role"])
        parts += [TURN, f"{role}\n" + m["content"].strip(), END, "\n"]
    return merged(parts + [TURN, "model\n", CHANNEL, "thought\n", CHANNEL_END])


def answer(example):
    """What the model says, up to the token that ends it."""
    if "call" not in example:
        return [example["answer"], END]
    fields = [[k + ":"] + quoted(v) for k, v in sorted(example["call"]["arguments"].items())]
    return merged([CALL, "call:" + example["call"]["name"] + "{"] + joined(fields) +
                  ["}", CALL_END, RESPONSE])
