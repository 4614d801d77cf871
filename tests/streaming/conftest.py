import pytest

from kimi_demo.engine.factory import create_engine


@pytest.fixture(scope="module")
def engine():
    """The embedded checkpoint, loaded once for the tests of a file."""
    built = create_engine("nano", "cpu")
    yield built
    built.close()
