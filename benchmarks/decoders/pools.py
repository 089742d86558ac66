"""Names, places, things and sentences that the prompts are made of; training and test share none of them.

Most are one token with their space in front in the vocabularies of language models.
"""

from __future__ import annotations

from dataclasses import dataclass

TRAIN, TEST = "train", "test"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = {
    TRAIN: _words(
        "Alice Brian Carol Derek Emma Frank Grace Helen Ian Julia Kevin Laura Mark Nina Oscar Paula Ralph Sarah "
        "Victor Wendy"
    ),
    TEST: _words(
        "Adam Anna Ben Charles Claire Daniel David Diana Edward Ellen Eric Fiona George Hannah Henry Jack James "
        "Jane John Karen Kate Leo Linda Lisa Lucy Maria Martin Mary Michael Monica Nancy Olivia Paul Peter Rachel "
        "Richard Robert Rose Sam Simon Sophie Steve Susan Thomas Tina Tom William Zoe"
    ),
}
COLOURS = {
    TRAIN: _words("red blue green yellow black white brown grey"),
    TEST: _words("purple orange pink silver golden wooden metal plastic paper glass leather small large round square"),
}


@dataclass(frozen=True)
class Fact:
    """A kind of fact: a sentence with a key and a value, which the question cuts short before the value.

    Attributes:
        name: Of the kind, in the ids of prompts.
        sentence: With {key} and {value}; the value comes last but for the full stop.
        keys: What facts are about.
        values: What is said of them; empty for numbers, of which no two begin alike.
    """

    name: str
    sentence: str
    keys: tuple[str, ...]
    values: tuple[str, ...] = ()


FACTS = {
    TRAIN: (
        Fact(
            "lives",
            "{key} lives in {value}.",
            PEOPLE[TRAIN],
            _words("Paris London Berlin Rome Madrid Vienna Oslo Dublin Prague Boston Chicago Denver"),
        ),
        Fact(
            "fruit",
            "{key}'s favourite fruit is the {value}.",
            PEOPLE[TRAIN],
            _words("apple banana cherry peach lemon mango pear grape melon plum"),
        ),
        Fact("code", "The code of the {key} box is {value}.", COLOURS[TRAIN]),
        Fact(
            "job",
            "{key} works as a {value}.",
            PEOPLE[TRAIN],
            _words("teacher doctor lawyer driver nurse baker farmer writer pilot cook"),
        ),
    ),
    TEST: (
        Fact(
            "born",
            "{key} was born in {value}.",
            PEOPLE[TEST],
            _words(
                "Tokyo Cairo Moscow Athens Sydney Toronto Lima Delhi Seoul Lagos Miami Dallas Seattle Houston Istanbul "
                "Mumbai Beijing Warsaw Lisbon Munich"
            ),
        ),
        Fact(
            "flew",
            "Last summer {key} flew to {value}.",
            PEOPLE[TEST],
            _words(
                "Brazil China Japan India Egypt Kenya Canada Mexico France Spain Italy Greece Norway Poland Turkey "
                "Chile Peru Cuba"
            ),
        ),
        Fact(
            "animal",
            "{key}'s favourite animal is the {value}.",
            PEOPLE[TEST],
            _words("horse tiger lion rabbit elephant dolphin eagle wolf bear fox monkey snake frog whale"),
        ),
        Fact(
            "plays",
            "In the school band, {key} plays the {value}.",
            PEOPLE[TEST],
            _words("piano guitar violin flute drums trumpet harp organ bass cello"),
        ),
        Fact(
            "studies",
            "At the university {key} studies {value}.",
            PEOPLE[TEST],
            _words("physics history law music biology chemistry medicine art philosophy economics mathematics"),
        ),
        Fact(
            "married",
            "{key} is married to {value}.",
            PEOPLE[TEST],
            _words("Oliver Emily Lucas Amy Noah Julie Arthur Alex Rebecca Jacob Ryan Angela Hugo Eva"),
        ),
        Fact(
            "lies",
            "The {key} is in the {value}.",
            _words("book key phone lamp knife ball hat bottle camera map ring coat letter ticket clock"),
            _words("kitchen garden bedroom garage office basement car hall bathroom library attic drawer closet"),
        ),
        Fact("room", "The {key} door leads to room {value}.", COLOURS[TEST]),
        Fact(
            "price",
            "The price of the {key} is {value} dollars.",
            _words("chair table bike watch radio tent sofa desk mirror carpet jacket computer printer"),
        ),
        Fact(
            "drinks",
            "At breakfast {key} drinks {value}.",
            PEOPLE[TEST],
            _words("coffee tea milk water juice wine beer cocoa"),
        ),
    ),
}

# How facts are asked for. {quoted} is the beginning of a sentence, {question} the same within one. Without such words,
# small models rather go on with another fact than repeat one.
ASKING = {
    TRAIN: (
        "Facts: {facts}\nFrom the facts we know that {question}",
        "Here is what we know. {facts} So we can say that {question}",
    ),
    TEST: (
        'Text: "{facts}"\nThe text says: "{quoted}',
        "Read the text. {facts}\nThe text says that {question}",
        "Facts: {facts}\nAccording to the facts, {question}",
        "{facts} It is therefore true that {question}",
    ),
}
ASKING_TEXT = {
    TRAIN: ("{facts}\n\nFrom the text we know that {question}",),
    TEST: ('Text: "{facts}"\n\nThe text says: "{quoted}', "{facts}\n\nAccording to the text, {question}"),
}

# {giver} and {receiver} are both named first, in either order; then the giver again, and who gets it is asked for.
GIVING = {
    TRAIN: (
        "When {first} and {second} went to the store, {giver} gave a drink to",
        "After {first} and {second} had lunch, {giver} handed the bill to",
        "While {first} and {second} were working at the office, {giver} gave a letter to",
    ),
    TEST: (
        "Then, {first} and {second} went to the {place}. {giver} gave a {thing} to",
        "{first} and {second} met at the {place}, and {giver} decided to give the {thing} to",
        "As {first} and {second} were sitting in the {place}, {giver} passed the {thing} to",
        "Yesterday {first} and {second} had a long talk at the {place}. In the end {giver} offered a {thing} to",
        "{first} and {second} spent the whole day in the {place}, so {giver} brought a {thing} to",
        "The friends {first} and {second} found a {thing} at the {place}. {giver} gave it to",
    ),
}
PLACES = _words("park school hospital station museum restaurant beach market hotel library church theatre")
THINGS = _words("book ring ball flower basketball computer gift letter camera ticket sandwich bottle")

# Singular and plural, whose verbs differ; the noun nearer to the verb may mislead.
NOUNS = {
    TRAIN: _words(
        "key/keys cabinet/cabinets author/authors guard/guards picture/pictures road/roads teacher/teachers "
        "house/houses"
    ),
    TEST: _words(
        "book/books table/tables student/students window/windows car/cars doctor/doctors letter/letters "
        "garden/gardens farmer/farmers building/buildings painter/painters bridge/bridges story/stories "
        "pilot/pilots lawyer/lawyers machine/machines tree/trees river/rivers manager/managers shelf/shelves "
        "boat/boats singer/singers lamp/lamps officer/officers"
    ),
}
BETWEEN = {
    TRAIN: ("The {head} to the {other}", "The {head} near the {other}", "The {head} behind the {other}"),
    TEST: (
        "The {head} next to the {other}",
        "The {head} in front of the {other}",
        "The {head} that the {other} liked",
        "The {head} from the {other}",
        "The {head} beside the old {other}",
        "Everyone knows that the {head} of the {other}",
        "The {head} with the very small {other}",
    ),
}
VERBS = {TRAIN: ((" is", " are"),), TEST: ((" is", " are"), (" was", " were"), (" has", " have"))}

# A fact to hide in real text, and the beginning of its answer; {key} is a person, {value} a number or a word.
NEEDLES = {
    TRAIN: (
        ("The secret number of {key} is {value}.", "The secret number of {key} is"),
        ("{key} hid the golden coin in the {value}.", "{key} hid the golden coin in the"),
    ),
    TEST: (
        ("The lucky number of {key} is {value}.", "The lucky number of {key} is"),
        ("{key} keeps the spare key under the {value}.", "{key} keeps the spare key under the"),
        ("The password that {key} chose is {value}.", "The password that {key} chose is"),
        ("For the party {key} ordered a huge {value}.", "For the party {key} ordered a huge"),
    ),
}
HIDDEN = {
    TRAIN: _words("kitchen garden cellar barn piano fridge"),
    TEST: _words("pillow flower carpet mango tiger rainbow cake pizza lamp table elephant diamond banana cactus"),
}
