"""Write the JSON Schema of the records beside them: python scripts/write_schema.py (a test tells when it is due)."""

from __future__ import annotations

import json
from pathlib import Path

import gradpath.record
from gradpath.record._schema import json_schema

target = Path(gradpath.record.__file__).parent / f"schema-{gradpath.record.SCHEMA_VERSION}.json"
target.write_text(json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
print(target)
