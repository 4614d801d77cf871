import pytest

from kimi_demo.engine.factory import create_engine
from kimi_demo.options import ModelOptions


@pytest.fixture(scope="module")
def engine():
    """The embedded checkpoint, loaded once for the tests of a file."""
    built = create_engine(ModelOptions(device="cpu"))
    yield built
    built.close()
