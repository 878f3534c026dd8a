#!/usr/bin/env python3
"""Makes tests/golden/render-styles.json: python3 render_styles.py TEMPLATES [--check]

TEMPLATES is a folder with the released chat templates, each a file of any name; they are found by
their SHA-256 (a newline at the end does not matter). Needs jinja2. The cases come from
render-styles-cases.json and render.json beside this script; each is rendered by each template as
Hugging Face transformers would, and templates that agree share an entry. A case may name releases
whose rendering is not followed, with the reason ("except").
"""
import hashlib
import json
import os
import sys

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = os.path.dirname(os.path.abspath(__file__))
KNOWN = {
    "2604-02": "2dfbfc7d538912f4ea11d29d85b4e25d7bc26386e53f57529f1d707c28b5828c",
    "2604-02 small": "55572b8d3c8342044e25874c73fe5234b661fa0a57a57f6ef75b58e03d7d959a",
    "2604-10": "85a08664d16d8f3be4416c92427b3ac10df1024ac566cc0b4bc3bab409393f98",
    "2604-10 small": "781d10940fbc44be40064b5d43a056fc486c84ceaa55538226368b57314132bf",
    "2604-28": "94899c0f917d93f6fe81c95744d1e8ddab2d21d39228d2e4aec1fb2a25bff413",
    "2604-28 small": "33204f1acb5bd0002713e16a593847f24ceeafe711ed88bda2a352dc996a3373",
    "2605-18": "36e3a42e5cf14cd0020e72d92e1fdd9970f59b82170e421f0cbe1bb42bead3f0",
    "2605-18 small": "2f1b4d75d067bae3fe44e676721c7f077d243bc007156cb9c2f8b5836613d082",
    "2607-09": "ae53464bf3be25802b3a5b37def7fd89667067d7577049b3b2d74c4d8de4c6d4",
    "2607-09 small": "0a2c8073c878ab1da004bee933a998606537bbb62016310352c7285c3f01c5b5",
    "2607-09 unsloth": "845f1ee48e39fc942fe190da9df6a1c5db229e17a96ea08966ad1c9274e73d1b",
    "2607-09 unsloth small": "241c50d86bdfe5e43307da87f559cd2416aacd67a8de46c15acc0105ef2200b7",
}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def load_templates(folder):
    names = {h: n for n, h in KNOWN.items()}
    found = {}
    for file in sorted(os.listdir(folder)):
        with open(os.path.join(folder, file), encoding="utf-8", newline="") as f:
            text = f.read()
        for variant in (text, text.rstrip("\n"), text.rstrip("\n") + "\n"):
            if sha256(variant) in names:
                found[names[sha256(variant)]] = variant
    missing = [n for n in KNOWN if n not in found]
    if missing:
        sys.exit("templates that are not in %s: %s" % (folder, ", ".join(missing)))
    return {n: found[n] for n in KNOWN}


def parsed_arguments(messages):
    """Arguments as objects, as templates want them; OpenAI's API has JSON text."""
    messages = json.loads(json.dumps(messages))
    for message in messages:
        for call in message.get("tool_calls") or []:
            if isinstance(call["function"].get("arguments"), str):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def raise_exception(text):
    raise TemplateError(text)


def render(template, case):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = raise_exception
    return env.from_string(template).render(
        messages=parsed_arguments(case["messages"]),
        tools=case.get("tools"),
        add_generation_prompt=case["add_generation_prompt"],
        enable_thinking=case["enable_thinking"],
        bos_token="<bos>",
    )


def has_tools(case):
    return bool(case.get("tools")) or any(
        m["role"] == "tool" or m.get("tool_calls") for m in case["messages"])


def prompts_of(case, templates):
    prompts = {}
    for name, template in templates.items():
        left_out = list(case.get("except") or {})
        if has_tools(case):  # their declarations and turns are broken; later ones are followed
            left_out += ["2604-02", "2604-02 small"]
        if name in left_out or name.removesuffix(" small") in left_out:
            continue
        prompts.setdefault(render(template, case), []).append(name)
    return [{"templates": names, "prompt": text} for text, names in prompts.items()]


def load(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return json.load(f)["cases"]


def main():
    args = [a for a in sys.argv[1:] if a != "--check"]
    if len(args) != 1:
        sys.exit(__doc__)
    templates = load_templates(args[0])
    lines = []
    for source in ("render.json", "render-styles-cases.json"):
        for case in load(source):
            base = case.get("expected_prompt")
            if base is not None and render(templates["2604-10"], case) != base:
                sys.exit("%s: the template of 2604-10 does not give expected_prompt" % case["name"])
            entry = {"source": source, "name": case["name"], "prompts": prompts_of(case, templates)}
            lines.append(json.dumps(entry, ensure_ascii=False, separators=(",", ":")))
    text = '{"templates":%s,"cases":[\n%s\n]}\n' % (json.dumps(KNOWN), ",\n".join(lines))
    path = os.path.join(HERE, "render-styles.json")
    if "--check" in sys.argv:
        with open(path, encoding="utf-8") as f:
            sys.exit(0 if f.read() == text else "%s is not what the templates give" % path)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


main()
