"""The report of an evaluation: one HTML page that needs no network and no script."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from rnn_migrator import pages
from rnn_migrator.equivalence.comparison import CONVERTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

Json = Mapping[str, Any]

REPORT_FILE = "report.html"
"""Name of the page beside `evaluation.json`."""

_TEMPLATE = "report.html.j2"

_WORST_CASES = 20
"""How many of the worst cases the page lists."""


def write_report(document: Mapping[str, Any], conversion: Mapping[str, Any], file: Path) -> None:
    """Writes the report; the file is never seen half written, and equal input gives equal bytes.

    Args:
      document: The evaluation, as `Evaluation.to_json` gives it; it may come from a file, with NaN
        and infinity as strings.
      conversion: The content of the converted model's `conversion.json`.
      file: The page to write.
    """
    page = _environment().get_template(_TEMPLATE).render(_content(document, conversion))
    pages.write(page, file)


def _environment() -> jinja2.Environment:
    environment = pages.environment(Path(__file__).parent)
    environment.filters |= {"error": _error, "times": _times, "plain": _plain, "share": _share}
    environment.tests["beyond"] = _beyond
    return environment


def _content(document: Json, conversion: Json) -> dict[str, Any]:
    """What the template shows."""
    outputs = document["outputs"]
    parties = list(dict.fromkeys(itertools.chain(*(o["parties"] for o in outputs.values()))))
    looks = dict(zip(parties, itertools.cycle(_LOOKS), strict=False))
    curves = {name: _Curves.of(output, looks) for name, output in outputs.items()}
    return {
        "document": document,
        "conversion": conversion,
        "name": PurePath(str(conversion.get("source", {}).get("path", "model"))).name,
        "verdict": _verdict(document),
        "advice": _advice(document),
        "parties": parties,
        "outputs": _outputs(outputs, curves),
        "worst": _worst(outputs, curves)[:_WORST_CASES],
        "facts": _facts(conversion.get("facts", ())),
        "kernels": {kernel["layer"]: kernel for kernel in conversion.get("kernels", ())},
    }


# Numbers and values as text


def _number(value: Any) -> float:
    """A number from JSON, where NaN and infinity are strings and null stands for nothing."""
    return math.nan if _nothing(value) else float(value)


def _nothing(value: Any) -> bool:
    """Whether a value is null or the key is not there at all."""
    return value is None or isinstance(value, jinja2.Undefined)


def _error(value: Any) -> str:
    """An error, or why there is none."""
    if _nothing(value):
        return "–"
    number = _number(value)
    if math.isnan(number):
        return "NaN"
    return f"{number:.2e}" if math.isfinite(number) else "infinity"


def _times(value: Any) -> str:
    """How many times its bound an error is."""
    number = _number(value)
    if 100.0 <= number < math.inf:
        return f"{number:,.0f} ×" if number < 1e7 else f"{number:.1e} ×"
    return f"{number:.2g} ×" if math.isfinite(number) else _error(value)


def _share(value: Any) -> str:
    """A share in percent; all but one in a million is not all."""
    share = _number(value)
    return "> 99.9999 %" if 0.9999995 <= share < 1.0 else f"{100.0 * share:.6g} %"


def _plain(value: Any) -> str:
    """Any other JSON value."""
    if _nothing(value):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)


def _beyond(excess: Any) -> bool:
    """Whether an error is beyond its bound; NaN is."""
    return not _number(excess) <= 1.0


# The verdict


def _verdict(document: Json) -> tuple[str, str]:
    """The class of the verdict and its words."""
    if document["verdict"] == "blessed":
        return "blessed", "✓ Blessed"
    if document["equivalent"]:
        return "unproven", "? Equivalent, not proven"
    return "wrong", "✗ Not equivalent"


def _advice(document: Json) -> str:
    """What to try next."""
    if document["verdict"] == "blessed":
        return "Nothing is left to settle: the converted model may replace the old one."
    if document["equivalent"]:
        return (
            "Settle each assumed fact with --set if you know it, or give outputs that the old "
            "model recorded with --golden; then verify again."
        )
    found = [one for one in document.get("diagnosis") or () if one["matches"]]
    if settings := [one["change"] for one in found if one["change"].startswith("--set")]:
        return f"Convert again with this change, which brings the outputs together: {settings[0]}"
    if found:
        return (
            f"The conversion has a mistake in it: {found[0]['text']}. Convert again with this "
            "version; if it stays, report it with this page."
        )
    if all(_beyond(control["excess"]) for control in document["controls"].values()):
        return (
            "Look at the first output beyond its bound and at the facts below, those assumed "
            "first; correct them with --set, then convert and verify again."
        )
    return "Give recorded inputs that move the model more, and more of them, with --golden."


# Tables


def _worst(outputs: Json, curves: Mapping[str, _Curves]) -> list[dict[str, Any]]:
    """The worst cases of all outputs and parties: judged ones first, furthest from their bound."""
    cases = [
        {"output": name, "party": party, **_judged(case, curves[name])}
        for name, output in outputs.items()
        for party, errors in output["parties"].items()
        for case in errors.get("worst") or [{**errors, "key": errors.get("case")}]
    ]
    return sorted(cases, key=lambda case: (not case["judged"], -case["excess"]))


def _judged(case: Json, curves: _Curves) -> dict[str, Any]:
    """A case with how many times its bound the error is; NaN is infinitely many times."""
    step = int(case.get("step") or 0)
    error, bound = _number(case["error"]), curves.bound[min(step, len(curves.bound) - 1)]
    excess = error / bound if math.isfinite(error) and bound > 0.0 else math.inf
    return {**case, "excess": excess, "judged": step < curves.judged}


def _facts(facts: Iterable[Json]) -> list[dict[str, Any]]:
    """The facts; what is the same in several layers is one row."""
    rows: dict[tuple[str, str, str], list[Json]] = {}
    for fact in facts:
        rows.setdefault((fact["name"], _plain(fact["value"]), fact["origin"]), []).append(fact)
    return [
        {
            "name": name,
            "value": value,
            "origin": origin,
            "doubtful": origin in ("assumed", "undecided"),
            "layers": [fact["layer"] for fact in same],
            "sources": list(dict.fromkeys(fact["source"] for fact in same if fact.get("source"))),
        }
        for (name, value, origin), same in rows.items()
    ]


# Outputs


def _outputs(outputs: Json, curves: Mapping[str, _Curves]) -> list[dict[str, Any]]:
    """What the page shows of each output, plots included."""
    return [
        {
            "id": f"output-{number}",
            "name": name,
            "json": output,
            "curves": curves[name],
            "plot": _error_plot(name, curves[name], f"errors {number}"),
            "histogram": _histogram(name, output, number),
        }
        for number, (name, output) in enumerate(outputs.items(), 1)
    ]


def _histogram(name: str, output: Json, number: int) -> _Plot | None:
    """Of the converted model's errors."""
    histogram = output["parties"].get(CONVERTED, {}).get("histogram")
    return histogram and _histogram_plot(name, histogram, f"histogram {number}")


@dataclasses.dataclass(frozen=True, eq=False)
class _Curves:
    """The errors of an output by time step, and what limits them.

    Attributes:
      errors: By party.
      rounding: What rounding alone does.
      bound: The largest error that counts as rounding.
      judged: How many steps the verdict looks at; the others are shown only.
      looks: How each party is drawn, the same on the whole page.
    """

    errors: dict[str, Values]
    rounding: Values
    bound: Values
    judged: int
    looks: Mapping[str, _Look]

    @staticmethod
    def of(output: Json, looks: Mapping[str, _Look]) -> _Curves:
        """The curves in JSON; a limit that is not given by step is the same at each."""
        errors = {
            party: _vector(values.get("by_step") or [values["error"]])
            for party, values in output["parties"].items()
        }
        steps = max(map(len, errors.values()), default=1)
        return _Curves(
            errors=errors,
            rounding=_vector(output.get("rounding_by_step") or [output["rounding"]] * steps),
            bound=_vector(output.get("bound_by_step") or [output["bound"]] * steps),
            judged=steps if output.get("judged_steps") is None else int(output["judged_steps"]),
            looks=looks,
        )

    @property
    def steps(self) -> int:
        """How many time steps there are."""
        return max(map(len, self.errors.values()), default=1)

    @property
    def omitted(self) -> bool:
        """Whether there are errors that no plot can show."""
        return not all(np.isfinite(errors).all() for errors in self.errors.values())

    @property
    def exact(self) -> bool:
        """Whether there are errors of zero, which a logarithmic scale does not have."""
        return any((errors == 0.0).any() for errors in self.errors.values())

    @property
    def span(self) -> tuple[float, float]:
        """Whole decades around everything drawn, and one more below for zeros."""
        drawn = np.concatenate([*self.errors.values(), self.rounding, self.bound])
        drawn = drawn[np.isfinite(drawn) & (drawn > 0.0)]
        # Nothing that matters in float32 is smaller or larger.
        exponents = np.log10(np.clip(drawn, 1e-30, 1e40)) if drawn.size else np.array([-7.0])
        low, high = np.floor(exponents.min()), np.ceil(exponents.max())
        return float(10.0 ** (low - self.exact)), float(10.0 ** max(high, low + 1))


def _vector(values: Iterable[Any]) -> Values:
    return np.array([_number(value) for value in values])


# Plots


@dataclasses.dataclass(frozen=True)
class _Look:
    """How a party is drawn; markers, since colors alone are not for everyone.

    Attributes:
      name: Its class and variable in the style sheet, which has other colors for dark screens.
      color: The color, to be replaced by that variable.
      marker: Matplotlib's name of the marker.
      character: The marker as text, for legends.
    """

    name: str
    color: str
    marker: str
    character: str


_LOOKS = (
    _Look("series-0", "#0b57d0", "o", "●"),
    _Look("series-1", "#a84300", "s", "■"),
    _Look("series-2", "#137333", "^", "▲"),
    _Look("series-3", "#8430ce", "D", "◆"),
    _Look("series-4", "#00696d", "v", "▼"),
)
_BOUND = "#b3001b"
_QUIET = "#5f6368"

_VARIABLES = {look.color: look.name for look in _LOOKS} | {_BOUND: "bound", _QUIET: "quiet"}
"""Variables of the style sheet by the color that stands for them in plots."""

_STYLE = {
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _QUIET,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": False,
    "figure.constrained_layout.use": True,
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "grid.alpha": 0.25,
    "grid.color": _QUIET,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "text.color": _QUIET,
    # A dollar sign in a name is a dollar sign.
    "text.parse_math": False,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
}


@dataclasses.dataclass(frozen=True)
class _Plot:
    """The parts of an `<svg>` element, and what it shows in words."""

    view_box: str
    body: str
    label: str


def _error_plot(name: str, curves: _Curves, salt: str) -> _Plot:
    """Errors over time steps; of a single step, one row for each party."""
    worst = ", ".join(
        f"{party} {_error(float(np.max(errors, initial=0.0)))}"
        for party, errors in curves.errors.items()
    )
    label = f"Error of {name} against float64, at most: {worst}; bound {_error(curves.bound.max())}"
    if curves.steps > 1:
        return _draw(lambda axes: _draw_steps(axes, curves), 2.7, salt, label)
    height = 0.8 + 0.25 * len(curves.errors)
    return _draw(lambda axes: _draw_rows(axes, curves), height, salt, label)


def _draw(draw: Callable[[Axes], None], height: float, salt: str, label: str) -> _Plot:
    """Draws without pyplot and its global figures, and whatever matplotlibrc says."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), io.StringIO() as svg:
        matplotlib.rcdefaults()
        # Names inside the SVG come from the salt: the same each time, another in each plot.
        matplotlib.rcParams.update(_STYLE | {"svg.hashsalt": salt})
        figure = Figure(figsize=(6.2, height))
        draw(figure.add_subplot())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(svg, format="svg", transparent=True, metadata=nothing)
        return _inline(svg.getvalue(), label)


def _inline(svg: str, label: str) -> _Plot:
    """Makes an SVG file fit into a page: no style that leaks, no name twice, the page's colors."""
    body = svg[svg.index(">", svg.index("<svg ")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    for color, variable in _VARIABLES.items():
        body = body.replace(f": {color}", f": var(--{variable})")
    view_box = re.search(r'viewBox="([^"]*)"', svg)
    return _Plot(view_box[1] if view_box else "", body.strip(), label)


def _draw_steps(axes: Axes, curves: _Curves) -> None:
    few = curves.steps <= 60  # the markers of more would be a smear
    # The converted model comes first and is drawn last, so that nothing hides it.
    for party, errors in reversed(curves.errors.items()):
        look = curves.looks[party]
        marker = look.marker if few else ""
        axes.plot(_drawable(errors, curves), color=look.color, marker=marker)
    axes.plot(_drawable(curves.rounding, curves), color=_QUIET, linestyle=":")
    axes.plot(_drawable(curves.bound, curves), color=_BOUND, linestyle="--")
    if curves.judged < curves.steps:
        axes.axvspan(curves.judged - 0.5, curves.steps - 0.5, color=_QUIET, alpha=0.15, lw=0)
    axes.set(xlabel="time step", ylabel="absolute error", yscale="log", ylim=_room(curves))
    axes.locator_params(axis="x", integer=True)
    axes.yaxis.set_major_formatter("{x:.0e}")
    axes.yaxis.set_minor_formatter("")
    axes.grid(axis="y")


def _draw_rows(axes: Axes, curves: _Curves) -> None:
    for row, (party, errors) in enumerate(curves.errors.items()):
        look = curves.looks[party]
        axes.scatter(_drawable(errors, curves), [row], color=look.color, marker=look.marker)
    axes.axvline(_drawable(curves.rounding, curves)[0], color=_QUIET, linestyle=":")
    axes.axvline(_drawable(curves.bound, curves)[0], color=_BOUND, linestyle="--")
    axes.set(xlabel="absolute error", xscale="log", xlim=_room(curves))
    axes.set_yticks(range(len(curves.errors)), list(curves.errors))
    axes.set_ylim(len(curves.errors) - 0.5, -0.5)
    axes.xaxis.set_major_formatter("{x:.0e}")
    axes.xaxis.set_minor_formatter("")
    axes.grid(axis="x")


def _drawable(errors: Values, curves: _Curves) -> Values:
    """Errors that a logarithmic axis can show: zeros at its end, and gaps for NaN."""
    return np.where(np.isfinite(errors), np.clip(errors, curves.span[0], 1e40), np.nan)


def _room(curves: _Curves) -> tuple[float, float]:
    """The span with room for markers that lie on its ends."""
    low, high = curves.span
    return low / 1.6, high * 1.6


def _histogram_plot(name: str, histogram: Json, salt: str) -> _Plot:
    edges, counts = _vector(histogram["edges"]), _vector(histogram["counts"])
    label = f"Histogram of the errors of {name}: {np.nansum(counts):.0f} numbers"
    return _draw(lambda axes: _draw_histogram(axes, edges, counts), 1.9, salt, label)


def _draw_histogram(axes: Axes, edges: Values, counts: Values) -> None:
    # Bins of equal width, whatever their edges: these may be powers of ten, zero or infinity.
    bins, color = np.arange(len(counts)), _LOOKS[0].color
    axes.bar(bins, counts, width=1.0, align="edge", color=color, alpha=0.8)
    every = -(-len(edges) // 8)
    ticks = np.arange(0, len(edges), every)
    axes.set_xticks(ticks, [f"{edges[tick]:.0e}" for tick in ticks])
    axes.set(xlabel="absolute error", ylabel="numbers", yscale="symlog", ylim=(0, None))
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.grid(axis="y")
