"""What every source does to the process it lives in."""

import multiprocessing

import cv2

import depthmix.sources.base  # noqa: F401  # registers what is to be seen here


def test_a_forked_process_leaves_the_threads_of_opencv_behind():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(cv2.getNumThreads).get(timeout=60) == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
