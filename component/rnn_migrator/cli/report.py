"""What the commands show in a terminal, from the JSON documents that they also write."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.tree import Tree

from rnn_migrator.errors import MigrationError
from rnn_migrator.files import plain_json
from rnn_migrator.progress import Progress

_PIPE_WIDTH = 120

output = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH, highlight=False)

_CONVERTED = "converted model"


def print_json(document: Mapping[str, Any]) -> None:
    """Prints JSON to standard output, nothing else."""
    print(json.dumps(plain_json(dict(document)), indent=1))


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Shows what is in progress on standard error: a bar in a terminal, lines elsewhere."""
    if not errors.is_terminal:
        yield lambda text, share=None: errors.print(f"… {escape(text)}")
        return
    columns = (SpinnerColumn(), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(text: str, share: float | None = None) -> None:
            total = None if share is None else 1.0
            bar.update(task, description=escape(text), total=total, completed=share or 0.0)

        yield show


def problems_json(error: MigrationError) -> list[dict[str, str]]:
    """The problems of a refusal as JSON values."""
    return [vars(problem) for problem in error.problems]


def print_problems(error: MigrationError) -> None:
    """Prints every problem of a refusal on standard error."""
    for problem in error.problems:
        errors.print(f"[bold red]✗[/] [bold]{escape(problem.where)}[/]")
        for label in ("expected", "received", "remedy"):
            errors.print(f"  {label + ':':<10}{escape(getattr(problem, label))}", soft_wrap=True)


def print_inspection(document: Mapping[str, Any]) -> None:
    """Prints source, layers and facts."""
    _print_source(document["source"])
    for key in ("stacks", "parts"):
        if document.get(key):
            found = (f"{name} ({what})" for name, what in document[key].items())
            output.print(f"[bold]{key.title():<9}[/]{escape('; '.join(found))}")
    if "layers" in document:
        _print_layers(document)
        _print_facts(document["facts"])
        for note in document["notes"]:
            output.print(f"[yellow]Note[/]     {escape(note)}")
    elif "tensors" in document:
        _print_tensors(document["tensors"])


def _print_source(source: Mapping[str, Any]) -> None:
    output.print(f"[bold]Source[/]   {escape(source['path'])}", soft_wrap=True)
    output.print(f"         {_described(source)}, sha256 {source['sha256'][:16]}…")


def _described(source: Mapping[str, Any]) -> str:
    """Format and writer of a source, as far as they are known."""
    writer = source.get("writer")
    return escape(f"{source['format']}, written by {writer}" if writer else source["format"])


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_layers(document: Mapping[str, Any]) -> None:
    kernels = {kernel["layer"]: kernel for kernel in document.get("kernels", [])}
    last = ["kernel on a GPU"] if kernels else []
    table = _table("Layers", "layer", "class", "width", "source layout", *last)
    for layer in document["layers"]:
        kernel = kernels.get(layer["name"], {})
        reason = f": {kernel['reason']}" if kernel.get("reason") else ""
        both = "bidirectional " if layer.get("bidirectional") else ""
        width = f"{layer['input_size']} → {layer['units']}" if "units" in layer else ""
        cells = [escape(layer["name"]), both + layer["class"], width, layer.get("layout", "")]
        table.add_row(*cells, *([kernel.get("kernel", "") + reason] if kernels else []))
    output.print(table)


def _print_facts(facts: Sequence[Mapping[str, Any]]) -> None:
    """One row a value and origin; layers that share both share the row."""
    rows: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for fact in facts:
        rows.setdefault((fact["name"], _value(fact["value"]), fact["origin"]), []).append(fact)
    table = _table("Facts", "fact", "value", "origin", "layers", "from")
    for (name, value, origin), members in rows.items():
        style = "yellow" if origin == "assumed" else None
        layers = ", ".join(member["layer"] for member in members)
        more = f" and {len(members) - 1} more" if len({m["source"] for m in members}) > 1 else ""
        origin = "ASSUMED" if origin == "assumed" else origin
        table.add_row(name, value, origin, layers, escape(members[0]["source"]) + more, style=style)
    output.print(table)


def _value(value: Any) -> str:
    """A value as the user would set it."""
    return "none" if value is None else str(value)


def _print_tensors(tensors: Mapping[str, Sequence[int]]) -> None:
    table = _table("Tensors", "name", "shape")
    for name, shape in tensors.items():
        table.add_row(escape(name), escape(str(list(shape))))
    output.print(table)


def print_written(folder: Path) -> None:
    """Prints where a conversion was written."""
    output.print(
        f"[bold green]✓[/] {escape(str(folder))}: saved_model/, model.keras, conversion.json"
    )


def print_evaluation(document: Mapping[str, Any]) -> None:
    """Prints errors, controls and the verdict of an evaluation."""
    table = _table(
        "Largest error against float64", "output", *_parties(document), "rounding", "bound"
    )
    for name, entry in document["outputs"].items():
        cells = [_error(entry["parties"].get(party)) for party in _parties(document)]
        table.add_row(name, *cells, f"{entry['rounding']:.1e}", f"{entry['bound']:.1e}")
    output.print(table)
    for file, tally in document["records"].items():
        output.print(f"{escape(file)}: {tally['compared']:,} of {tally['sent']:,} records compared")
    for name, one in document["coverage"].items():
        output.print(f"{name}: {escape(one['covers'])}; {one['numbers']:,} numbers", style="dim")
    for absence in document["absent_oracles"]:
        output.print(f"Not to be had: {absence['name']}: {escape(absence['reason'])}", style="dim")
    controls = _table(
        "Negative controls, which must fail", "broken on purpose", "error", "times its bound"
    )
    for name, control in document["controls"].items():
        controls.add_row(name, f"{control['error']:.2g}", f"{control['excess']:.0f}")
    output.print(controls)
    print_verdict(document)


def _parties(document: Mapping[str, Any]) -> list[str]:
    return [_CONVERTED, *document["oracles"]]


def _error(party: Mapping[str, Any] | None) -> str:
    if party is None:
        return ""
    text = f"{party['error']:.1e}"
    return text if party["excess"] <= 1.0 else f"[bold red]{text}[/]"


def print_verdict(document: Mapping[str, Any]) -> None:
    """Prints the verdict, and why, in one line; further objections below it."""
    if document["verdict"] == "blessed":
        sign, style = "✓ blessed", "bold green"
    elif document["equivalent"]:
        sign, style = "! equivalent, not proven", "bold yellow"
    else:
        sign, style = "✗ not equivalent", "bold red"
    _, _, why = document["reason"].partition(": ")
    output.print(f"[{style}]{sign}[/]  {escape(why)}", soft_wrap=True)
    for objection in document["objections"][1:]:
        output.print(f"  {escape(objection)}", soft_wrap=True)
    for found in document.get("diagnosis", []):
        likely = f"{found['party']}: {found['text']}"
        output.print(f"  [bold]Likely[/] {escape(likely)}", soft_wrap=True)


def print_run(result: Any) -> None:
    """Prints where a run left its files."""
    output.print(f"[bold]Model[/]    {escape(str(result.model))}", soft_wrap=True)
    pushed = escape(str(result.pushed)) if result.pushed else "nowhere: only blessed models are"
    output.print(f"[bold]Pushed[/]   {pushed}", soft_wrap=True)
    page = result.evaluation_file.with_name("report.html")
    output.print(f"[bold]Report[/]   {escape(str(page))}", soft_wrap=True)
    if result.cached:
        output.print(f"[bold]Cached[/]   {', '.join(result.cached)}: nothing had changed")


def print_summary(summary: Any) -> None:
    """Prints what became of each of many models, and why some are not blessed."""
    table = _table("Models", "model", "verdict", "largest error", "compared with", "seconds")
    for name, one in summary.outcomes.items():
        verdict = one["verdict"]
        style = "green" if verdict == "blessed" else "bold red"
        cached = " (cached)" if one.get("cached") else ""
        error, oracles = one.get("largest_error", ""), escape(", ".join(one.get("oracles", ())))
        cells = (escape(name), f"[{style}]{verdict}[/]{cached}", error, oracles)
        table.add_row(*cells, f"{one['seconds']:.1f}")
    output.print(table)
    for name, one in summary.outcomes.items():
        if one["verdict"] != "blessed":
            output.print(f"[bold red]✗[/] [bold]{escape(name)}[/]", soft_wrap=True)
            for problem in one.get("problems") or [{"reason": one["reason"]}]:
                for label, text in problem.items():
                    output.print(f"  {label + ':':<10}{escape(text)}", soft_wrap=True)
    tally = ", ".join(f"{number} {verdict}" for verdict, number in summary.tally.items())
    output.print(f"[bold]Summary[/]  {tally}; {summary.seconds:.0f} s")
    output.print(f"         {escape(str(summary.file))}, {summary.file.stem}.html", soft_wrap=True)


def print_compiled(compiled: Any) -> None:
    """Prints what a compiled pipeline reads and writes, and where it was written itself."""
    label = "Needs"
    for uri in compiled.needs:
        output.print(f"[bold]{label:<9}[/]{escape(uri)}", soft_wrap=True)
        label = ""
    output.print(f"[bold]Runs[/]     below {escape(compiled.root)}", soft_wrap=True)
    output.print(f"[bold]Pushes[/]   to {escape(compiled.serving)}", soft_wrap=True)
    output.print(f"[bold green]✓ compiled[/]  {escape(str(compiled.file))}", soft_wrap=True)


def print_refused(model: str) -> None:
    """Prints that one of many models is left out; why is told by `print_problems`."""
    errors.print(f"[bold red]refused[/]  {escape(model)}", soft_wrap=True)


def print_lineage(answer: Mapping[str, Any]) -> None:
    """Prints where models came from and went, as ML Metadata tells it, as a tree from the source.

    Args:
      answer: About a model, or about a legacy artifact and all that was converted from it.
    """
    tree = Tree(f"[bold]Lineage[/] of {escape(answer['asked'])}, from {escape(answer['metadata'])}")
    models = answer.get("models", [answer])
    for source, members in _by_source(models):
        _add_source(tree, source)
        if answer.get("sha256", source["sha256"]) != source["sha256"]:
            tree.add("[yellow]these bytes lie there no more[/]")
        for model in members:
            _add_model(tree.add(escape(model["model"])) if "models" in answer else tree, model)
    for sibling in answer.get("siblings", []):
        branch = tree.add(f"also made from it: {escape(sibling['model'])}")
        if sibling["source"]["path"] != answer["source"]["path"]:
            branch.add(f"the same bytes at {escape(sibling['source']['path'])}")
        _add_model(branch, sibling)
    output.print(tree)


def _by_source(
    models: Sequence[Mapping[str, Any]],
) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """The models by what they were converted from; the same path may have held other bytes."""
    found: dict[tuple[str, str], tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = {}
    for model in models:
        source = model["source"]
        found.setdefault((source["path"], source["sha256"]), (source, []))[1].append(model)
    return list(found.values())


def _add_source(tree: Tree, source: Mapping[str, Any]) -> None:
    legacy = tree.add(f"legacy artifact {escape(source['path'])}")
    legacy.add(_described(source))
    legacy.add(f"sha256 {source['sha256']}")


def _add_model(tree: Tree, model: Mapping[str, Any]) -> None:
    conversion, verdict = model["conversion"], model["verdict"]
    made = tree.add(
        f"converted by rnn-migrator {conversion['converter_version']} for {conversion['target']}"
    )
    made.add(f"run {model['run_id']} of pipeline {escape(model['pipeline'])}")
    facts = (f"{f['name']}={_value(f['value'])} ({f['origin']})" for f in conversion["facts"])
    made.add(escape(", ".join(dict.fromkeys(facts))))
    if verdict is None:
        tree.add("[yellow]never evaluated[/]")
    else:
        style = "green" if verdict["verdict"] == "blessed" else "red"
        tree.add(f"[{style}]{verdict['verdict']}[/]: {escape(verdict['reason'])}")
    for push in model["pushes"]:
        branch = tree.add(f"pushed to {escape(push['destination'])}, {push['finished']}")
        for key, words in (("supersedes", "supersedes"), ("superseded_by", "superseded by")):
            if push[key]:
                other = f"{push[key]['destination']} ({push[key]['model'] or 'another model'})"
                branch.add(f"{words} {escape(other)}")
    for one in model["made"]:
        used = f"{one['component']} made {one['type']} {one['uri']}, {one['finished']}"
        tree.add(escape(used))


def print_page(file: Path) -> None:
    """Prints where a page was written."""
    output.print(f"[bold green]✓[/] {escape(str(file))}", soft_wrap=True)


def print_audit(found: Mapping[str, Any]) -> None:
    """Prints how many digests match their record, and each that does not."""
    output.print(f"[bold]Audit[/] of {escape(found['model'])}", soft_wrap=True)
    output.print(f"against {escape(found['metadata'])}", soft_wrap=True)
    kinds: dict[str, list[Mapping[str, str]]] = {}
    for check in found["checks"]:
        kinds.setdefault(check["kind"], []).append(check)
    for kind, checks in kinds.items():
        wrong = [check for check in checks if check["outcome"] != "matches"]
        style, sign = ("bold red", "✗") if wrong else ("bold green", "✓")
        tally = f"{len(checks) - len(wrong)} of {len(checks)} match"
        output.print(f"[{style}]{sign}[/] {kind}: {tally}")
        for check in wrong:
            told = f"{check['outcome']}: {check['name']}"
            output.print(f"  [red]{escape(told)}[/]", soft_wrap=True)
            for key in ("recorded", "found"):
                if check["outcome"] == "differs":
                    output.print(f"    {key:<9}{check[key]}", soft_wrap=True)
