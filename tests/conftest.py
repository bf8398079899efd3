"""Prompts that the program keeps for later runs go to a folder of this session: no test sees what an earlier build encoded."""

import atexit
import os
import shutil
import tempfile

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="thalweg-cache-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: takes minutes by its nature; `make soak` runs it, `make test` does not")
