"""The report as a page: whole, honest about what is missing, and safe to open."""

from __future__ import annotations

import copy
import re
import shutil
import struct
import subprocess
import zlib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rnn_migrator.equivalence.report import write_report

VOID = {"meta", "br", "hr", "img", "link", "input"}
STEPS = 12
HOSTILE = "<script>alert(1)</script>"


def party(error: float, steps: int = STEPS) -> dict[str, Any]:
    return {
        "error": error,
        "case": "long",
        "step": steps - 1,
        "excess": error / 1e-6,
        "by_step": [error * (step + 1) / steps for step in range(steps)],
    }


def output(steps: int = STEPS) -> dict[str, Any]:
    return {
        "elements": 120,
        "scale": 0.75,
        "rounding": 1.2e-7,
        "bound": 1e-6,
        "parties": {"converted model": party(2e-7, steps), "legacy graph": party(3e-7, steps)},
    }


@pytest.fixture
def document() -> dict[str, Any]:
    return {
        "schema": 1,
        "verdict": "blessed",
        "equivalent": True,
        "reason": "equivalent: at most 2.0e-07 from float64",
        "objections": [],
        "unconfirmed": [],
        "cases": {"sent": 2, "compared": ["ordinary", "long"]},
        "thresholds": {"factor": 8.0, "floor": 1e-6},
        "oracles": ["legacy graph"],
        "records": {"eval.tfrecord": {"sent": 1200, "compared": 1200}},
        "coverage": {"legacy graph": {"covers": "its while loops", "numbers": 123456}},
        "absent_oracles": [{"name": "Keras 2 (tf_keras)", "reason": "not a Keras model"}],
        "outputs": {"serving_default/outputs": output(), "serving_default/h_0": output(1)},
        "controls": {"gates swapped": {"error": 1.5, "excess": 1.5e6}},
    }


@pytest.fixture
def conversion() -> dict[str, Any]:
    return {
        "source": {"path": "old/model.ckpt", "format": "TensorFlow checkpoint", "sha256": "0a1b"},
        "settings": ["time_major=true"],
        "target": "portable",
        "notes": [],
        "layers": [
            {
                "name": "lstm_0",
                "class": "LSTM",
                "bidirectional": False,
                "units": 7,
                "input_size": 4,
                "layout": "tf1_lstm",
                "inbound": ["inputs"],
            }
        ],
        "facts": [
            {
                "layer": layer,
                "name": "forget_bias",
                "value": 1.0,
                "origin": "graph",
                "source": f"{layer}/add/y",
            }
            for layer in ("lstm_0", "lstm_1")
        ],
        "kernels": [{"layer": "lstm_0", "kernel": "generic", "reason": ""}],
        "tensors": [
            {
                "layer": "lstm_0",
                "layout": "tf1_lstm",
                "sources": {"rnn/kernel": "c0ffee"},
                "targets": {"kernel": "beef", "recurrent_kernel": "cafe"},
                "note": "forget bias 1.0 summed into the bias",
            }
        ],
        "versions": {"python": "3.10.13", "tensorflow": "2.16.2"},
    }


class Page(HTMLParser):
    """A page taken apart; every element that is opened must be closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def page(document: Any, conversion: Any, folder: Path) -> Page:
    file = folder / "report.html"
    write_report(document, conversion, file)
    return Page(file.read_text("utf-8"))


def drawn(document: Any, conversion: Any, folder: Path) -> str:
    """The first plot."""
    return page(document, conversion, folder).source.partition("<svg")[2].partition("</svg>")[0]


# A whole page


def test_everything_of_the_documents_is_there(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    text = page(document, conversion, tmp_path).text
    for words in (
        "✓ Blessed",
        "equivalent: at most 2.0e-07 from float64",
        "serving_default/outputs",
        "serving_default/h_0",
        "gates swapped",
        "1,500,000 ×",
        "Keras 2 (tf_keras)",
        "not a Keras model",
        "lstm_0, lstm_1",
        "lstm_0/add/y and 1 more",
        "tf1_lstm",
        "recurrent_kernel",
        "c0ffee",
        "time_major=true",
        "2.16.2",
    ):
        assert words in text


def test_the_verdict_comes_first(document: Any, conversion: Any, tmp_path: Path) -> None:
    text = page(document, conversion, tmp_path).text
    assert text.index("✓ Blessed", text.index("Equivalence of")) < text.index("Negative controls")


def test_each_output_has_a_plot_that_says_what_it_shows(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    report = page(document, conversion, tmp_path)
    assert report.tags["svg"] == 2
    labels = report.values("aria-label")
    for name in document["outputs"]:
        assert any(name in label and "converted model 2.00e-07" in label for label in labels)


def test_names_inside_the_page_are_unique_and_links_lead_somewhere(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    report = page(document, conversion, tmp_path)
    names = report.values("id")
    assert len(names) == len(set(names))
    assert {link[1:] for link in report.values("href")} <= set(names)


def test_header_cells_say_what_they_head(document: Any, conversion: Any, tmp_path: Path) -> None:
    report = page(document, conversion, tmp_path)
    assert (
        sum(tag == "th" and name == "scope" for tag, name, _ in report.attributes)
        == (report.tags["th"])
    )


def test_it_is_the_same_each_time_and_nothing_is_left_beside_it(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    write_report(document, conversion, file)
    first = file.read_bytes()
    write_report(document, conversion, file)
    assert file.read_bytes() == first
    assert list(tmp_path.iterdir()) == [file]


# Safe to open


def test_it_loads_and_runs_nothing(document: Any, conversion: Any, tmp_path: Path) -> None:
    report = page(document, conversion, tmp_path)
    assert not re.search(r"https?://|@import|url\((?!#)", report.source)
    assert not {"script", "link", "img", "iframe", "object"} & set(report.tags)
    assert not [name for _, name, _ in report.attributes if name.startswith("on")]
    assert not report.values("src")


def test_names_from_files_are_text(document: Any, conversion: Any, tmp_path: Path) -> None:
    document["outputs"] = {HOSTILE: output(), f'"{HOSTILE}': output(1)}
    document["outputs"][HOSTILE]["parties"][HOSTILE] = party(1e-7)
    document["objections"] = [HOSTILE]
    conversion["layers"][0]["name"] = HOSTILE
    conversion["facts"][0]["source"] = HOSTILE
    conversion["tensors"][0]["sources"] = {HOSTILE: "0"}
    report = page(document, conversion, tmp_path)
    assert not report.tags["script"]
    assert "&lt;script&gt;alert(1)" in report.source
    assert HOSTILE in report.text


def test_names_of_parties_are_text_in_plots_too(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    document["outputs"] = {"h": output(1)}
    document["outputs"]["h"]["parties"] = {HOSTILE: party(1e-7, 1), "$x_{": party(1e-7, 1)}
    plot = drawn(document, conversion, tmp_path)
    assert "&lt;script&gt;" in plot
    assert "<script" not in plot
    assert "$x_{" in plot


def test_a_name_that_is_no_text_breaks_nothing(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    conversion["layers"][0]["name"] = "lstm\ud800"
    assert "lstm?" in page(document, conversion, tmp_path).text


# Verdicts


def test_an_unproven_model_names_its_assumptions(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    document |= {"verdict": "not blessed", "unconfirmed": ["forget_bias=1.0 (lstm_0)"]}
    conversion["facts"][0]["origin"] = "assumed"
    text = page(document, conversion, tmp_path).text
    assert "? Equivalent, not proven" in text
    assert "forget_bias=1.0 (lstm_0)" in text
    assert "⚠ assumed" in text
    assert "--set" in text


def wrong(document: Any) -> Any:
    document |= {
        "verdict": "not blessed",
        "equivalent": False,
        "reason": "not equivalent: converted model: too far",
        "objections": ["converted model: too far"],
    }
    document["outputs"]["serving_default/outputs"]["parties"]["converted model"] = party(5.8e-5)
    return document


def test_a_wrong_model_shows_how_far_off_it_is(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    text = page(wrong(document), conversion, tmp_path).text
    assert "✗ Not equivalent" in text
    assert "Objections converted model: too far" in text
    assert "✗ 58 ×" in text
    assert "assumed first" in text


def test_a_diagnosis_that_matches_is_what_to_try(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    common = {"party": "legacy graph", "error": 1e-7, "excess": 0.1, "text": "the cause"}
    found = common | {"cause": "bias", "where": "lstm_0", "matches": True}
    other = common | {"cause": "gates", "where": "", "matches": False}
    wrong(document)["diagnosis"] = [
        other | {"change": "--set gates=ifco"},
        found | {"change": "--set forget_bias=0"},
    ]
    text = page(document, conversion, tmp_path).text
    assert "which brings the outputs together: --set forget_bias=0" in text
    assert "--set gates=ifco" in text
    assert "the whole model" in text


def test_a_mistake_of_the_conversion_is_told_as_one(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    found = {"party": "converted model", "cause": "bias lost", "where": "lstm_0", "error": 1e-7}
    told = {"excess": 0.1, "matches": True, "change": "it should be the bias", "text": "bias lost"}
    wrong(document)["diagnosis"] = [found | told]
    text = page(document, conversion, tmp_path).text
    assert "The conversion has a mistake in it: bias lost" in text


def test_a_control_that_passes_is_told(document: Any, conversion: Any, tmp_path: Path) -> None:
    document = wrong(document) | {"controls": {"gates swapped": {"error": 0.0, "excess": 0.0}}}
    text = page(document, conversion, tmp_path).text
    assert "no, it passes" in text
    assert "--golden" in text


# What may be missing, and what may come


def test_nothing_compared_is_a_page_too(document: Any, conversion: Any, tmp_path: Path) -> None:
    wrong(document)["outputs"] = {}
    document["controls"] = {}
    assert "No output could be compared" in page(document, conversion, tmp_path).text


def test_a_conversion_that_says_little_is_a_page_too(document: Any, tmp_path: Path) -> None:
    assert "✓ Blessed" in page(document, {"source": {}}, tmp_path).text
    assert "✓ Blessed" in page(document, {}, tmp_path).text


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "nan", "inf", None])
def test_errors_that_are_no_numbers_are_told_and_not_drawn(
    document: Any, conversion: Any, tmp_path: Path, bad: Any
) -> None:
    for errors in document["outputs"].values():
        converted = errors["parties"]["converted model"]
        converted |= {"error": bad, "excess": bad}
        converted["by_step"][-1] = bad
        errors |= {"rounding": bad, "bound": bad}
    report = page(document, conversion, tmp_path)
    assert "are not drawn" in report.text
    for svg in report.source.split("<svg")[1:]:
        assert not re.search(r'd="[^"]*(nan|inf)', svg.partition("</svg>")[0])


@pytest.mark.parametrize("extreme", [0.0, 5e-324, 1e308])
def test_extreme_errors_are_drawn(
    document: Any, conversion: Any, tmp_path: Path, extreme: float
) -> None:
    for errors in document["outputs"].values():
        errors["parties"]["converted model"]["by_step"][0] = extreme
    assert ("exactly 0" in page(document, conversion, tmp_path).text) == (extreme == 0.0)


def test_steps_that_are_not_judged_are_shaded(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    plain = drawn(document, conversion, tmp_path)
    document["outputs"]["serving_default/outputs"]["judged_steps"] = 8
    report = page(document, conversion, tmp_path)
    assert "Steps from 8 on are shaded: drift, shown, not judged." in report.text
    assert "not judged" in report.text.partition("Worst cases Largest")[2]
    assert "opacity: 0.15" in drawn(document, conversion, tmp_path)
    assert "opacity: 0.15" not in plain


def test_limits_by_step_are_drawn(document: Any, conversion: Any, tmp_path: Path) -> None:
    plain = drawn(document, conversion, tmp_path)
    grown = [1e-6 * 1.5**step for step in range(STEPS)]
    document["outputs"]["serving_default/outputs"] |= {
        "bound_by_step": grown,
        "rounding_by_step": [bound / 10 for bound in grown],
    }
    assert drawn(document, conversion, tmp_path) != plain


def test_worst_cases_are_listed_furthest_first(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    document["outputs"]["serving_default/outputs"]["parties"]["converted model"]["worst"] = [
        {"key": "ragged", "step": 3, "error": 1e-7},
        {"key": "saturating", "step": 4, "error": 9e-7},
        {"key": "broken", "step": 5, "error": "nan"},
    ]
    text = page(document, conversion, tmp_path).text.partition("Worst cases Largest")[2]
    assert text.index("broken") < text.index("saturating") < text.index("ragged")


def test_how_errors_are_spread_is_shown(document: Any, conversion: Any, tmp_path: Path) -> None:
    parties = document["outputs"]["serving_default/outputs"]["parties"]
    for party, median in (("converted model", 1.5e-8), ("legacy graph", 2.5e-8)):
        counts = {"edges": [0.0, 1e-9, 1e-8, "inf"], "counts": [3, 100, 2]}
        parties[party] |= {"histogram": counts, "quantiles": {"0.5": median, "0.999": 1e-7}}
    parties["legacy graph"]["agreement"] = {"argmax": 0.999996, "top_2": 1 - 1e-9, "top_5": 1.0}
    parties["legacy graph"]["converted_ratio"] = 0.67
    report = page(document, conversion, tmp_path)
    assert report.tags["svg"] == 3
    assert any("Histogram" in label and "105" in label for label in report.values("aria-label"))
    assert "Half of them are below 1.50e-08, 99.9 % below 1.00e-07" in report.text
    assert "argmax 99.9996 %, top 2 > 99.9999 %, top 5 100 %" in report.text
    assert "0.67 × that of legacy graph" in report.text


def test_what_was_compared_is_shown(document: Any, conversion: Any, tmp_path: Path) -> None:
    text = page(document, conversion, tmp_path).text
    assert "Records of eval.tfrecord 1200 of 1200 compared" in text
    assert "legacy graph its while loops 123,456" in text


def test_the_documents_are_left_as_they_were(
    document: Any, conversion: Any, tmp_path: Path
) -> None:
    before = copy.deepcopy((document, conversion))
    write_report(document, conversion, tmp_path / "report.html")
    assert (document, conversion) == before


# In a browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH to take a screenshot with")
def test_a_browser_shows_it(document: Any, conversion: Any, tmp_path: Path) -> None:
    report, picture = tmp_path / "report.html", tmp_path / "report.png"
    write_report(document, conversion, report)
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1000,1400",
        f"--screenshot={picture}",
        report.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert len(set(pixels(picture.read_bytes()))) > 100


def pixels(png: bytes) -> bytes:
    """The filtered bytes of a picture; those of a blank one are nearly all the same."""
    data, position = b"", 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += length + 12
    return zlib.decompress(data)
