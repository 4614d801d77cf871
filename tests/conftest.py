"""What all tests share. Tiny models compute fastest on one thread, and repeat exactly; so were the
golden data made.
"""

import pytest
import torch

from tests.release import write_release


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """A release in miniature, to be read only; its speech tokenizer lies beside it."""
    return write_release(tmp_path_factory.mktemp("release"))
