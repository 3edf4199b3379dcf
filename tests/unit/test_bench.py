"""What the benchmarks read of the report is in its schema."""

import ast
import inspect
import json
from importlib.resources import files

from tests.bench import roll


def test_the_roll_benchmark_reads_only_what_the_report_has() -> None:
    schema = json.loads(files("kafka_rolling_restart").joinpath("report.schema.json").read_text())
    tree = ast.parse(inspect.getsource(roll))
    read = {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "record"
        and isinstance(node.slice, ast.Constant)
    }
    assert read
    assert read <= set(schema["properties"]["brokers"]["items"]["properties"])
