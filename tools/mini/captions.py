"""The captions that the model is trained with, and no other words mean anything to it."""

from common import COLOURS, STYLES

# {} takes "apple", "bus", ... "a" also before vowels: one word less to learn. What stands twice is drawn twice as often.
THINGS = ("a {}", "a {}", "a {}", "{}", "an emoji of a {}", "a picture of a {}")
MANNERS = (", {} style", ", {} style", " in {} style", " in the style of {}", " {} emoji")
PLACES = (" on a {} background", " on a {} background", ", {} background")
EMPTY, WITHOUT_STYLE, UNSAID_WHITE = 0.1, 0.05, 0.5
STYLE_NAMES, COLOUR_NAMES = list(STYLES), list(COLOURS)


def prompt(name, style, colour):
    """The plain form, used for evaluation and sample sheets."""
    return f"a {name}, {style} style on a {colour} background"


def draw(rng, name, style, colour):
    """A caption for a picture, drawn anew each time it is seen; empty ones are what guidance is measured against."""
    kind = rng.random()
    if kind < EMPTY:
        return ""
    text = THINGS[rng.integers(len(THINGS))].format(name)
    if kind >= EMPTY + WITHOUT_STYLE:
        text += MANNERS[rng.integers(len(MANNERS))].format(style)
    if colour == "white" and rng.random() < UNSAID_WHITE:
        return text
    return text + PLACES[rng.integers(len(PLACES))].format(colour)


def all_words(names):
    """Every string that a caption can be made of, for the closure of the vocabulary."""
    templates = [form.format("") for form in (*THINGS, *MANNERS, *PLACES)]
    return [*templates, *STYLE_NAMES, *COLOUR_NAMES, *names, "a photo of a"]
