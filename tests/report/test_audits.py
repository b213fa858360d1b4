import pytest

from depthmix.report.audits import audit_sets
from depthmix.report.collect import collect
from depthmix.report.worst import worst_in_evaluation, worst_in_training


@pytest.fixture
def facts(run, data_root):
    return collect(run, data_root)


def test_every_set_is_audited_with_unit_focal_length_histogram_and_map(facts):
    found = {one.name: one for one in audit_sets(facts)}
    assert found.keys() == {"web", "kitti", "planes", "stereo"}
    assert found["kitti"].unit.startswith("plausible")
    assert found["web"].unit == "no unit to check"
    assert found["stereo"].focal.startswith("60 px")
    assert found["web"].focal == "not known"
    assert found["kitti"].histogram
    assert found["web"].histogram is None
    assert not found["planes"].coverage
    assert "of the upper" in found["stereo"].coverage_words
    assert found["stereo"].read == "3 of 3"


def test_the_worst_samples_have_their_losses_and_pictures_where_they_still_exist(facts):
    table = worst_in_training(facts)
    assert [row.source for row in table.rows] == ["web", "gone"]
    assert table.heads == ["mean score", "weight", "seen", "loss <i>term</i>", "loss ssi"]
    assert table.rows[0].numbers == ["4.5", "0.4", "3", "-", "0.75"]
    assert len(table.strips) == 1


def test_the_worst_image_of_a_set_stands_beside_the_median(facts):
    table = worst_in_evaluation(facts)
    [row] = table.rows
    assert (row.sample, row.numbers) == ("stereo/bb", ["abs rel", "0.5", "0.15", "3"])
    assert len(table.strips) == 1
    facts.images = facts.images[:1]
    assert worst_in_evaluation(facts) is None
