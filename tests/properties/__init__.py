import pytest

# so that a broken promise shows its values
pytest.register_assert_rewrite("tests.properties.promises")
