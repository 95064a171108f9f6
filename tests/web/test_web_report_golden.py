"""Records of small nets that the page's own tests read (web/test/golden/blocks.json), held to what is traced now."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from reports import traced

from gradpath.report._layout import layout

GOLDEN = Path(__file__).parents[2] / "web" / "test" / "golden" / "blocks.json"
NETS = ("residual", "projection", "dense", "plain", "unet", "lstm")
KEPT = ("model", "layers", "forks", "graph")


def case(name: str) -> dict[str, Any]:
    flow = traced(name)
    record = json.loads(flow.to_json())
    for layer in record["layers"]:
        layer["numerics"] = None
    return {"record": {field: record[field] for field in KEPT}, "layout": layout(flow)}


def structure(found: dict[str, Any]) -> Any:
    """All that does not depend on rounding: the graph, the forks' names, kinds and merges, how the layout nests."""
    record = found["record"]
    forks = [
        (fork["name"], fork["kind"], fork["merge"], [edge["kind"] for edge in fork["edges"]])
        for fork in record["forks"]
    ]
    groups = [(group["name"], group["prototype"], group["items"]) for group in found["layout"]["groups"]]
    return json.loads(json.dumps([record["graph"], [layer["scope"] for layer in record["layers"]], forks, groups]))


def test_the_page_s_tests_read_records_as_they_are_traced_now() -> None:
    """`GRADPATH_WRITE=1 pytest` writes them anew."""
    found = {name: case(name) for name in NETS}
    if os.environ.get("GRADPATH_WRITE"):
        GOLDEN.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    written = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert {name: structure(one) for name, one in written.items()} == {
        name: structure(one) for name, one in found.items()
    }
