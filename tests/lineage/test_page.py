"""Lineage as a page: whole, by itself, and with everything in the picture."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rnn_migrator.cli.main import main
from rnn_migrator.lineage.drawing import BOX_HEIGHT, BOX_WIDTH, Drawing, draw
from rnn_migrator.lineage.page import write_page
from rnn_migrator.lineage.query import lineage
from tests.lineage.test_query import REFUSED, Run

pytestmark = pytest.mark.tfx


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two models of one file, the second pushed over the first, and a third that was refused."""
    run = Run(tmp_path)
    run.push(run.evaluate(), "17")
    second = Run(tmp_path, run.writer, number=2)
    second.push(second.evaluate(), "18")
    Run(tmp_path, run.writer, number=3).evaluate(REFUSED)
    return run


class Page(HTMLParser):
    """The tags of a page that want closing, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loaded += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def written(run: Run, file: Path) -> str:
    write_page(lineage(run.folder / "serving").to_json(), file)
    return file.read_text("utf-8")


def test_the_page_stands_by_itself(run: Run, tmp_path: Path) -> None:
    text = written(run, tmp_path / "page.html")
    page = Page(text)
    assert page.open == []
    assert page.loaded == []
    assert "<script" not in text
    assert not re.search(r"url\((?!#)", text)
    assert written(run, tmp_path / "again.html") == text
    assert {file.suffix for file in tmp_path.iterdir() if file.is_file()} <= {".html", ".sqlite"}


def test_the_page_says_what_the_answer_says(run: Run, tmp_path: Path) -> None:
    words = " ".join("".join(Page(written(run, tmp_path / "page.html")).text).split())
    for number in (1, 2, 3):
        assert str(run.folder / "RnnConverter" / "model" / str(number)) in words
    assert f"superseded by {run.folder / 'serving' / '18'}" in words
    assert f"supersedes {run.folder / 'serving' / '17'}" in words
    assert "not equivalent: far off" in words
    assert "Converted model 3 of 3" in words


def test_what_was_refused_stands_out(run: Run, tmp_path: Path) -> None:
    text = written(run, tmp_path / "page.html")
    assert text.count('<g class="ModelBlessing refused">') == 1
    assert text.count('<g class="ModelBlessing">') == 2


def drawing(run: Run) -> Drawing:
    return draw(lineage(run.folder / "serving").graph)


def test_everything_is_drawn_and_nothing_on_top_of_another(run: Run) -> None:
    graph, found = lineage(run.folder / "serving").graph, drawing(run)
    assert len(found.boxes) == len(graph["artifacts"]) + len(graph["executions"])
    assert len(found.paths) == len(graph["edges"])
    for one, other in itertools.combinations(found.boxes, 2):
        assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
    for box in found.boxes:
        assert 0 <= box.x <= found.width - BOX_WIDTH
        assert 0 <= box.y <= found.height - BOX_HEIGHT


def test_time_goes_from_left_to_right(run: Run) -> None:
    for path in drawing(run).paths:
        x, *_, to_x, _ = map(int, re.findall(r"\d+", path))
        assert x < to_x


def test_what_came_from_the_cache_is_not_drawn(run: Run) -> None:
    before = len(drawing(run).boxes)
    run.writer.execution("x.RnnConverter", [run.legacy], [run.model], "CACHED")
    assert len(drawing(run).boxes) == before
    run.writer.execution("x.RnnConverter", [run.legacy], [run.model])
    assert len(drawing(run).boxes) == before + 1


def test_names_are_text(run: Run, tmp_path: Path) -> None:
    bad = run.writer.artifact("HTML", "/a<script>alert(1)</script>\"'&")
    run.writer.execution("x.<b>", [run.model], [bad])
    text = written(run, tmp_path / "page.html")
    assert "<script" not in text
    assert "<b>" not in text
    assert Page(text).open == []


def test_the_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serving, page = str(run.folder / "serving"), str(tmp_path / "new" / "page.html")
    assert main(["lineage", serving, "--html", page]) == 0
    assert Path(page).read_text("utf-8") == written(run, tmp_path / "page.html")
    assert page in capsys.readouterr().out
    store = ["--metadata", str(run.metadata)]
    assert main(["lineage", "--source", "/models/model.ckpt", *store, "--html", page]) == 0
    assert "Lineage: model.ckpt" in Path(page).read_text("utf-8")
    with pytest.raises(SystemExit) as error:
        main(["lineage", serving, "--html", page, "--json"])
    assert error.value.code == 2
