import pytest

pytest.register_assert_rewrite(
    "tests.properties.promises"
)  # so that a broken promise shows its values
