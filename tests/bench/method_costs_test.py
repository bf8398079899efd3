"""The table of costs in docs/methods.md is what `thalweg plan` counts now."""

import pathlib
import re
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent)]

import method_costs  # noqa: E402


def test_the_page_has_the_counts_of_today():
    shown = re.search(r"<!-- costs -->\n(.*?)\n<!-- end costs -->", method_costs.PAGE.read_text(), re.DOTALL).group(1)
    assert shown == method_costs.table(), "run .deps/venv/bin/python tests/bench/method_costs.py --write"


def test_hand_counts():
    """Flow-GRPO's four steps of ten with noise are replayed once each, DiffusionNFT's four noise levels by two policies."""
    flow_grpo, nft = method_costs.counts("flow_grpo_tiny"), method_costs.counts("nft_tiny")
    assert flow_grpo["rollout"]["network_evaluations"] == pytest.approx(10)
    assert (flow_grpo["training"]["network_evaluations"], flow_grpo["training"]["network_gradients"]) == pytest.approx((4, 4))
    assert (nft["training"]["network_evaluations"], nft["training"]["network_gradients"]) == pytest.approx((8, 4))
