"""Sessions as files that other programs read. One file here for each format; each is written as it is made."""

from __future__ import annotations

from collections.abc import Callable

from axon_shell import Exporter, hookimpl

from . import csv_table, gexf, graphml, html_page, json_document, json_lines, svg_strip


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """All of them."""
    register(Exporter("html", ".html", html_page.write, "a page that replays the session in any browser, offline"))
    register(Exporter("json", ".json", json_document.write, "one JSON document with start, steps and end"))
    register(Exporter("jsonl", ".jsonl", json_lines.write, "JSON lines, the same as --json prints"))
    register(Exporter("csv", ".csv", csv_table.write, "activations, one row for each feature that fired at a token"))
    register(Exporter("graphml", ".graphml", graphml.write, "the graph of the features, for Cytoscape, yEd, NetworkX"))
    register(Exporter("gexf", ".gexf", gexf.write, "the graph of the features, for Gephi"))
    register(Exporter("svg", ".svg", svg_strip.write, "a picture of the tokens, colored by surprise"))
