import gc

import pytest

from mptcp_stack.runtime.aio.process import tune_process


@pytest.fixture(autouse=True)
def _restore_thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_garbage_is_collected_less_often():
    gc.set_threshold(700, 10, 10)
    tune_process()
    tune_process()
    assert gc.get_threshold()[0] > 10_000
    assert gc.isenabled()


def test_thresholds_of_the_application_are_left_alone():
    gc.set_threshold(1000, 5, 5)
    tune_process()
    assert gc.get_threshold() == (1000, 5, 5)
