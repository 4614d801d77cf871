"""What is talked about in English; the notation is explained in dialogue_topics.py."""

from itertools import product

from training import dialogue_fillings as fillings
from training.dialogue_fillings import Fillings
from training.dialogue_topics import Branch, Talk, Topic
from training.numerals import in_words

FORMS = {
    "?": (
        "{}?",
        "kimi, {}?",
        "tell me, {}?",
        "please tell me, {}?",
        "can you tell me, {}?",
        "excuse me, {}?",
        "{}, please?",
    ),
    ".": (
        "{}.",
        "please {}.",
        "kimi, {}.",
        "kimi, please {}.",
        "can you {}?",
        "could you {}, please?",
    ),
    "": (
        "tell me {}.",
        "please tell me {}.",
        "do you know {}?",
        "can you tell me {}?",
        "i want to know {}.",
        "kimi, tell me {}, please.",
    ),
    "!": ("{}.",),
}
FOLLOW_FORMS = {
    "?": ("{}?", "okay, {}?", "kimi, {}?", "thanks, {}?", "{}, please?"),
    ".": ("{}.", "please {}.", "kimi, {}.", "can you {}?", "{}, please."),
    "!": ("{}.",),
}
RECALL_WORDINGS = (
    "what did i say?",
    "what did i just say?",
    "what was my question?",
    "what did i say before?",
    "what did you hear?",
)
AGAIN_WORDINGS = (
    "say it again.",
    "say that again.",
    "repeat it.",
    "repeat your answer.",
    "say your answer again.",
)

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CAPITALS = {
    "france": "paris",
    "england": "london",
    "britain": "london",
    "germany": "berlin",
    "italy": "rome",
    "spain": "madrid",
    "japan": "tokyo",
    "china": "beijing",
    "russia": "moscow",
    "egypt": "cairo",
    "canada": "ottawa",
    "america": "washington",
}
_COLOURS = {
    "a banana": "yellow",
    "the sun": "yellow",
    "grass": "green",
    "a leaf": "green",
    "a frog": "green",
    "the sky": "blue",
    "the sea": "blue",
    "snow": "white",
    "milk": "white",
    "salt": "white",
    "an orange": "orange",
    "a tomato": "red",
    "coffee": "brown",
    "a potato": "brown",
    "an elephant": "grey",
    "the night": "black",
}
_SOUNDS = {
    "dog": "woof",
    "cat": "meow",
    "cow": "moo",
    "sheep": "baa",
    "duck": "quack",
    "pig": "oink",
    "bird": "tweet",
    "bee": "buzz",
    "lion": "roar",
}
_OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "long": "short",
    "high": "low",
    "old": "new",
    "fast": "slow",
    "early": "late",
    "hard": "soft",
    "heavy": "light",
    "happy": "sad",
    "loud": "quiet",
    "clean": "dirty",
    "full": "empty",
    "open": "closed",
    "right": "wrong",
    "strong": "weak",
    "rich": "poor",
    "good": "bad",
}
_NAMES = ("anna", "tom", "mary", "john", "lisa", "peter", "alice", "david", "emma", "jack")
_GREETINGS = ("hello", "hi", "good morning", "good afternoon", "good evening")
_FAREWELLS = ("goodbye", "bye", "good night", "see you soon", "see you tomorrow")


def _greeting() -> Topic:
    hello = Branch(
        wordings=(
            *("{hello}!", "{hello}, kimi!", "{hello} to you!", "{hello}, my friend!"),
            *("{hello}, dear kimi!", "okay, {hello}!", "{hello}, it is me!"),
        ),
        answer="{hello}, how can i help you?",
        core="{hello}",
        recall="you said, {hello}.",
        fillings=tuple({"hello": hello} for hello in _GREETINGS),
    )
    name = Branch(
        wordings=(
            *(
                "my name is {name}!",
                "i am {name}!",
                "hello, i am {name}!",
                "hello, kimi, i am {name}!",
            ),
            *("hello, my name is {name}!", "hi, i am {name}!", "hi, my name is {name}!"),
            *("good morning, my name is {name}!", "good morning, i am {name}!"),
        ),
        answer="hello, {name}, nice to meet you.",
        core="{name}",
        recall="you said, your name is {name}.",
        fillings=tuple({"name": name, "result": name} for name in _NAMES),
    )
    my_name = Branch(
        wordings=(),
        answer="your name is {name}.",
        core="{name}",
        fillings=tuple({"name": name, "first": name} for name in _NAMES),
        then_wordings=("what is my name?", "who am i?", "do you know my name?"),
    )
    how = Branch(
        wordings=(
            *("how are you?", "how are you today?", "are you well?", "how do you feel?"),
            *("are you well today?", "how do you feel today?"),
        ),
        answer="i am fine, thank you.",
        core="fine",
        recall="you asked how i am.",
    )
    return Topic("greeting", 3, (hello, name, my_name, how))


def _farewell() -> Topic:
    bye = Branch(
        wordings=(
            *("{bye}!", "{bye}, kimi!", "okay, {bye}!", "{bye}, my friend!", "{bye}, dear kimi!"),
            *("thank you, {bye}!", "thanks, {bye}!", "i must go, {bye}!", "well, {bye}!"),
        ),
        answer="{bye}, take care.",
        core="{bye}",
        recall="you said, {bye}.",
        fillings=tuple({"bye": bye} for bye in _FAREWELLS),
    )
    thanks = Branch(
        wordings=(
            *("thank you!", "thank you, kimi!", "thank you very much!", "thanks for your help!"),
            *("thanks!", "thank you for your help!", "many thanks, kimi!", "thanks, kimi!"),
        ),
        answer="you are welcome.",
        core="welcome",
        recall="you said, thank you.",
    )
    return Topic("farewell", 2, (bye, thanks))


def _identity() -> Topic:
    name = Branch(
        wordings=(
            *("what is your name?", "who are you?", "what are you called?", "what are you?"),
            *("your name", "who you are", "who is speaking?"),
        ),
        answer="i am kimi, your voice assistant.",
        core="kimi",
        recall="you asked who i am.",
    )
    person = Branch(
        wordings=("are you a person?", "are you a man or a woman?", "are you a child?"),
        answer="no, i am a voice assistant.",
        core="voice assistant",
        recall="you asked what i am.",
    )
    return Topic("identity", 2, (name, person))


def _abilities() -> Topic:
    can = Branch(
        wordings=(
            *("what can you do?", "how can you help me?", "what can you help me with?"),
            *("what can i ask you?", "what are you good at?", "what you can do"),
        ),
        answer="i can listen, speak and answer questions.",
        core="listen speak and answer",
        recall="you asked what i can do.",
    )
    languages = Branch(
        wordings=(
            *("do you speak english?", "do you speak chinese?", "which languages do you speak?"),
            *("can you speak english?", "can you speak chinese?", "do you understand chinese?"),
        ),
        answer="i speak english and chinese.",
        core="english and chinese",
        recall="you asked what i speak.",
    )
    return Topic("abilities", 2, (can, languages))


def _sums() -> Topic:
    branches = (
        *_sum_branches("plus", fillings.sums(in_words)),
        *_sum_branches("minus", fillings.differences(in_words)),
    )
    return Topic("sums", 10, branches, has_rivals=True)


def _sum_branches(sign: str, sums: Fillings) -> tuple[Branch, Branch]:
    """Small numbers and large ones; only small sums are said back, to keep the answers few."""
    task = f"{{first}} {sign} {{second}}"
    small, large = fillings.small_and_large(sums, in_words)

    def branch(chosen: Fillings, recall: str) -> Branch:
        return Branch(
            wordings=(
                *(f"what is {task}?", f"how much is {task}?", f"what does {task} make?", task),
                *(f"{task}, how much is that?", f"{task}, what is that?", f"work out {task}."),
            ),
            answer=f"{task} is {{result}}.",
            core="{result}",
            recall=recall,
            fillings=chosen,
            then_wordings=(
                *(f"{sign} {{second}}?", f"and {sign} {{second}}?", f"now {sign} {{second}}?"),
                f"and what is that {sign} {{second}}?",
            ),
            variety=5,
        )

    return branch(small, f"you said, {task}."), branch(large, "")


def _weekdays() -> Topic:
    def branch(side: str, step: int) -> Branch:
        return Branch(
            wordings=(
                *(f"what day comes {side} {{day}}?", f"which day comes {side} {{day}}?"),
                *(f"what day is it {side} {{day}}?", f"which day is {side} {{day}}?"),
                *(f"what is the day {side} {{day}}?", f"what comes {side} {{day}}?"),
                f"the day {side} {{day}}",
            ),
            answer=f"{side} {{day}} comes {{other}}.",
            core="{other}",
            recall=f"you said, the day {side} {{day}}.",
            fillings=fillings.neighbours(_DAYS, step),
            and_wordings=(f"and {side} {{day}}?", f"what about {side} {{day}}?"),
        )

    return Topic("weekdays", 4, (branch("after", 1), branch("before", -1)), has_rivals=True)


def _capitals() -> Topic:
    capital = Branch(
        wordings=(
            *("what is the capital of {country}?", "which city is the capital of {country}?"),
            *("what is the capital city of {country}?", "the capital of {country}"),
            *("what is the name of the capital of {country}?", "name the capital of {country}."),
            "the name of the capital of {country}",
        ),
        answer="the capital of {country} is {city}.",
        core="{city}",
        recall="you said, the capital of {country}.",
        fillings=tuple({"country": c, "city": city} for c, city in _CAPITALS.items()),
        and_wordings=("and in {country}?", "and of {country}?", "what about {country}?"),
    )
    return Topic("capitals", 4, (capital,), has_rivals=True)


def _colours() -> Topic:
    things = tuple(
        {"thing": thing, "the": f"the {thing.split()[-1]}", "colour": colour}
        for thing, colour in _COLOURS.items()
    )
    colour = Branch(
        wordings=(
            *("what colour is {thing}?", "which colour is {thing}?"),
            *(
                "what is the colour of {thing}?",
                "the colour of {thing}",
                "name the colour of {thing}.",
            ),
            "which colour does {thing} have?",
        ),
        answer="{thing} is {colour}.",
        core="{colour}",
        recall="you said, the colour of {thing}.",
        fillings=things,
        and_wordings=("and {the}?", "what about {the}?", "and what colour is {the}?"),
    )
    return Topic("colours", 4, (colour,), has_rivals=True)


def _animals() -> Topic:
    article = {animal: f"a {animal}" for animal in _SOUNDS}
    sound = Branch(
        wordings=(
            *("what does {a} say?", "what sound does {a} make?", "what does the {animal} say?"),
            *("which sound does {a} make?", "how does {a} sound?", "make the sound of {a}."),
            *("the sound of {a}", "what is the sound of {a}?"),
        ),
        answer="{a} says {sound}.",
        core="{sound}",
        recall="you said, the sound of {a}.",
        fillings=tuple({"animal": x, "a": article[x], "sound": s} for x, s in _SOUNDS.items()),
        and_wordings=("and the {animal}?", "and {a}?", "what about {a}?"),
    )
    return Topic("animals", 3, (sound,), has_rivals=True)


def _counting() -> Topic:
    up = Branch(
        wordings=(
            *("count to {n}.", "count from one to {n}.", "count up to {n}."),
            *("count up from one to {n}.", "start at one and count to {n}."),
        ),
        answer="{counted}.",
        core="{core}",
        recall="you said, count to {n}.",
        fillings=fillings.counts(in_words, 1, ", "),
        and_wordings=("and to {n}?", "and up to {n}?"),
    )
    down = Branch(
        wordings=(
            *("count down from {n}.", "count down from {n} to one.", "count back from {n}."),
            *("count from {n} down to one.", "start at {n} and count down."),
        ),
        answer="{counted}.",
        core="{core}",
        recall="you said, count down from {n}.",
        fillings=fillings.counts(in_words, -1, ", "),
        and_wordings=("and down from {n}?", "and back from {n}?"),
    )
    return Topic("counting", 3, (up, down), has_rivals=True)


def _opposites() -> Topic:
    opposite = Branch(
        wordings=(
            *(
                "what is the opposite of {word}?",
                "the opposite of {word}",
                "what word is the opposite of {word}?",
            ),
            *("which word is the opposite of {word}?", "name the opposite of {word}."),
            "what do you call the opposite of {word}?",
        ),
        answer="the opposite of {word} is {other}.",
        core="{other}",
        recall="you said, the opposite of {word}.",
        fillings=fillings.opposites(_OPPOSITES),
        and_wordings=("and of {word}?", "and {word}?", "what about {word}?"),
        variety=12,
    )
    return Topic("opposites", 4, (opposite,), has_rivals=True)


# What is said after "repeat after me": every line is multiplied out.
_PHRASES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("the",),
        ("red", "green", "blue", "old", "new", "black"),
        ("car", "door", "hat", "book", "ball", "box", "bicycle", "flower"),
    ),
    (
        ("a",),
        ("big", "small", "happy", "hungry", "white"),
        ("dog", "cat", "bird", "horse", "bear", "fish", "mouse"),
    ),
    (
        ("i like", "i want", "we need", "they have"),
        ("bread", "milk", "tea", "cheese", "music", "rice"),
    ),
    (("good morning,", "thank you,", "hello,", "goodbye,"), _NAMES),
    (("open the", "close the", "clean the"), ("window", "door", "box", "kitchen", "shop")),
    (
        ("my mother", "my friend", "the doctor", "the teacher", "he", "she"),
        ("is",),
        ("happy", "tired", "late", "kind"),
    ),
    (
        ("in the", "near the", "behind the"),
        ("house", "garden", "school", "station", "forest", "park"),
    ),
    (("see you on",), _DAYS),
    (("it is",), ("cold today", "hot today", "very late", "raining again")),
    (("good",), ("morning", "evening", "night")),
)


def phrases() -> tuple[str, ...]:
    """The phrases of two to four words that are repeated."""
    return tuple(" ".join(parts) for line in _PHRASES for parts in product(*line))


def _repeating() -> Topic:
    repeat = Branch(
        wordings=(
            *("say {phrase}.", "say, {phrase}.", "repeat after me, {phrase}.", "repeat, {phrase}."),
            *("say after me, {phrase}.", "repeat these words, {phrase}."),
        ),
        answer="{phrase}.",
        core="{phrase}",
        recall="you said, {phrase}.",
        fillings=tuple({"phrase": phrase} for phrase in phrases()),
        and_wordings=(
            *("and {phrase}!", "and now, {phrase}!", "now say {phrase}!", "and say {phrase}!"),
            *("now repeat {phrase}!", "and {phrase}, please!"),
        ),
        is_open=True,
    )
    return Topic("repeating", 5, (repeat,))


TALK = Talk(
    language="en",
    topics=(
        *(_greeting(), _farewell(), _identity(), _abilities(), _sums(), _weekdays()),
        *(_capitals(), _colours(), _animals(), _counting(), _opposites(), _repeating()),
    ),
    forms=FORMS,
    follow_forms=FOLLOW_FORMS,
    recall_wordings=RECALL_WORDINGS,
    again_wordings=AGAIN_WORDINGS,
)
