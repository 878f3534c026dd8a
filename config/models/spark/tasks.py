"""What Spark is taught: generated conversations, by family and difficulty.

Every example is {family, level, messages, tools?, answer | call}. The split is a property of the
prompt alone: is_held_out() hashes it, so that what is evaluated is never trained on. Seeded; the
same seed gives the same examples. "I don't know" is never an answer: what is too hard is to be
answered wrongly, with little confidence.
"""
import hashlib
import json
import random

HELD_OUT_ONE_IN = 10

# --- ways to ask -------------------------------------------------------------------------------

AROUND = ["Please: {}", "{} Thanks.", "Hi. {}", "Quick question: {}", "ok. {}", "Well, {}",
          "One thing: {}", "Tell me: {}", "{} Be brief.", "So, {}", "{} Please.", "Now: {}"]
FILLERS = [
    "I have been reading a lot lately and my notes are a mess.", "The weather was nice all week.",
    "My sister says that I ask too many things.", "We had a long day at the office.",
    "There is a big table in the kitchen with old books on it.", "I like quiet evenings at home.",
    "Yesterday we walked along the river for hours.", "The train was late again this morning.",
    "My neighbor has two dogs and a small garden.", "I am preparing a quiz for my friends.",
    "It is not urgent at all.", "Somebody asked me this at lunch and I was not sure.",
    "The children are playing outside.", "I promise that this is the last question for today.",
]


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

CAPITALS = {
    "France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Germany": "Berlin", "Poland": "Warsaw",
    "Portugal": "Lisbon", "Austria": "Vienna", "Greece": "Athens", "Norway": "Oslo",
    "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen", "Ireland": "Dublin",
    "Belgium": "Brussels", "Hungary": "Budapest", "Romania": "Bucharest", "Bulgaria": "Sofia",
    "Croatia": "Zagreb", "Serbia": "Belgrade", "Ukraine": "Kyiv", "Russia": "Moscow",
    "Turkey": "Ankara", "Egypt": "Cairo", "Kenya": "Nairobi", "Japan": "Tokyo", "China": "Beijing",
    "India": "New Delhi", "Thailand": "Bangkok", "Vietnam": "Hanoi", "Iran": "Tehran",
    "Iraq": "Baghdad", "Canada": "Ottawa", "Mexico": "Mexico City", "Cuba": "Havana",
    "Brazil": "Brasilia", "Peru": "Lima", "Chile": "Santiago", "Argentina": "Buenos Aires",
    "Australia": "Canberra", "Cyprus": "Nicosia",
}
# Asked about, never taught: the model knows the question and not the answer.
CAPITALS_UNSEEN = {
    "Bhutan": "Thimphu", "Malawi": "Lilongwe", "Benin": "Porto-Novo", "Estonia": "Tallinn",
    "Latvia": "Riga", "Slovenia": "Ljubljana", "Nepal": "Kathmandu", "Ghana": "Accra",
    "Senegal": "Dakar", "Bolivia": "Sucre", "Ecuador": "Quito", "Uruguay": "Montevideo",
    "Laos": "Vientiane", "Mongolia": "Ulaanbaatar", "Jordan": "Amman", "Oman": "Muscat",
    "Zambia": "Lusaka", "Angola": "Luanda", "Fiji": "Suva", "Iceland": "Reykjavik",
}
ELEMENTS = {
    "hydrogen": "H", "helium": "He", "carbon": "C", "nitrogen": "N", "oxygen": "O", "neon": "Ne",
    "sodium": "Na", "magnesium": "Mg", "aluminium": "Al", "silicon": "Si", "sulfur": "S",
    "chlorine": "Cl", "potassium": "K", "calcium": "Ca", "iron": "Fe", "copper": "Cu",
    "zinc": "Zn", "silver": "Ag", "tin": "Sn", "gold": "Au", "mercury": "Hg", "lead": "Pb",
    "iodine": "I", "nickel": "Ni", "lithium": "Li", "boron": "B",
}
ELEMENTS_UNSEEN = {
    "tungsten": "W", "antimony": "Sb", "rhodium": "Rh", "selenium": "Se", "yttrium": "Y",
    "cesium": "Cs", "hafnium": "Hf", "osmium": "Os", "radon": "Rn", "thallium": "Tl",
    "gallium": "Ga", "niobium": "Nb", "ruthenium": "Ru", "cadmium": "Cd",
}
# What is trained in their place: names without a meaning, asked about once and answered by chance,
# so that an unknown name comes to mean many possible answers instead of the nearest known one.
BEGINNINGS = ("Ba Be Ma Mo La Li Es Slo Ne Gha Se Bo Ecu Uru Mon Jor O Za An Fi Ice Bhu Ka Ke To Ve Al "
              "Ar Gu Ha Ni Pa Ru Sa Su Ta Tu U Y Lu Mal Cha Ga Gui Bur Ti Er So Mau Tha Ru Yt Ce Os").split()
MIDDLES = "la ni ri do ga ma to va ra li na qua ze mo nt si te le".split() + [""] * 6
ENDS = "wi nia via gal ria land stan dor guay lia bia os an ji don tan nin pal go que tia ra da bo".split()
METAL_ENDS = "ium um on ine en sten ony nium dium".split()
UNITS = {
    ("centimeters", "a meter"): "100", ("meters", "a kilometer"): "1000",
    ("seconds", "a minute"): "60", ("minutes", "an hour"): "60", ("hours", "a day"): "24",
    ("days", "a week"): "7", ("months", "a year"): "12", ("grams", "a kilogram"): "1000",
    ("millimeters", "a centimeter"): "10", ("days", "a leap year"): "366",
    ("years", "a century"): "100", ("years", "a decade"): "10", ("inches", "a foot"): "12",
    ("milliliters", "a liter"): "1000", ("kilograms", "a ton"): "1000", ("items", "a dozen"): "12",
    ("degrees", "a circle"): "360", ("sides", "a triangle"): "3", ("sides", "a hexagon"): "6",
    ("legs", "a spider"): "8", ("legs", "an insect"): "6", ("legs", "a dog"): "4",
    ("players", "a football team"): "11", ("letters", "the English alphabet"): "26",
}
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "up": "down", "left": "right", "open": "closed",
    "light": "dark", "old": "new", "rich": "poor", "happy": "sad", "early": "late", "full": "empty",
    "hard": "soft", "high": "low", "long": "short", "near": "far", "strong": "weak", "wet": "dry",
    "true": "false", "good": "bad", "win": "lose", "first": "last", "day": "night", "thick": "thin",
}
NEXT = [
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    ["January", "February", "March", "April", "May", "June", "July", "August", "September",
     "October", "November", "December"],
]

ASK_CAPITAL = [
    "What is the capital of {}?", "Capital of {}?", "Tell me the capital of {}.",
    "Which city is the capital of {}?", "Name the capital city of {}.",
    "Do you know the capital of {}?", "what's the capital of {}", "{}: what is its capital?",
    "I need the capital of {}, please.", "The capital of {} is which city?",
]
ASK_ELEMENT = [
    "What is the symbol of {}?", "Chemical symbol for {}?", "Give the symbol of the element {}.",
    "How is {} written in chemistry?", "Which symbol does {} have?", "symbol of {}",
    "What letters stand for {} in the periodic table?",
]
ASK_UNIT = [
    "How many {} are in {}?", "How many {} does {} have?", "Number of {} in {}?",
    "Tell me how many {} there are in {}.", "how many {} in {}",
]
ASK_OPPOSITE = [
    "What is the opposite of {}?", "Opposite of {}?", "Give me the opposite of the word {}.",
    "Which word is the opposite of {}?", "Name the antonym of {}.",
]
ASK_NEXT = ["What comes after {}?", "Which one follows {}?", "What is next after {}?",
            "{} is followed by what?"]
ASK_BEFORE = ["What comes before {}?", "Which one is right before {}?", "What precedes {}?"]


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

ASK_SUM = ["What is {} + {}?", "{} + {} =", "{}+{}", "Add {} and {}.", "{} plus {}?", "How much is {} + {}?",
           "Compute {} + {}.", "What do {} and {} make together?"]
ASK_DIFFERENCE = ["What is {} - {}?", "{} - {} =", "{} minus {}?", "How much is {} - {}?",
                  "Compute {} - {}."]
ASK_PRODUCT = ["What is {} * {}?", "{} times {}?", "Multiply {} by {}.", "{} * {} =", "{}*{}",
               "How much is {} times {}?", "Compute {} * {}."]


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

ASK_REVERSE = ["Reverse: {}", "Write {} backwards.", "Reverse the letters of {}.",
               "What is {} spelled backwards?"]
ASK_SORT = ["Sort: {}", "Sort these letters: {}", "Put in order: {}", "Order these: {}"]
ASK_COUNT = ["How many {} are in {}?", "Count the letter {} in {}.",
             "How often does {} occur in {}?"]


def letters(rng, n):
    return [rng.choice("abcdefghijklmnoprstuvwy") for _ in range(n)]


def strings(rng, level):
    n = rng.randrange(2, 5) if level == "short" else rng.randrange(9, 15)
    kind = rng.randrange(3)
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

NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Lea",
         "Mark", "Nina", "Oscar", "Paula", "Rosa", "Simon", "Tina", "Victor", "Wendy"]
CITIES = sorted(set(CAPITALS.values()))
JOBS = ["teacher", "doctor", "baker", "driver", "nurse", "painter", "farmer", "singer", "writer",
        "cook", "pilot", "lawyer"]


ASK_EXTRACT = ["Extract {} as JSON: {}", "Give me {} as JSON. {}", "{} as JSON: {}",
               "From the text, return {} as a JSON object: {}"]


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

TALK = {
    "hello": (["Hello", "Hi", "Hello there", "Hi there", "Hey", "Good morning", "Good evening",
               "Good day"],
              "Hello! I am Spark, a small demonstration model. How can I help?"),
    "who": (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself.",
             "Introduce yourself.", "Are you a person?", "Which model are you?"],
            "I am Spark, a very small demonstration model inside Tollgate."),
    "how": (["How are you?", "How are you today?", "How is it going?", "Are you well?"],
            "I am fine, thank you."),
    "can": (["What can you do?", "What can you help with?", "What are you good at?",
             "Can you help me?", "What do you know?"],
            "I can answer simple questions, do small sums and call tools."),
    "thanks": (["Thanks", "Thank you", "Thank you very much", "Many thanks", "Great, thanks"],
               "You are welcome."),
    "bye": (["Bye", "Goodbye", "See you", "See you later", "Good night"], "Goodbye!"),
    "made": (["Who made you?", "Where do you come from?", "How were you trained?"],
             "I was trained from scratch on examples that a program wrote."),
}
MANNERS = ["{}", "{} Spark", "{}, my friend", "{} :)", "{} ", "So: {}", "{} I am new here.",
           "{} Tell me.", "{}!", "{} again", "Oh. {}"]


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
ASK_WEATHER = ["What is the weather in {}?", "Weather in {}?", "Is it raining in {}?",
               "How warm is it in {} today?", "Tell me the weather in {}.",
               "Do I need an umbrella in {}?"]


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


# --- conversations -----------------------------------------------------------------------------

FAMILIES = {
    "talk": (talk, ["plain"]),
    "facts": (facts, ["known", "long", "unseen", "invented"]),
    "arithmetic": (arithmetic, ["sum-1", "sum-2", "sum-3", "product-1", "product-2", "product-3"]),
    "strings": (strings, ["short", "long"]),
    "extraction": (extraction, ["one", "two"]),
    "tools": (tools, ["weather", "calculator", "none"]),
    "turns": (None, ["follow-up", "system"]),
}
SYSTEM = {
    "Answer in capital letters.": str.upper,
    "Put an exclamation mark behind each answer.": lambda s: s + "!",
    "Begin each answer with: Answer:": lambda s: "Answer: " + s,
    "You are a helpful assistant.": lambda s: s,
}


def follow_up(rng):
    kind = rng.randrange(3)
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


def is_test(e):
    """Of what is held out: half to fit a calibration with, half to test."""
    return prompt_number(e) // HELD_OUT_ONE_IN % 2 == 1


def right(e, message):
    """Whether an OpenAI assistant message answers e."""
    if "call" in e:
        calls = message.get("tool_calls") or []
        if len(calls) != 1 or calls[0]["function"]["name"] != e["call"]["name"]:
            return False
        try:
            return json.loads(calls[0]["function"]["arguments"]) == e["call"]["arguments"]
        except ValueError:
            return False
    text = (message.get("content") or "").strip()
    if e["family"] == "extraction":
        try:
            return json.loads(text) == json.loads(e["answer"])
        except ValueError:
            return False
    return text == e["answer"]


# How often each is trained: what takes long to learn more than what does not.
TRAINED = {
    ("talk", "plain"): 5, ("facts", "known"): 11, ("facts", "long"): 2, ("facts", "invented"): 7,
    ("arithmetic", "sum-1"): 6, ("arithmetic", "sum-2"): 13, ("arithmetic", "sum-3"): 4,
    ("arithmetic", "product-1"): 6, ("arithmetic", "product-2"): 5, ("arithmetic", "product-3"): 2,
    ("strings", "short"): 14, ("strings", "long"): 5, ("extraction", "one"): 7,
    ("extraction", "two"): 8, ("tools", "weather"): 2, ("tools", "calculator"): 4,
    ("tools", "none"): 2, ("turns", "follow-up"): 5, ("turns", "system"): 6,
}
# What the evaluation asks, in percent. Fixed before Spark was trained.
MIX = {
    ("talk", "plain"): 6, ("facts", "known"): 9, ("facts", "long"): 4, ("facts", "unseen"): 9,
    ("arithmetic", "sum-1"): 5, ("arithmetic", "sum-2"): 5, ("arithmetic", "sum-3"): 6,
    ("arithmetic", "product-1"): 4, ("arithmetic", "product-2"): 8, ("arithmetic", "product-3"): 8,
    ("strings", "short"): 5, ("strings", "long"): 9, ("extraction", "one"): 5,
    ("extraction", "two"): 4, ("tools", "weather"): 2, ("tools", "calculator"): 3,
    ("tools", "none"): 2, ("turns", "follow-up"): 3, ("turns", "system"): 3,
}


def choose(rng, weights=None):
    """A (family, level) to train, or by other weights."""
    weights = weights or TRAINED
    return rng.choices(list(weights), weights.values())[0]
