"""A small world in words: text whose every concept is known, because this module wrote it.

`documents(seed)` yields short documents about countries, sums, the calendar, animals, opposites, children and code.
Each carries spans: which characters express which concept ("a capital city", "the country France") and which lie
inside which context ("a sentence about a capital", "a text about France"). Labels of features are measured against
these spans, never guessed. Standard library only; the same seed gives the same text on every machine.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

TOKEN, CONTEXT = "token", "context"


class Span(NamedTuple):
    """Characters `start` to `end` express (token) or lie inside (context) a concept."""

    start: int
    end: int
    concept: str
    kind: str


@dataclass(frozen=True)
class Document:
    """One text of the world with its concepts."""

    topic: str
    text: str
    spans: tuple[Span, ...]


class Fact(NamedTuple):
    """A prompt that begins a document, and the words that must follow it."""

    kind: str
    prompt: str
    answer: str


class Word(NamedTuple):
    """What fills a slot of a template: its text, its concepts, and the subject that it opens, if any."""

    text: str
    concepts: tuple[str, ...] = ()
    about: str = ""


def words(text: str) -> tuple[str, ...]:
    """The words of a line."""
    return tuple(text.split())


# -- what is true in this world ------------------------------------------------


class Country(NamedTuple):
    """A country with one answer to each kind of question; every answer is one word, so that it can be one token."""

    name: str
    capital: str
    language: str
    river: str
    food: str
    currency: str
    continent: str


COUNTRIES = tuple(
    Country(*line.split())
    for line in """\
France Paris French Seine crepes euro Europe
Germany Berlin German Elbe pretzels euro Europe
Italy Rome Italian Tiber pizza euro Europe
Spain Madrid Spanish Ebro paella euro Europe
Portugal Lisbon Portuguese Tagus bacalhau euro Europe
England London English Thames scones pound Europe
Ireland Dublin English Shannon colcannon euro Europe
Belgium Brussels Dutch Meuse waffles euro Europe
Switzerland Bern German Aare fondue franc Europe
Austria Vienna German Danube schnitzel euro Europe
Poland Warsaw Polish Vistula pierogi zloty Europe
Hungary Budapest Hungarian Tisza goulash forint Europe
Czechia Prague Czech Vltava knedliky koruna Europe
Romania Bucharest Romanian Olt sarmale leu Europe
Greece Athens Greek Pineios moussaka euro Europe
Ukraine Kyiv Ukrainian Dnieper borscht hryvnia Europe
Russia Moscow Russian Volga blini ruble Europe
Sweden Stockholm Swedish Torne meatballs krona Europe
Norway Oslo Norwegian Glomma lutefisk krone Europe
Finland Helsinki Finnish Kemijoki kalakukko euro Europe
Iceland Reykjavik Icelandic Thjorsa skyr krona Europe
Turkey Ankara Turkish Sakarya kebab lira Asia
Japan Tokyo Japanese Shinano sushi yen Asia
China Beijing Chinese Yangtze dumplings yuan Asia
Vietnam Hanoi Vietnamese Mekong pho dong Asia
Thailand Bangkok Thai Ping curry baht Asia
Mongolia Ulaanbaatar Mongolian Orkhon buuz tugrik Asia
Pakistan Islamabad Urdu Indus biryani rupee Asia
Iran Tehran Persian Karun ghormeh rial Asia
Iraq Baghdad Arabic Tigris masgouf dinar Asia
Egypt Cairo Arabic Nile koshari pound Africa
Morocco Rabat Arabic Draa couscous dirham Africa
Kenya Nairobi Swahili Tana ugali shilling Africa
Nigeria Abuja English Niger jollof naira Africa
Ghana Accra English Volta fufu cedi Africa
Brazil Brasilia Portuguese Amazon feijoada real America
Peru Lima Spanish Ucayali ceviche sol America
Chile Santiago Spanish Maipo empanadas peso America
Colombia Bogota Spanish Magdalena arepas peso America
Canada Ottawa English Mackenzie poutine dollar America
""".splitlines()
)

# Kind of fact: templates whose last word is the answer, then templates with another order.
ANSWER_LAST = {
    "capital": (
        "The capital of {country} is {capital}.",
        "The capital city of {country} is {capital}.",
        "In {country}, the capital is {capital}.",
        "{country}'s capital is {capital}.",
        "The government of {country} sits in {capital}.",
        "What is the capital of {country}? It is {capital}.",
    ),
    "language": (
        "In {country} people speak {language}.",
        "People in {country} speak {language}.",
        "The language of {country} is {language}.",
        "Children in {country} learn to read in {language}.",
        "What do people in {country} speak? They speak {language}.",
    ),
    "river": (
        "A river in {country} is the {river}.",
        "A famous river of {country} is the {river}.",
        "In {country} you can swim in the {river}.",
        "What is a river in {country}? It is the {river}.",
    ),
    "food": (
        "A famous food of {country} is {food}.",
        "In {country} people like to eat {food}.",
        "People in {country} eat {food}.",
        "What do people in {country} eat? They eat {food}.",
    ),
    "currency": (
        "The currency of {country} is the {currency}.",
        "In {country} people pay with the {currency}.",
        "People in {country} pay with the {currency}.",
        "What is the currency of {country}? It is the {currency}.",
    ),
    "continent": (
        "{country} is a country in {continent}.",
        "The country {country} is in {continent}.",
    ),
}
OTHER_ORDER = {
    "capital": (
        "{capital} is the capital of {country}.",
        "{capital} is a big city in {country}.",
        "To see {country}, start in {capital}, the capital.",
    ),
    "language": ("{language} is spoken in {country}.", "You hear {language} in the streets of {country}."),
    "river": ("The {river} flows through {country}.", "The {river} is a long river in {country}."),
    "food": ("A plate of {food} tastes like {country}.", "Cooks in {country} are proud of their {food}."),
    "currency": ("You need the {currency} to buy bread in {country}.", "The {currency} is the money of {country}."),
    "continent": ("In {continent} there is a country called {country}.",),
}
# Sentences that follow one in which the country was named.
FOLLOWING = {
    "capital": (
        "Its capital is {capital}.",
        "The capital is {capital}.",
        "Most visitors begin in {capital}.",
        "The train to {capital} is never late.",
    ),
    "language": ("People there speak {language}.", "Its people speak {language}.", "The signs are in {language}."),
    "river": (
        "Its best known river is the {river}.",
        "The {river} flows through the land.",
        "Boats sail on the {river}.",
    ),
    "food": ("People there love to eat {food}.", "Everybody tries the {food}.", "For dinner there is {food}."),
    "currency": ("They pay with the {currency}.", "Its currency is the {currency}.", "A ticket costs one {currency}."),
    "continent": ("It is in {continent}.", "It is a country in {continent}."),
}
KIND_WORDS = {
    "capital": "a capital city",
    "language": "a language",
    "river": "a river",
    "food": "a food",
    "currency": "a currency",
    "continent": "a continent",
}

DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words("January February March April May June July August September October November December")
SEASONS = words("spring summer autumn winter")


class Animal(NamedTuple):
    """An animal: what it is called when young, what it does to be heard, where it lives and what it eats."""

    name: str
    young: str
    sound: str
    home: str
    food: str


ANIMALS = tuple(
    Animal(*line.split())
    for line in """\
dog puppy barks house meat
cat kitten meows house fish
cow calf moos meadow grass
horse foal neighs stable hay
sheep lamb bleats hill grass
pig piglet grunts sty roots
duck duckling quacks pond weeds
hen chick clucks barn seeds
lion cub roars savanna zebras
wolf pup howls forest deer
bear cub growls cave honey
frog tadpole croaks swamp flies
owl owlet hoots tree mice
goat kid bleats mountain leaves
elephant calf trumpets savanna leaves
snake snakelet hisses desert eggs
seal pup barks sea fish
eagle eaglet screams cliff rabbits
bee larva buzzes hive nectar
swan cygnet hisses lake weeds
""".splitlines()
)

OPPOSITES = tuple(
    tuple(pair.split("/"))
    for pair in words(
        "hot/cold big/small old/young fast/slow wet/dry full/empty light/dark high/low hard/soft rich/poor "
        "loud/quiet clean/dirty open/closed early/late happy/sad long/short strong/weak near/far"
    )
)
COLORS = dict(
    pair.split("/")
    for pair in words(
        "snow/white milk/white coal/black grass/green blood/red gold/yellow chocolate/brown a_tomato/red "
        "a_lemon/yellow a_leaf/green the_sky/blue the_sea/blue a_banana/yellow a_frog/green"
    )
)

GIRLS = words("Lily Anna Emma Mia Sara Nora Zoe Ella Rosa Ida")
BOYS = words("Tom Ben Max Leo Sam Jack Paul Finn Omar Noah")
OBJECTS = words("ball kite book doll drum cake boat lamp key hat coin flower ring bell apple map stone bike cup box")
PLACES = words("park garden forest beach school market river lake village castle library")
FEELINGS_GOOD = words("happy proud excited glad")
FEELINGS_BAD = words("sad angry scared tired")
COLOR_WORDS = words("red blue green yellow white black brown")

WORD_CLASSES = {
    "a pronoun": words("he she it they him her them his its their I you we my your He She It They Its We You My"),
    "an article": words("the a an The A An"),
    "a preposition": words("of in on with to under near through from at for behind into In To From"),
    "a form of “to be”": words("is was are be were am"),
    "a verb of saying": words("said asked shouted whispered answered cried"),
    "a question word": words("What Where Who Why How what where who why"),
    "a Python keyword": words("def return for in if else while"),
}


# -- writing with spans --------------------------------------------------------


@dataclass
class Writer:
    """Collects the text of one document and the spans of its concepts."""

    text: str = ""
    spans: list[Span] = field(default_factory=list)
    opened: dict[str, int] = field(default_factory=dict)

    def open(self, context: str) -> None:
        """What is written from here on lies inside this context, until it is closed."""
        self.opened.setdefault(context, len(self.text))

    def close(self, *contexts: str) -> None:
        """End these contexts, or all that are open."""
        for context in contexts or tuple(self.opened):
            if context in self.opened:
                self.spans.append(Span(self.opened.pop(context), len(self.text), context, CONTEXT))

    def say(self, template: str, **slots: Word) -> None:
        """Write a sentence; each `{slot}` is filled by the word of that name, with its concepts."""
        if self.text and not self.text[-1].isspace() and not template[:1].isspace():
            self.text += " "
        for index, part in enumerate(re.split(r"\{(\w+)\}", template)):
            if index % 2 == 0:
                self.text += part
                continue
            word, start = slots[part], len(self.text)
            self.text += word.text
            self.spans += [Span(start, len(self.text), concept, TOKEN) for concept in word.concepts]
            if word.about:
                self.open(word.about)

    def document(self, topic: str) -> Document:
        """The finished document; concepts that the words alone show are added here."""
        self.close()
        text, spans = self.text, self.spans
        spans.append(Span(0, len(text), f"inside {DOMAINS[topic]}", CONTEXT))
        for match in re.finditer(r"\w+|[^\w\s]|\s*\n\s*", text):
            start, end, word = match.start(), match.end(), match.group()
            names = [f"the word “{word}”" if word.strip() else "a line break"]
            if word.isdigit():
                names = ["a number", f"the number {int(word)}"]
            elif word in PUNCTUATION:
                names = [PUNCTUATION[word]]
            names += [name for name, members in WORD_CLASSES.items() if word in members]
            spans += [Span(start, end, name, TOKEN) for name in names]
        sentences = [match.span() for match in re.finditer(r"\S[^.?!\n]*[.?!\n”]*", text)]
        for (start, end), name in zip(sentences, ("first", "second", "third"), strict=False):
            spans.append(Span(start, end, f"in the {name} sentence of a text", CONTEXT))
        for start, _ in sentences:
            first = re.compile(r"\w+|\S").match(text, start)
            if first:
                spans.append(Span(start, first.end(), "the first word of a sentence", TOKEN))
        return Document(topic, text, tuple(spans))


PUNCTUATION = {
    ".": "a full stop", ",": "a comma", "?": "a question mark", "!": "an exclamation mark",
    "“": "an opening quotation mark",
    "”": "a closing quotation mark", ":": "a colon", "(": "an opening bracket", ")": "a closing bracket",
    "=": "an equals sign",
    "+": "a plus sign", "-": "a minus sign", "'": "an apostrophe",
    "#": "a comment sign", "[": "an opening square bracket",
    "]": "a closing square bracket", "*": "a times sign", "<": "a less-than sign", ">": "a greater-than sign",
}  # fmt: skip
DOMAINS = {
    "geography": "a text about geography",
    "arithmetic": "a text about sums",
    "calendar": "a text about the calendar",
    "animals": "a text about animals",
    "opposites": "a text about opposites and colors",
    "story": "a story",
    "code": "a code block",
}


def country_words(country: Country) -> dict[str, Word]:
    """The slots of a sentence about a country."""
    slots = {
        "country": Word(country.name, ("a country", f"the country {country.name}"), f"after {country.name} was named")
    }
    for kind, concept in KIND_WORDS.items():
        answer = getattr(country, kind)
        slots[kind] = Word(answer, (concept, f"{concept.replace('a ', 'the ', 1)} {answer}"))
    return slots


# -- the topics ----------------------------------------------------------------


def geography(rng: random.Random) -> Document:
    """One fact, several facts of one country, or one kind of fact of several countries."""
    w = Writer()
    shape = rng.random()
    if shape < 0.35:  # a portrait of one country
        country = rng.choice(COUNTRIES)
        slots = country_words(country)
        kinds = rng.sample(list(KIND_WORDS), rng.randint(3, 6))
        about = f"inside a portrait of {country.name}"
        w.open(about)
        for index, kind in enumerate(kinds):
            named = index == 0 or rng.random() < 0.25
            templates = ANSWER_LAST[kind] + OTHER_ORDER[kind] if named else FOLLOWING[kind]
            geography_sentence(w, kind, rng.choice(templates), slots)
    elif shape < 0.5:  # one kind of fact, several countries
        kind = rng.choice(list(KIND_WORDS))
        template = rng.choice(ANSWER_LAST[kind])
        for country in rng.sample(COUNTRIES, rng.randint(2, 5)):
            geography_sentence(w, kind, template, country_words(country))
            w.close()
    elif shape < 0.58:  # a journey
        journey(w, rng)
    else:  # unrelated facts
        for _ in range(rng.randint(1, 4)):
            kind = rng.choice(list(KIND_WORDS))
            templates = ANSWER_LAST[kind] if rng.random() < 0.8 else OTHER_ORDER[kind]
            geography_sentence(w, kind, rng.choice(templates), country_words(rng.choice(COUNTRIES)))
            w.close()
    return w.document("geography")


def geography_sentence(w: Writer, kind: str, template: str, slots: dict[str, Word]) -> None:
    """One sentence that states a fact."""
    context = f"inside a sentence about {KIND_WORDS[kind]}"
    w.open(context)
    question = template.find("? ")
    if question > 0:
        w.open("inside a question")
        w.say(template[: question + 1], **slots)
        w.close("inside a question")
        w.say(template[question + 2 :], **slots)
    else:
        w.say(template, **slots)
    w.close(context)


def journey(w: Writer, rng: random.Random) -> None:
    """A child travels to a country and tells what it sees."""
    child = Child.pick(rng)
    slots = country_words(rng.choice(COUNTRIES)) | child.slots
    context = "inside a text about a journey"
    w.open(context)
    w.say(rng.choice(("{name} went on a trip to {country}.", "In the summer {name} went to {country}.")), **slots)
    for kind, template in rng.sample(
        [
            ("capital", "First {he} saw {capital}, the capital."),
            ("capital", "{He} took a train to {capital}."),
            ("river", "{He} swam in the {river}."),
            ("food", "{He} ate {food} every day."),
            ("language", "{He} learned to say hello in {language}."),
            ("currency", "{He} paid with the {currency}."),
        ],
        3,
    ):
        geography_sentence(w, kind, template, slots)
    if rng.random() < 0.7:
        w.say("{name} was {feeling} to come home.", **slots, feeling=feeling(rng, FEELINGS_GOOD))
    w.close(context)


def number(value: int) -> Word:
    """A number in digits; below zero with its sign."""
    return Word(str(value))


SUMS = {
    "an addition": ("{a} + {b} = {c}", "{a} plus {b} is {c}", "What is {a} + {b}? It is {c}"),
    "a subtraction": ("{a} - {b} = {c}", "{a} minus {b} is {c}", "What is {a} - {b}? It is {c}"),
}


def arithmetic(rng: random.Random) -> Document:
    """Sums in digits, a sum told as a story, or counting."""
    w = Writer()
    shape = rng.random()
    if shape < 0.74:
        style = rng.choices(range(3), (5, 3, 3))[0]
        for _ in range(rng.randint(1, 6)):
            kind = rng.choice(list(SUMS))
            a, b = rng.randrange(10), rng.randrange(10)
            c = a + b if kind == "an addition" else a - b
            w.open(f"inside {kind}")
            w.say(SUMS[kind][style] + ".", a=number(a), b=number(b), c=result(c))
            w.close()
    elif shape < 0.88:
        child, thing = Child.pick(rng), rng.choice(OBJECTS)
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        things = Word(f"{plural(thing)}", ("an object", f"the object {thing}"))
        more = rng.random() < 0.5 or a - b < 2
        w.open("inside a sum told as a story")
        w.say("{name} has {a} {things}.", **child.slots, a=number(a), things=things)
        if more:
            w.say("{He} finds {b} more.", **child.slots, b=number(b))
        else:
            w.say("{He} gives {b} away.", **child.slots, b=number(b))
        c = a + b if more else a - b
        w.say("Now {he} has {c} {things}.", **child.slots, c=result(c), things=things)
    else:
        start, length = rng.randrange(10), rng.randint(4, 9)
        step = rng.choice((1, 1, 2, -1))
        w.open("inside counting")
        values = [start + step * index for index in range(length)]
        w.say(", ".join(str(value) for value in values if 0 <= value <= 20) + ".")
    return w.document("arithmetic")


def result(value: int) -> Word:
    """The result of a sum."""
    concepts = ("the result of a sum", f"the result {value}")
    return Word(str(value), concepts if value >= 0 else (*concepts, "a result below zero"))


def plural(noun: str) -> str:
    """The plural of a noun of this world."""
    return noun + ("es" if noun.endswith("x") else "s")


CYCLES = {"day": DAYS, "month": MONTHS, "season": SEASONS}
STEPS = {
    "after": ("The {unit} after {a} is {b}.", "{a} is followed by {b}.", "After {a} comes {b}."),
    "before": ("The {unit} before {a} is {b}.", "Before {a} comes {b}."),
}


def calendar_word(unit: str, name: str) -> Word:
    """A day, month or season."""
    return Word(name, (f"a {unit} of the week" if unit == "day" else f"a {unit}", f"the {unit} {name}"))


def calendar(rng: random.Random) -> Document:
    """What comes before and after, today and tomorrow, or a row of names."""
    w = Writer()
    shape = rng.random()
    if shape < 0.7:
        for _ in range(rng.randint(1, 4)):
            unit = rng.choices(list(CYCLES), (3, 5, 1))[0]
            calendar_sentence(w, rng, unit, rng.choice(list(STEPS)))
    elif shape < 0.85:
        index = rng.randrange(7)
        yesterday, today, tomorrow = (calendar_word("day", DAYS[(index + shift) % 7]) for shift in range(3))
        w.open("inside a text about today and tomorrow")
        first, second = rng.sample(
            ["Yesterday was {yesterday}.", "Tomorrow is {tomorrow}.", "Tomorrow will be {tomorrow}."], 2
        )
        slots = {"yesterday": yesterday, "today": today, "tomorrow": tomorrow}
        for template in ("Today is {today}.", first, second):
            w.say(template, **slots)
    else:
        unit = rng.choice(list(CYCLES))
        names, start = CYCLES[unit], rng.randrange(len(CYCLES[unit]))
        w.open(f"inside a row of {unit}s")
        length = rng.randint(3, min(7, len(names)))
        for index in range(length):
            end = "." if index == length - 1 else ","
            w.say("{name}" + end, name=calendar_word(unit, names[(start + index) % len(names)]))
    return w.document("calendar")


def calendar_sentence(w: Writer, rng: random.Random, unit: str, direction: str) -> None:
    """One sentence about what comes before or after."""
    names = CYCLES[unit]
    index = rng.randrange(len(names))
    other = names[(index + (1 if direction == "after" else -1)) % len(names)]
    context = f"inside a sentence about the {unit} {direction}"
    template = rng.choice(STEPS[direction][:1] * 2 + STEPS[direction])
    if unit == "season" and template.startswith("{a}"):
        template = STEPS[direction][0]  # seasons begin with a small letter
    w.open(context)
    w.say(template, unit=Word(unit), a=calendar_word(unit, names[index]), b=calendar_word(unit, other))
    w.close(context)


def animal_words(animal: Animal) -> dict[str, Word]:
    """The slots of a sentence about an animal."""
    return {
        "animal": Word(animal.name, ("an animal", f"the animal {animal.name}"), f"after the {animal.name} was named"),
        "young": Word(animal.young, ("a young animal", f"the young animal {animal.young}")),
        "sound": Word(animal.sound, ("an animal's sound", f"the sound that {animal.sound}")),
        "home": Word(animal.home, ("an animal's home", f"the home {animal.home}")),
        "food": Word(animal.food, ("what an animal eats", f"the animal food {animal.food}")),
    }


ANIMAL_FACTS = {
    "young": ("A young {animal} is called a {young}.", "The child of a {animal} is the {young}."),
    "sound": ("The {animal} {sound}.", "When it is hungry, the {animal} {sound}."),
    "home": ("The {animal} lives in the {home}.", "You can find the {animal} in the {home}."),
    "food": ("The {animal} eats {food}.", "The {animal} likes {food}."),
}
ANIMAL_FOLLOWING = {
    "young": ("Its child is called a {young}.",),
    "sound": ("It {sound} at night.", "It {sound}."),
    "home": ("It lives in the {home}.", "Its home is the {home}."),
    "food": ("It eats {food}.", "It likes {food}."),
}
ANIMAL_KINDS = {
    "young": "a young animal", "sound": "an animal's sound", "home": "an animal's home", "food": "an animal's food",
}  # fmt: skip


def animals(rng: random.Random) -> Document:
    """A portrait of one animal, or facts of several."""
    w = Writer()
    portrait = rng.random() < 0.55
    slots = animal_words(rng.choice(ANIMALS))
    for index, kind in enumerate(rng.sample(list(ANIMAL_FACTS), rng.randint(2, 4))):
        if not portrait:
            w.close()
            slots = animal_words(rng.choice(ANIMALS))
        context = f"inside a sentence about {ANIMAL_KINDS[kind]}"
        w.open(context)
        template = rng.choice(ANIMAL_FOLLOWING[kind] if portrait and index else ANIMAL_FACTS[kind])
        w.say(with_articles(template, slots), **slots)
        w.close(context)
    return w.document("animals")


def with_articles(template: str, slots: dict[str, Word]) -> str:
    """The template with "an" for "a" before slots whose word demands it."""

    def article(match: re.Match[str]) -> str:
        return match.group(1) + "n" * (slots[match.group(2)].text[0] in "aeiou") + match.group()[1:]

    return re.sub(r"\b([Aa]) \{(\w+)\}", article, template)


def opposites(rng: random.Random) -> Document:
    """Opposites and the colors of things."""
    w = Writer()
    for _ in range(rng.randint(2, 4)):
        if rng.random() < 0.65:
            a, b = rng.choice(OPPOSITES) if rng.random() < 0.5 else rng.choice(OPPOSITES)[::-1]
            context = "inside a sentence about an opposite"
            w.open(context)
            template = rng.choice(("The opposite of {a} is {b}.", "What is not {a} is {b}."))
            w.say(
                template,
                a=Word(a, ("an adjective", f"the adjective {a}")),
                b=Word(b, ("an adjective", f"the adjective {b}")),
            )
        else:
            thing = rng.choice(list(COLORS))
            context = "inside a sentence about a color"
            w.open(context)
            template = rng.choice(("The color of {thing} is {color}.", "We all know that {thing} is {color}."))
            w.say(template, thing=Word(thing.replace("_", " ")), color=color(COLORS[thing]))
        w.close(context)
    return w.document("opposites")


def color(name: str) -> Word:
    """A color."""
    return Word(name, ("a color", f"the color {name}"))


def feeling(rng: random.Random, among: Sequence[str]) -> Word:
    """A feeling out of these."""
    name = rng.choice(among)
    kind = "a good feeling" if name in FEELINGS_GOOD else "a bad feeling"
    return Word(name, ("a feeling", kind, f"the feeling {name}"))


@dataclass(frozen=True)
class Child:
    """Somebody in a story, with the pronouns that belong to the name."""

    slots: dict[str, Word]

    @classmethod
    def pick(cls, rng: random.Random, other_than: str = "") -> Child:
        """Any child but this one."""
        girl = rng.random() < 0.5
        name = rng.choice([name for name in (GIRLS if girl else BOYS) if name != other_than])
        kind = "a girl" if girl else "a boy"
        he, his, him = ("she", "her", "her") if girl else ("he", "his", "him")
        pronoun = (f"a pronoun for {kind}",)
        return cls(
            {
                "name": Word(name, ("a child's name", f"{kind}'s name", f"the name {name}"), f"after {kind} was named"),
                "he": Word(he, pronoun),
                "He": Word(he.capitalize(), pronoun),
                "his": Word(his, pronoun),
                "him": Word(him, pronoun),
            }
        )


STORY_OPENINGS = (
    "Once upon a time there was a {kind} called {name}.",
    "Once upon a time a {kind} called {name} lived near the {place}.",
    "One day {name} was at the {place}.",
    "One morning {name} went to the {place}.",
    "It was a sunny day and {name} was at the {place}.",
    "{name} liked to play near the {place}.",
)
# Plot: its sentences in order; " | " stands between sentences of which one is told.
STORY_PLOTS = {
    "finding": (
        "{He} found a {color} {object} under a tree. | On the way {he} saw a {color} {object}.",
        "“Whose {object} is this?” {he} asked.",
        "“It is mine!” said {friend}. “I lost it.” | “That {object} is mine,” said {friend}.",
        "{name} gave the {object} to {friend}, and {friend} was {good}.",
    ),
    "losing": (
        "{He} lost {his} {color} {object}. | But {his} {color} {object} was not there.",
        "{He} was very {bad} and began to cry. | {He} was {bad}.",
        "“Do not cry,” said {friend}. “I will help you.”",
        "They looked behind the house, and there was the {object}. | They found the {object} under the bed.",
        "Now {name} was {good} again.",
    ),
    "sharing": (
        "{friend} came with a {object}. | {friend} had a new {object}.",
        "“May I play with your {object}?” asked {name}.",
        "“Yes, you may,” said {friend}. | “Yes, let us play,” said {friend}.",
        "They played with the {object} until it was dark. | They took turns with the {object} all day.",
    ),
    "pet": (
        "There {he} saw a {animal}. | A small {animal} came out of the {place}.",
        "The {animal} was hungry and {bad}.",
        "{He} gave the {animal} some bread. | {He} gave it some milk.",
        "“You are my friend now,” {he} said.",
        "The {animal} followed {name} home. | The {animal} slept in {his} bed that night.",
    ),
    "rain": (
        "Then it began to rain. | Then the wind blew and it began to snow.",
        "“I have no coat,” said {name}. | “I am so cold,” said {name}.",
        "{friend} gave {him} a {color} coat.",
        "“Thank you,” said {name}, and {he} was {good}.",
    ),
    "gift": (
        "It was the birthday of {friend}.",
        "{name} wanted to give {friend} a {object}.",
        "{He} bought a {color} {object} at the market. | {He} made a {color} {object} with {his} own hands.",
        "“This is for you,” said {name}.",
        "“What a fine {object}!” shouted {friend}. | “I love it!” shouted {friend}.",
    ),
    "a race": (
        "“Let us run to the big tree!” said {friend}.",
        "{name} ran fast, but {friend} was faster. | {friend} fell, and {name} stopped to help.",
        "“You won!” said {name}. | “Well done!” said {name}.",
        "They sat down and ate a cake. | They were {tired} and drank some water.",
    ),
    "fear": (
        "It was dark and {he} heard a noise.",
        "“Who is there?” {he} asked. | {He} was {scared} and hid behind a tree.",
        "It was only a {animal}. | It was only {friend} with a lamp.",
        "{name} laughed and was not {scared} any more.",
    ),
}
STORY_ENDINGS = (
    "Then they went home.",
    "They were friends for ever.",
    "It was a good day.",
    "At night {name} slept well.",
    "{name} and {friend} were {good}.",
    "The end.",
)


def story(rng: random.Random) -> Document:
    """Something small happens to two children."""
    w = Writer()
    hero = Child.pick(rng)
    friend = Child.pick(rng, other_than=hero.slots["name"].text)
    thing, place, animal = rng.choice(OBJECTS), rng.choice(PLACES), rng.choice(ANIMALS)
    kind = "girl" if hero.slots["he"].text == "she" else "boy"
    slots = hero.slots | {
        "friend": Word(friend.slots["name"].text, friend.slots["name"].concepts),
        "kind": Word(kind),
        "object": Word(thing, ("an object", f"the object {thing}"), f"inside a story about the {thing}"),
        "place": Word(place, ("a place", f"the place {place}")),
        "animal": Word(animal.name, ("an animal", f"the animal {animal.name}"), "inside a story with an animal"),
        "color": color(rng.choice(COLOR_WORDS)),
        "good": feeling(rng, FEELINGS_GOOD),
        "bad": feeling(rng, FEELINGS_BAD),
        "tired": feeling(rng, ("tired",)),
        "scared": feeling(rng, ("scared",)),
    }
    plot = rng.choice(list(STORY_PLOTS))
    w.open(f"inside a story of {plot}")
    w.open("inside the opening of a story")
    w.say(rng.choice(STORY_OPENINGS), **slots)
    w.close("inside the opening of a story")
    for template in STORY_PLOTS[plot]:
        story_sentence(w, rng.choice(template.split(" | ")), slots)
    if rng.random() < 0.8:
        w.open("inside the ending of a story")
        w.say(rng.choice(STORY_ENDINGS), **slots)
    return w.document("story")


def story_sentence(w: Writer, template: str, slots: dict[str, Word]) -> None:
    """A sentence of a story; what is between quotation marks is speech."""
    for index, part in enumerate(re.split(r"(“[^”]*”)", with_articles(template, slots))):
        if part and index % 2:
            if w.text and not w.text[-1].isspace():
                w.text += " "
            w.open("inside spoken words")
            w.say(part, **slots)
            w.close("inside spoken words")
        elif part:
            w.say(part, **slots)


VARIABLES = words("a b c i n x y")
FUNCTIONS = {"add": "+", "sub": "-", "plus": "+", "minus": "-"}


def code(rng: random.Random) -> Document:
    """One to three pieces of a small Python-like language; every printed result in a comment is right."""
    w = Writer()
    for piece in rng.choices(
        (code_function, code_loop, code_print, code_if, code_list), (3, 3, 2, 2, 2), k=rng.randint(1, 3)
    ):
        piece(w, rng)
    return w.document("code")


def variable(name: str) -> Word:
    """A variable of a program."""
    return Word(name, ("a variable", f"the variable {name}"))


def code_line(w: Writer, template: str, **slots: Word) -> None:
    """One line of a program."""
    w.say(template + "\n", **slots)


def code_function(w: Writer, rng: random.Random) -> None:
    """A function of two numbers, and a call of it."""
    name = rng.choice(list(FUNCTIONS))
    one, two = rng.sample(VARIABLES, 2)
    a, b = rng.randrange(10), rng.randrange(10)
    slots = {"f": Word(name, ("a function's name", f"the function {name}")), "x": variable(one), "y": variable(two)}
    w.open("inside a function definition")
    code_line(w, "def {f}({x}, {y}):", **slots)
    code_line(w, f"    return {{x}} {FUNCTIONS[name]} {{y}}", **slots)
    w.close("inside a function definition")
    c = a + b if FUNCTIONS[name] == "+" else a - b
    code_comment(w, "print({f}({a}, {b}))", c, **slots, a=number(a), b=number(b))


def code_comment(w: Writer, statement: str, value: int, **slots: Word) -> None:
    """A statement that prints, and its result in a comment."""
    w.open("inside a print statement")
    w.say(statement, **slots)
    w.close("inside a print statement")
    w.open("inside a comment")
    w.say("# {c}\n", c=result(value))
    w.close("inside a comment")


def code_print(w: Writer, rng: random.Random) -> None:
    """A sum, printed."""
    a, b, sign = rng.randrange(10), rng.randrange(10), rng.choice("+-")
    code_comment(w, f"print({{a}} {sign} {{b}})", a + b if sign == "+" else a - b, a=number(a), b=number(b))


def code_loop(w: Writer, rng: random.Random) -> None:
    """A loop that prints."""
    x = variable(rng.choice(["i", "n", "x"]))
    w.open("inside a loop")
    code_line(w, "for {x} in range({n}):", x=x, n=number(rng.randint(2, 9)))
    body = rng.choice(("print({x})", "print({x} + {k})", "total = total + {x}", "{x} = {x} * {k}"))
    code_line(w, "    " + body, x=x, k=number(rng.randint(1, 9)))
    w.close("inside a loop")


def code_if(w: Writer, rng: random.Random) -> None:
    """A choice between two things to print."""
    x = variable(rng.choice(VARIABLES))
    yes, no = rng.choice((("big", "small"), ("yes", "no"), ("high", "low")))
    w.open("inside an if statement")
    code_line(w, f"if {{x}} {rng.choice('<>')} {{k}}:", x=x, k=number(rng.randrange(10)))
    code_line(w, f"    print('{yes}')")
    code_line(w, "else:")
    code_line(w, f"    print('{no}')")
    w.close("inside an if statement")


def code_list(w: Writer, rng: random.Random) -> None:
    """A list of numbers, and its length."""
    x = variable(rng.choice(VARIABLES))
    values = [rng.randrange(10) for _ in range(rng.randint(2, 5))]
    w.open("inside a list")
    code_line(w, f"{{x}} = [{', '.join(map(str, values))}]", x=x)
    w.close("inside a list")
    code_comment(w, "print(len({x}))", len(values), x=x)


TOPICS: dict[Callable[[random.Random], Document], float] = {
    geography: 0.37, arithmetic: 0.18, calendar: 0.10, animals: 0.08, opposites: 0.05, story: 0.13, code: 0.09,
}  # fmt: skip


def documents(seed: int | str) -> Iterator[Document]:
    """Documents without end; the same seed gives the same ones."""
    rng = random.Random(f"tiny-world {seed}")
    writers, weights = list(TOPICS), list(TOPICS.values())
    while True:
        yield rng.choices(writers, weights)[0](rng)


def facts() -> list[Fact]:
    """Everything that has exactly one right answer, in every phrasing whose last word is the answer."""
    found = []
    for country in COUNTRIES:
        for kind, templates in ANSWER_LAST.items():
            values = {"country": country.name, kind: getattr(country, kind)}
            found += [_fact(kind, template, values) for template in templates]
    for unit, names in CYCLES.items():
        for index, name in enumerate(names):
            for direction, shift in (("after", 1), ("before", -1)):
                values = {"unit": unit, "a": name, "b": names[(index + shift) % len(names)]}
                found += [
                    _fact(f"{unit} {direction}", template, values)
                    for template in STEPS[direction]
                    if unit != "season" or not template.startswith("{a}")
                ]
    for kind, templates in SUMS.items():
        for a in range(10):
            for b in range(10):
                values = {"a": str(a), "b": str(b), "c": str(a + b if kind == "an addition" else a - b)}
                found += [_fact(kind.split()[1], template + ".", values) for template in templates]
    return found


def _fact(kind: str, template: str, values: dict[str, str]) -> Fact:
    """The prompt up to the answer, and the answer with the space before it."""
    prompt, answer = template.format(**values)[:-1].rsplit(" ", 1)
    return Fact(kind, prompt, " " + answer)
