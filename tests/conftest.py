"""What holds in every test: fixed seeds, checks between the passes, and caches that are the test run's own."""

import os

import pytest
import torch

from graphwright.base.config import config


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory):
    """Keep the user's cache out of the tests, those in subprocesses included."""
    folder = str(tmp_path_factory.mktemp("cache"))
    os.environ["GRAPHWRIGHT_CACHE_DIR"] = folder
    with config.patch(cache_dir=folder, verify=True):
        yield


@pytest.fixture(autouse=True)
def fixed_seed():
    """Give every test the same random numbers, in whatever order the tests run."""
    torch.manual_seed(0)
