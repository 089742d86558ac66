"""The saved form of results, from which all pictures are drawn: one text (``--json``), and a run (summary.json)."""

from typing import Any, TypedDict


class PlaceDict(TypedDict):
    """The place of a token; ``start`` and ``end`` are offsets into the text of its ``segment``, or None if special."""

    token: str
    start: int | None
    end: int | None
    segment: int | None  # 0 = text, or a prompt, 1 = text_pair, or a response, None = a special token
    special: bool


class TokenDict(PlaceDict):
    """One token."""

    score: float  # in the unit of the method
    rank: int | None  # 1 = the first to be removed; None for a special token


class WordDict(TypedDict):
    """One word: the tokens that the tokenizer made of it, their scores summed; its rank is the best of theirs."""

    word: str
    start: int
    end: int
    segment: int
    score: float
    rank: int


class UnitDict(TypedDict):
    """One unit of several tokens: a word, a sentence, a message, a document; its score is the sum of theirs."""

    text: str
    start: int
    end: int
    segment: int
    tokens: list[int]  # positions; empty where the model read nothing of it
    score: float
    rank: int | None  # 1 = the first to be removed; None where it has no tokens


class TraceDict(TypedDict):
    """One step of the optimisation, before that step's update, or one mask of a rate curve."""

    step: int
    cross_entropy: float  # nats, mean over the noise copies
    information: float  # bits, summed over the tokens
    error: float  # standard error of the cross-entropy over the noise draws, nats; 0 where it was not measured


class MethodDict(TypedDict):
    """How the scores were made, and what they are."""

    name: str  # "fast", "ig", ...
    settings: dict[str, Any]
    label: str  # for tables and figures
    quantity: str  # "evidence", "information" or "score"
    unit: str  # "bits", "nats of log p", "probability", "weight" or "score"
    signed: bool  # scores below 0 speak against the target
    additive: bool  # scores add up to the rise from a typical text to this one
    caption: str  # one plain sentence
    how: str  # the mechanics; may be empty


class DataDict(TypedDict):
    """What the user's data says of a text."""

    id: str | int | None  # the column ``id`` or ``idx``, or the index of the data frame; need not be unique
    gold: str | None  # the label that came with it


class CheckDict(TypedDict):
    """What the model says without the strongest parts of a text: `narrows.data.check.Check`."""

    odds: bool  # whether p is a probability; else it is exp(-loss), of a number or of a whole distribution
    unit_of: str  # what is removed as one
    removed: list[str]  # the parts that the map ranks first
    whole: float  # p(target)
    without: list[float]  # p(target) without the first, the first two, ...
    masked: list[float] | None  # the same with the mask token in their places; None where the model has none
    chance: list[float]  # p(target) without as many at random
    other: str | None  # of the other parts the one whose removal alone costs most; None in long texts
    without_other: float | None  # p(target) without it
    flip: int | None  # the smallest number of them without which the model decides otherwise
    decision: str | None  # what it decides then
    needed: list[str]  # those of them that it takes


class AttributionDict(DataDict):
    """One explained text."""

    units: list[UnitDict] | None  # what was explained as one, in reading order; None where each token is one
    check: CheckDict | None  # None where that was not asked for
    text: str
    text_pair: str | None
    tokens: list[TokenDict]
    words: list[WordDict]
    unit: str
    signed: bool
    additive: bool
    target: str
    predicted: str
    probabilities: dict[str, float]
    layers: list[int] | None  # where the model was cut; None for methods that look at no layer
    method: MethodDict
    typical: float | None  # p(target) of a typical text: the mean of the prior
    rise: float | None  # what additive scores should add up to
    truncated: int  # tokens cut off because the text is longer than the model takes
    trace: list[TraceDict]
    model: str
    prior: str | None
    record: dict[str, Any]  # further facts: blocks, dtype, and what a text has to itself, such as beta
    narrows_version: str


class FailedDict(DataDict):
    """One text that could not be explained, as a row of a file."""

    text: str | None  # None where it could not be read
    text_pair: str | None
    error: str  # why, on one line


class OutputDict(TypedDict):
    """One output token, and what every token contributed to it."""

    place: int  # its position among the tokens
    token_id: int
    target: str  # as it reads in a text
    predicted: str
    probability: float | None
    probabilities: dict[str, float]
    typical: float | None
    rise: float | None
    scores: list[float]  # one per token; 0 from the output on


class GenerationDict(TypedDict):
    """One response, explained token by token."""

    text: str  # the prompt
    response: str
    tokens: list[PlaceDict]
    outputs: list[OutputDict]
    unit: str
    signed: bool
    additive: bool
    method: MethodDict
    layers: list[int] | None
    truncated: int
    model: str
    prior: str | None
    record: dict[str, Any]
    id: str | int | None
    narrows_version: str


class MethodSummary(TypedDict):
    """One method on one data set; intervals are ``[low, high]``, 95 %, of the mean over the texts, by the bootstrap."""

    # One text has no interval.
    name: str  # its spec: "ig:steps=50"
    label: str  # for tables and figures: "IG, steps 50"
    unit: str  # of its scores, as in MethodDict
    signed: bool
    drop_11: float  # mean p(target) minus the same without the first ninth of the tokens, most relevant first
    drop_11_interval: list[float] | None
    drops: dict[str, float]  # the same without so many percent of the tokens: keys "5", "11", "20", "33", "50"
    drops_interval: dict[str, list[float] | None]
    area_morf: float  # mean over the curve's ten points, most relevant first; low is good
    area_morf_interval: list[float] | None
    area_lerf: float  # least relevant first; high is good
    area_lerf_interval: list[float] | None
    comprehensiveness: float  # high is good
    sufficiency: float  # low is good
    flips: float  # share of the texts whose predicted class is another without the first ninth, 0 to 1
    curve_morf: list[float]  # (10,), mean p(target) after 0/9, ..., 9/9 of the tokens are gone
    curve_lerf: list[float]  # (10,)
    rate_bits: list[float]  # mean bits that pass a bottleneck, point by point, the fewest first; empty without a trace
    rate_probability: list[float]  # mean p(target) through it at these points
    rate_interval: list[list[float]]  # mean [low, high] of p(target) at these points, over the noise draws
    normalized: list[float | None]  # (10,), (p - m) / (o - m) of curve_morf: 1 = untouched, 0 = the most degraded mean
    seconds: float | None  # per text; None = unknown: the scores were made elsewhere
    forward_equivalents: float | None  # per text; a forward through all blocks = 1
    instances: int
    method: MethodDict  # what made the scores


class ComparisonDict(TypedDict):
    """Two methods on the same texts."""

    method: str
    other: str
    measure: str  # "drop_11" or "area_morf"
    difference: float  # mean over the texts; above 0 = ``method`` is the better one, whatever the measure
    interval: list[float] | None  # [low, high], paired bootstrap, 95 %; None for one text
    win_rate: float  # share of the texts on which ``method`` is the better one, 0 to 1


class RunSummary(TypedDict):
    """Several methods on one data set."""

    left_out: int  # texts that one of the methods could not explain: none of them is measured on these
    unit_of: str  # what was ranked and removed as one: "token", "word", "sentence" or "message"
    dataset: str
    split: str
    instances: int  # texts that the figures are of
    target: str  # "gold", "predicted", a label or a continuation
    removal: str  # "delete-keep-read" where the token at which the answer is read was never removed
    model: str
    max_tokens: int | None
    methods: dict[str, MethodSummary]
    comparisons: list[ComparisonDict]
    narrows_version: str


class EntryDict(TypedDict):
    """One word of a summary, or two beside each other."""

    target: str
    group: str  # "all", or the texts that the model is "right" or "wrong" about
    kind: str  # "word" or "pair"
    words: str
    mean: float  # of its scores, in the unit of the run
    low: float  # 95 % interval over the texts
    high: float
    beyond: float | None  # by how much a pair differs from what its words have elsewhere
    texts: int  # in how many it occurs
    count: int  # how often
    examples: list[str]


class SummaryDict(TypedDict):
    """The strongest words of a run, or those in which two runs differ most."""

    run: str
    unit: str
    texts: int
    entries: list[EntryDict]
    missed: int  # words in more texts than this are all among those to choose from
