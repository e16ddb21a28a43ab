# SPDX-License-Identifier: Apache-2.0
"""Every case of the ONNX backend suite that passed once still passes."""

import onnx_node_suite as suite
import pytest

pytest.importorskip("onnx")


def test_listed_cases_pass():
    names = suite.listed()
    if not names:
        pytest.skip("the list is empty")
    results = suite.run_all(suite.case_folder(), names)
    lost = {name: reason for name, (status, reason) in results.items() if status != "passed"}
    report = "\n".join(f"{name}: {reason}" for name, reason in sorted(lost.items()))
    assert not lost, f"{len(lost)} of {len(names)}:\n{report}\nrepeat one with: python onnx_node_suite.py NAME"


def test_every_case_is_listed_or_excluded_with_a_reason():
    cases, passing, excluded = set(suite.all_cases(suite.case_folder())), set(suite.listed()), suite.excluded()
    assert not passing & set(excluded), "both listed as passing and excluded"
    assert passing | set(excluded) == cases, "the two lists together must be the suite"
    assert all(excluded.values()), "a case is excluded for a reason"
