"""What a check found, in plain words and as a table: the same in the terminal, in HTML and on the page."""

from collections.abc import Sequence

from narrows.data.schema import AttributionDict, CheckDict

_NAMED = 3  # parts that a sentence names; of more it says how many
_SHORT = 40  # characters of a part in a sentence


def check_sentence(attribution: AttributionDict) -> str | None:
    """Say what the model says without the strongest parts of a text, or None where that was not asked.

    Example:
        >>> from narrows import Explainer
        >>> checked = Explainer.from_pretrained("sentiment")("The acting is superb.", check=True)
        >>> check_sentence(checked.to_dict())[:34]
        "Without 'superb' p(positive) falls"
    """
    found = attribution["check"]
    if found is None:
        return None
    count, unit = found["flip"] or 1, found["unit_of"]
    some = f"{count} {unit}s" if count > 1 else f"one {unit}"
    spoken = attribution["record"].get("target_tokens") is not None  # what a language model says may be a space
    target, decision = (repr(name) if spoken else name for name in (attribution["target"], found["decision"]))
    said = f"{_outcome(found, count, f'{target}', f'{decision}')}."
    if found["other"] is None and count == len(found["removed"]):  # nothing else could be drawn
        return said
    by_chance = f"Without {some} at random it is {written(found['chance'][count - 1])}"
    return f"{said} {by_chance}{_others(found) if count == 1 else ''}."


def check_table(found: CheckDict) -> tuple[list[str], list[list[str]]]:
    """Give head and rows: what was removed one after the other, and p(target) without it all."""
    columns = {"p without them": found["without"], "p behind masks": found["masked"], "p at random": found["chance"]}
    kept = {name: own for name, own in columns.items() if own is not None}
    head = [found["unit_of"], *kept]
    rows = zip(found["removed"], *kept.values(), strict=True)
    return head, [[part, *map(written, numbers)] for part, *numbers in rows]


def written(p: float) -> str:
    """Write a probability: two digits, more where it is next to 0 or 1, and never one that is neither as 0 or 1."""
    rare = min(p, 1 - p)
    if p in (0, 1) or rare >= 0.005:
        return f"{p:.2f}"
    if rare < 0.00005:
        return f"{p:.0e}" if p < 0.5 else ">0.9999"
    return f"{p:.{3 if rare >= 0.0005 else 4}f}"


def _outcome(found: CheckDict, count: int, target: str, decision: str) -> str:
    """Say what becomes of the prediction without the first parts."""
    p, most, whole = found["without"][count - 1], len(found["without"]), found["whole"]
    measured = f"p({target})" if found["odds"] else f"exp(-loss) of {target}"
    moved = f"{measured} {'falls' if p < whole else 'rises'} from {written(whole)} to {written(p)}"
    if found["masked"] is not None:
        places = "their places" if count > 1 else "its place"
        moved += f" (with the mask in {places}: {written(found['masked'][count - 1])})"
    gone = f"Without {_named(found['removed'][:count])}"
    if found["flip"] is None:
        further = f", and without the first {most} {found['unit_of']}s to {written(found['without'][-1])}"
        return f"{gone} {moved}{further if most > 1 else ''}"
    needed = "" if len(found["needed"]) == count else f"; {_needed(found['needed'])}"
    return f"{gone} the model decides for {decision}: {moved}{needed}"


def _needed(parts: Sequence[str]) -> str:
    """Say which of several parts a flip takes, where it does not take all."""
    return f"all it takes of these is {_named(parts)}" if parts else "no single one of these is needed"


def _others(found: CheckDict) -> str:
    """Say what the removal of any other single part does."""
    if found["other"] is None or found["without_other"] is None:
        return ""
    p = written(found["without_other"])
    if found["without_other"] > found["without"][0]:
        return f", and without any other single {found['unit_of']} at least {p}"
    return f". Without {_quoted(found['other'])} alone, which ranks lower, it is {p}"


def _quoted(part: str) -> str:
    return repr(part if len(part) <= _SHORT else f"{part[: _SHORT - 3]}...")


def _named(parts: Sequence[str]) -> str:
    """List parts, the first of them if there are many."""
    shown = [_quoted(part) for part in parts[:_NAMED]]
    shown += [f"{len(parts) - _NAMED} more"] if len(parts) > _NAMED else []
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
