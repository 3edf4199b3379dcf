"""The schema of the report file, with a check of what is to be a moment."""

import json
from datetime import datetime
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    """Tell whether it is a time with a zone; jsonschema itself checks that only with another
    package."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _validator() -> Draft202012Validator:
    schema = json.loads(
        files("kafka_rolling_restart").joinpath("report.schema.json").read_text(encoding="utf-8")
    )
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FORMATS)


VALIDATOR = _validator()


def valid(text: str) -> dict[str, Any]:
    """Return the report that a text holds. Raises jsonschema's `ValidationError` where it is not as
    it should be."""
    found: dict[str, Any] = json.loads(text)
    VALIDATOR.validate(found)
    return found
