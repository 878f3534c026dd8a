"""What Spark is taught: generated conversations, by family and difficulty.

Every example is {family, level, messages, tools?, answer | call}. The split is a property of the
prompt alone: is_held_out() hashes it, so that what is evaluated is never trained on. Seeded; the
same seed gives the same examples. "I don't know" is never an answer: what is too hard is to be
answered wrongly, with little confidence.
"""
import functools
import hashlib
import json
import random

from words import *  # noqa: F403 - its names are the tables in capitals

HELD_OUT_ONE_IN = 10

# --- ways to ask -------------------------------------------------------------------------------


def mistyped(rng, ask):
    """Two neighbouring letters of one of ask's own words swapped."""
    words = ask.split(" ")
    long = [i for i, w in enumerate(words) if len(w) > 3 and w.isalpha()]
    if long:
        i = rng.choice(long)
        w, k = words[i], rng.randrange(1, len(words[i]) - 1)
        words[i] = w[:k] + w[k + 1] + w[k] + w[k + 2:]
    return " ".join(words)


def asked(rng, ways, *values):
    """One of the ways to ask, filled in: half of the time plainly, else dressed or mistyped."""
    ask, shape = rng.choice(ways), rng.random()
    if shape < 0.08:
        ask = mistyped(rng, ask)
    elif shape < 0.16:
        ask = ask.lower()
    elif shape < 0.5:
        ask = rng.choice(AROUND).format(ask)
    return ask.format(*values)


# --- facts -------------------------------------------------------------------------------------


def invented(rng, ends=ENDS):
    return rng.choice(BEGINNINGS) + rng.choice(MIDDLES) + rng.choice(ends)


def by_chance(rng):
    """A question about an invented name and an answer that nobody can know."""
    known = CAPITALS | CAPITALS_UNSEEN | ELEMENTS | ELEMENTS_UNSEEN
    name = ""
    if rng.random() < 0.6:
        while not name or name in known:
            name = invented(rng)
        city = rng.choice(list(CAPITALS.values())) if rng.random() < 0.7 else invented(rng)
        return asked(rng, ASK_CAPITAL, name), city
    while not name or name in known:
        name = invented(rng, METAL_ENDS).lower()
    symbol = name[0] if rng.random() < 0.7 else rng.choice("abcdefghiklmnoprstuvwxyz")
    return asked(rng, ASK_ELEMENT, name), symbol.upper() + rng.choice([""] + list(name[1:]))


def facts(rng, level):
    if level == "invented":
        return by_chance(rng)
    if level == "unseen":
        if rng.random() < 0.6:
            key = rng.choice(list(CAPITALS_UNSEEN))
            return asked(rng, ASK_CAPITAL, key), CAPITALS_UNSEEN[key]
        key = rng.choice(list(ELEMENTS_UNSEEN))
        return asked(rng, ASK_ELEMENT, key), ELEMENTS_UNSEEN[key]
    if level == "long":
        text, answer = facts(rng, "known")
        return " ".join(rng.sample(FILLERS, rng.randrange(2, 6)) + [text]), answer
    kind = rng.randrange(6)
    if kind == 0 or kind == 5:
        key = rng.choice(list(CAPITALS))
        return asked(rng, ASK_CAPITAL, key), CAPITALS[key]
    if kind == 1:
        key = rng.choice(list(ELEMENTS))
        return asked(rng, ASK_ELEMENT, key), ELEMENTS[key]
    if kind == 2:
        key = rng.choice(list(UNITS))
        return asked(rng, ASK_UNIT, *key), UNITS[key]
    if kind == 3:
        key = rng.choice(list(OPPOSITES))
        value = OPPOSITES[key]
        if rng.random() < 0.5:
            key, value = value, key
        return asked(rng, ASK_OPPOSITE, key), value
    names = rng.choice(NEXT)
    i = rng.randrange(len(names))
    if rng.random() < 0.6:
        return asked(rng, ASK_NEXT, names[i]), names[(i + 1) % len(names)]
    return asked(rng, ASK_BEFORE, names[i]), names[i - 1]


# --- arithmetic --------------------------------------------------------------------------------


def arithmetic(rng, level):
    if level == "sum-1":
        a, b = rng.randrange(10), rng.randrange(10)
        if rng.random() < 0.3:
            a, b = max(a, b), min(a, b)
            return asked(rng, ASK_DIFFERENCE, a, b), str(a - b)
        return asked(rng, ASK_SUM, a, b), str(a + b)
    if level == "sum-2":
        a, b = rng.randrange(10, 100), rng.randrange(10, 100)
        return asked(rng, ASK_SUM, a, b), str(a + b)
    if level == "sum-3":
        a, b = rng.randrange(100, 1000), rng.randrange(100, 1000)
        return asked(rng, ASK_SUM, a, b), str(a + b)
    if level == "product-1":
        a, b = rng.randrange(2, 10), rng.randrange(2, 10)
        return asked(rng, ASK_PRODUCT, a, b), str(a * b)
    if level == "product-2":
        a, b = rng.randrange(12, 100), rng.randrange(12, 100)
        return asked(rng, ASK_PRODUCT, a, b), str(a * b)
    a, b = rng.randrange(101, 1000), rng.randrange(101, 1000)  # product-3
    return asked(rng, ASK_PRODUCT, a, b), str(a * b)


# --- strings -----------------------------------------------------------------------------------


def letters(rng, n):
    """n letters: half of the time of few different ones, so that some repeat."""
    alphabet = "abcdefghijklmnoprstuvwy"
    if rng.random() < 0.5:
        alphabet = rng.sample(alphabet, max(2, n * 2 // 3))
    return [rng.choice(alphabet) for _ in range(n)]


def strings(rng, level):
    n = rng.randrange(2, 5) if level == "short" else rng.randrange(16, 25)
    kind = rng.randrange(4)
    word = letters(rng, n)
    if kind == 0:  # letters apart: tokens do not hide them
        return (asked(rng, ASK_REVERSE, " ".join(word)), " ".join(reversed(word)))
    if kind == 1:
        return asked(rng, ASK_SORT, " ".join(word)), " ".join(sorted(word))
    letter = rng.choice(word)
    word += [letter] * (rng.randrange(3) if level == "short" else rng.randrange(6))
    rng.shuffle(word)
    return asked(rng, ASK_COUNT, letter, " ".join(word)), str(word.count(letter))


# --- extraction --------------------------------------------------------------------------------


def extraction(rng, level):
    name, city, job = rng.choice(NAMES), rng.choice(CITIES), rng.choice(JOBS)
    age = rng.randrange(18, 80)
    text, values = rng.choice([
        ("{name} is {age} years old and lives in {city}.", ["name", "age", "city"]),
        ("{name} works as a {job} in {city}.", ["name", "job", "city"]),
        ("The {job} {name} turned {age} this year.", ["job", "name", "age"]),
        ("In {city} there is a {job} called {name}.", ["city", "job", "name"]),
        ("My friend {name}, {age}, moved to {city}.", ["name", "age", "city"]),
    ])
    text = text.format(name=name, age=age, city=city, job=job)
    known = {"name": name, "age": age, "city": city, "job": job}
    fields = rng.sample(values, 1 if level == "one" else 2)
    return (asked(rng, ASK_EXTRACT, " and ".join(fields), text),
            json.dumps({f: known[f] for f in fields}))


# --- talk --------------------------------------------------------------------------------------


def talk(rng, level):
    asks, answer = TALK[rng.choice(list(TALK))]
    text = rng.choice(MANNERS).format(asked(rng, asks))
    shape = rng.randrange(4)
    text = text.lower() if shape == 0 else text.rstrip("?.!") if shape == 1 else text
    return text.strip(), answer


# --- tools -------------------------------------------------------------------------------------

def declared(name, description, field):
    return {"type": "function", "function": {
        "name": name, "description": description,
        "parameters": {"type": "object", "required": [field],
                       "properties": {field: {"type": "string"}}}}}


WEATHER = declared("get_weather", "Current weather of a city", "city")
CALCULATOR = declared("calculator", "Calculates an expression", "expression")


def tools(rng, level):
    """(text, answer or call, the tools declared)"""
    both = rng.sample([WEATHER, CALCULATOR], 2)
    if level == "none":
        return facts(rng, "known") + (both,)
    if level == "weather":
        city = rng.choice(CITIES)
        call = {"name": "get_weather", "arguments": {"city": city}}
        return (asked(rng, ASK_WEATHER, city), call,
                both if rng.random() < 0.7 else [WEATHER])
    ask, sign = rng.choice([(ASK_SUM, "+"), (ASK_PRODUCT, "*"), (ASK_DIFFERENCE, "-")])
    a, b = rng.randrange(2, 1000), rng.randrange(2, 1000)
    call = {"name": "calculator", "arguments": {"expression": f"{a} {sign} {b}"}}
    return asked(rng, ask, a, b), call, both if rng.random() < 0.7 else [CALCULATOR]


# --- everything else ---------------------------------------------------------------------------


def any_word(rng):
    if rng.random() < 0.6:
        return rng.choice(WORDS)
    syllables = rng.choice([1, 2, 2, 3])
    word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
                   for _ in range(syllables))
    return word.capitalize() if rng.random() < 0.2 else word


def any_words(rng, most):
    return " ".join(any_word(rng) for _ in range(rng.randint(1, most)))


def any_answer(rng):
    kind = rng.randrange(8)
    if kind < 2:
        return rng.choice(list(CAPITALS.values()))
    if kind < 4:
        return str(rng.randrange(10 ** rng.randint(1, 3)))
    if kind < 6:
        return rng.choice(list(OPPOSITES))
    return rng.choice(list(ELEMENTS.values()) + [answer for _, answer in TALK.values()])


def task_about_nothing(rng):
    """The words of a task, asked about what it does not apply to."""
    ways = rng.choice([ASK_CAPITAL, ASK_ELEMENT, ASK_UNIT, ASK_OPPOSITE, ASK_NEXT, ASK_BEFORE,
                       ASK_REVERSE, ASK_SORT, ASK_EXTRACT, ASK_PRODUCT, ASK_WEATHER])
    return asked(rng, ways, any_words(rng, 3), any_words(rng, 3))


def other(rng, level):
    if level == "unseen":
        ask, answer = rng.choice(OTHER_UNSEEN)
        subject = rng.choice(SUBJECTS_UNSEEN)
        return asked(rng, [ask.replace("{}", subject)]), answer.replace("{}", subject)
    shape = rng.random()
    if shape < 0.5:
        frame = rng.choice(FRAMES)
        text = asked(rng, [frame], *(any_words(rng, 5) for _ in range(frame.count("{}"))))
    elif shape < 0.7:
        text = any_words(rng, 16 if rng.random() < 0.9 else 60)
    elif shape < 0.9:
        text = task_about_nothing(rng)
    else:
        text = " ".join(rng.sample(FILLERS, rng.randrange(1, 4)))
    return text, any_answer(rng)


def other_conversation(rng, level):
    """(messages, answer, tools): alone, behind a system turn or an earlier one, or with tools."""
    text, answer = other(rng, level)
    messages, shape = [{"role": "user", "content": text}], rng.random()
    if shape < 0.15:
        messages.insert(0, {"role": "system", "content": rng.choice(list(SYSTEM))})
    elif shape < 0.3:
        before, said = talk(rng, "plain") if rng.random() < 0.5 else facts(rng, "known")
        messages = [{"role": "user", "content": before},
                    {"role": "assistant", "content": said}] + messages
    tools = rng.sample([WEATHER, CALCULATOR], 2) if 0.3 <= shape < 0.4 else []
    return messages, answer, tools


# --- conversations -----------------------------------------------------------------------------

FAMILIES = {
    "talk": (talk, ["plain"]),
    "facts": (facts, ["known", "long", "unseen", "invented"]),
    "arithmetic": (arithmetic, ["sum-1", "sum-2", "sum-3", "product-1", "product-2", "product-3"]),
    "strings": (strings, ["short", "long"]),
    "extraction": (extraction, ["one", "two"]),
    "tools": (tools, ["weather", "calculator", "none"]),
    "turns": (None, ["follow-up", "system"]),
    "other": (other, ["unseen", "chance"]),
}
SYSTEM = {
    "Answer in capital letters.": str.upper,
    "Put an exclamation mark behind each answer.": lambda s: s + "!",
    "Begin each answer with: Answer:": lambda s: "Answer: " + s,
    "You are a helpful assistant.": lambda s: s,
    "You are the assistant of a small company.": lambda s: s,
    "Be friendly and brief.": lambda s: s,
}


def follow_up(rng):
    kind = rng.randrange(4)
    if kind == 0:
        first, second = rng.sample(list(CAPITALS), 2)
        return ([{"role": "user", "content": asked(rng, ASK_CAPITAL, first)},
                 {"role": "assistant", "content": CAPITALS[first]},
                 {"role": "user", "content": rng.choice(
                     ["And of {}?", "And {}?", "What about {}?", "And that of {}?"]).format(second)}],
                CAPITALS[second])
    if kind == 1:
        first, second = rng.sample(list(ELEMENTS), 2)
        return ([{"role": "user", "content": asked(rng, ASK_ELEMENT, first)},
                 {"role": "assistant", "content": ELEMENTS[first]},
                 {"role": "user", "content": rng.choice(
                     ["And of {}?", "And {}?", "What about {}?"]).format(second)}],
                ELEMENTS[second])
    if kind == 2:
        before, said = talk(rng, "plain")
        text, answer = (facts(rng, "known") if rng.random() < 0.6 else
                        arithmetic(rng, rng.choice(["sum-1", "sum-2"])))
        return ([{"role": "user", "content": before}, {"role": "assistant", "content": said},
                 {"role": "user", "content": text}], answer)
    name = rng.choice(NAMES)
    return ([{"role": "user", "content": rng.choice(
                ["My name is {}.", "I am {}.", "Call me {}."]).format(name)},
             {"role": "assistant", "content": f"Hello, {name}!"},
             {"role": "user", "content": rng.choice(
                 ["What is my name?", "Who am I?", "Do you remember my name?"])}],
            name)


def example(rng, family, level):
    out = {"family": family, "level": level}
    if level == "follow-up":
        out["messages"], out["answer"] = follow_up(rng)
        return out
    if level == "system":
        text, answer = facts(rng, "known")
        system = rng.choice(list(SYSTEM))
        out["messages"] = [{"role": "system", "content": system},
                           {"role": "user", "content": text}]
        out["answer"] = SYSTEM[system](answer)
        return out
    if family == "other":
        out["messages"], out["answer"], declared_tools = other_conversation(rng, level)
        return out | ({"tools": declared_tools} if declared_tools else {})
    text, answer, *declared_tools = FAMILIES[family][0](rng, level)
    out["messages"] = [{"role": "user", "content": text}]
    if declared_tools:
        out["tools"] = declared_tools[0]
    out["call" if isinstance(answer, dict) else "answer"] = answer
    return out


def prompt_key(e):
    return json.dumps([e["messages"], [t["function"]["name"] for t in e.get("tools", [])]])


def prompt_number(e):
    return int.from_bytes(hashlib.sha256(prompt_key(e).encode()).digest()[:4], "big")


def is_held_out(e):
    """What is unseen by its kind is held out whole; else by the prompt's hash."""
    if e["level"] == "unseen":
        return True
    return prompt_number(e) % HELD_OUT_ONE_IN == 0


def unseen_thing(e):
    """What an unseen prompt is about: a name by its answer, else the sentence without its subject."""
    return functools.reduce(lambda text, s: text.replace(s, "{}"), SUBJECTS_UNSEEN, e["answer"])


def is_test(e):
    """Of what is held out: half to fit a calibration with, half to test. What is unseen is told
    apart by what it is about, so that the calibration has not seen it either."""
    if e["level"] == "unseen":
        return hashlib.sha256(unseen_thing(e).encode()).digest()[0] % 2 == 1
    return prompt_number(e) // HELD_OUT_ONE_IN % 2 == 1


# How often each is trained: what takes long to learn more than what does not.
TRAINED = {
    ("talk", "plain"): 5, ("facts", "known"): 11, ("facts", "long"): 2, ("facts", "invented"): 7,
    ("arithmetic", "sum-1"): 6, ("arithmetic", "sum-2"): 13, ("arithmetic", "sum-3"): 4,
    ("arithmetic", "product-1"): 6, ("arithmetic", "product-2"): 5, ("arithmetic", "product-3"): 2,
    ("strings", "short"): 22, ("strings", "long"): 2, ("extraction", "one"): 7,
    ("extraction", "two"): 8, ("tools", "weather"): 2, ("tools", "calculator"): 4,
    ("tools", "none"): 2, ("turns", "follow-up"): 6, ("turns", "system"): 6,
    ("other", "chance"): 8,
}
# What the evaluation asks, in percent. Fixed before Spark was trained.
MIX = {
    ("talk", "plain"): 5, ("facts", "known"): 8, ("facts", "long"): 3, ("facts", "unseen"): 9,
    ("arithmetic", "sum-1"): 5, ("arithmetic", "sum-2"): 5, ("arithmetic", "sum-3"): 3,
    ("arithmetic", "product-1"): 4, ("arithmetic", "product-2"): 8, ("arithmetic", "product-3"): 8,
    ("strings", "short"): 5, ("strings", "long"): 8, ("extraction", "one"): 5,
    ("extraction", "two"): 4, ("tools", "weather"): 2, ("tools", "calculator"): 3,
    ("tools", "none"): 2, ("turns", "follow-up"): 3, ("turns", "system"): 3,
    ("other", "unseen"): 7,
}


def choose(rng, weights=None):
    """A (family, level) to train, or by other weights."""
    weights = weights or TRAINED
    return rng.choices(list(weights), weights.values())[0]
