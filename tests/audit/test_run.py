"""An audit finds each fault that real copies of data sets have, and nothing in a sound source."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.audit import audit_source, compare_audits
from depthmix.audit.page import write_page
from depthmix.audit.pairs import measure_pair
from depthmix.audit.run import PreparedSet, spread_out
from depthmix.errors import BadSource
from depthmix.prepare import prepare
from depthmix.sample import Intrinsics, Sample
from depthmix.sources.stereo import StereoViews
from tests.audit.toy import INVERSE, METRES, Views, WithFiles
from tests.data.known import known_view


def found(source: Views, **options) -> dict[str, str]:
    """Return level and text of each rule that spoke."""
    audit = audit_source(source, **options)
    return {finding.what: f"{finding.level}: {finding.text}" for finding in audit.findings}


def target(change):
    def changed(sample: Sample) -> Sample:
        values = change(np.where(sample.valid, sample.target, 1))
        return sample.replaced(target=values.astype(np.float32))

    return changed


@pytest.mark.parametrize("card", [METRES, INVERSE])
def test_nothing_is_wrong_with_sound_views(tmp_path: Path, card):
    assert found(Views(tmp_path, card=card, disparity_scale=1.0)) == {}


def test_millimetres_are_noticed(tmp_path: Path):
    said = found(Views(tmp_path, change=target(lambda z: z * 1000)))["unit"]
    assert said.startswith("problem")
    assert "millimetres" in said


def test_a_normalised_map_is_no_metres(tmp_path: Path):
    assert "0..1" in found(Views(tmp_path, change=target(lambda z: z / 150)))["unit"]


def test_a_far_code_taken_for_depth_is_noticed(tmp_path: Path):
    def keep_sky(sample: Sample) -> Sample:
        far = np.where(sample.sky, np.float32(65.535), sample.target)
        return sample.replaced(
            target=far, valid=np.ones(sample.size, np.bool_), sky=np.zeros_like(sample.sky)
        )

    said = found(Views(tmp_path, change=keep_sky))["sentinel"]
    assert said.startswith("warning")
    assert "65.535" in said


def test_depth_taken_for_inverse_depth_is_noticed(tmp_path: Path):
    said = found(Views(tmp_path, card=INVERSE, change=target(lambda d: 1 / d)))["order"]
    assert said.startswith("problem")


def test_pictures_upside_down_are_noticed(tmp_path: Path):
    def turn(sample: Sample) -> Sample:
        upside = {name: getattr(sample, name)[::-1] for name in ("image", "target", "valid", "sky", "planes")}
        return sample.replaced(**upside)

    said = found(Views(tmp_path, change=turn))
    assert said["order"].startswith("problem")
    assert "lower part" in said["sky"]


def test_a_label_that_was_moved_is_found_with_its_offset(tmp_path: Path):
    def move(sample: Sample) -> Sample:
        moved = {name: np.roll(getattr(sample, name), (0, 3), (0, 1)) for name in ("target", "valid", "sky")}
        return sample.replaced(**moved, planes=np.zeros_like(sample.planes))

    assert "-3 px to the right and +0 px down" in found(Views(tmp_path, change=move))["edges"]


def test_a_label_of_another_picture_is_noticed(tmp_path: Path):
    def blur(sample: Sample) -> Sample:
        random = np.random.default_rng(int(sample.key))
        return sample.replaced(image=random.integers(0, 256, sample.image.shape).astype(np.uint8))

    assert "by chance" in found(Views(tmp_path, change=blur))["edges"]


def test_a_camera_of_another_size_is_noticed(tmp_path: Path):
    def shrink(sample: Sample) -> Sample:
        return sample.replaced(intrinsics=Intrinsics(1000, 1000, 640, 480))

    said = audit_source(Views(tmp_path, change=shrink)).findings
    assert {("problem", "camera"), ("warning", "camera")} <= {(one.level, one.what) for one in said}


def test_masks_that_are_no_planes_are_noticed(tmp_path: Path):
    assert "planes" in found(Views(tmp_path, change=target(lambda z: z * (1 + 0.2 * np.sin(z * 9)))))


def test_eight_bit_labels_are_noticed(tmp_path: Path):
    assert "8 bits" in found(Views(tmp_path, change=target(lambda z: np.ceil(z * 10) / 10)))["few values"]


def test_the_few_values_of_a_depth_camera_are_no_eight_bits(tmp_path: Path):
    # The steps of the first Kinect; a real frame of the Redwood data has 191 values in 1.0 .. 2.7 m.
    def kinect(z: np.ndarray) -> np.ndarray:
        return np.round(351.3 / (1092.5 - np.round(1092.5 - 351.3 / z)), 3)

    views = Views(tmp_path, change=target(kinect))
    assert len(np.unique(views.read("000").target)) < 256
    assert "few values" not in found(views)


def test_a_label_with_one_value_is_a_problem(tmp_path: Path):
    assert found(Views(tmp_path, change=target(lambda z: z * 0 + 3)))["flat"].startswith("problem")


def test_a_card_that_promises_dense_labels_is_held_to_it(tmp_path: Path):
    def thin(sample: Sample) -> Sample:
        keep = np.zeros(sample.size, np.bool_)
        keep[::3, ::3] = True
        return sample.replaced(valid=sample.valid & keep)

    assert "dense" in found(Views(tmp_path, change=thin))["density"]


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_wrong_scale_of_disparity_is_found_with_its_factor(tmp_path: Path, scale: float):
    text = found(Views(tmp_path, disparity_scale=scale))["pairs"]
    assert text.startswith("problem")
    factor = float(re.findall(r"finds ([0-9.]+) times", text)[0])
    assert factor == pytest.approx(1 / scale, rel=0.08)


def test_a_disparity_beyond_the_usual_search_is_found_as_well(tmp_path: Path):
    view = known_view(3, size=(96, 128), has_sky=False)
    disparity = np.full(view.size, 50, np.float32)  # 0.39 of the width
    right = np.roll(view.image, -50, 1)
    valid = np.indices(view.size)[1] >= 50
    measured = measure_pair(StereoViews(view.image, right, disparity, valid))
    assert measured.slope == pytest.approx(1, abs=0.02)
    # A scale that is wrong by far is still seen, and does not make the search as wide as it says.
    wrong = measure_pair(StereoViews(view.image, right, disparity * 256, valid))
    assert wrong.slope is not None
    assert wrong.slope < 0.01


def test_unreadable_samples_are_counted_and_named(tmp_path: Path):
    audit = audit_source(Views(tmp_path, broken=(2, 4)))
    assert [one.key for one in audit.failures] == ["002", "004"]
    assert audit.findings[0].what == "unreadable"
    assert "is broken on purpose" in audit.findings[0].text
    assert len(audit.samples) == 4


def test_a_picture_that_occurs_twice_is_found_even_scaled_and_compressed(tmp_path: Path):
    def copied(sample: Sample) -> Sample:
        coded = cv2.imencode(".jpg", sample.image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        small = cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), (90, 70), interpolation=cv2.INTER_AREA)
        return sample.replaced(image=cv2.resize(small, (128, 96)))

    one = audit_source(Views(tmp_path, name="one"))
    other = audit_source(Views(tmp_path, name="other", first=4, change=copied))
    shared = compare_audits(one, other, evaluation=False)
    assert [(finding.level, finding.what) for finding in shared] == [("warning", "shared")]
    assert shared[0].keys == ("004 = 004", "005 = 005")
    assert [finding.level for finding in compare_audits(one, other, evaluation=True)] == ["problem"]
    assert compare_audits(one, audit_source(Views(tmp_path, first=20)), evaluation=True) == []


def test_a_mirrored_picture_is_the_same_picture(tmp_path: Path):
    mirrored = audit_source(
        Views(tmp_path, name="b", change=lambda sample: sample.replaced(image=sample.image[:, ::-1].copy()))
    )
    assert compare_audits(audit_source(Views(tmp_path)), mirrored, evaluation=True)[0].what == "leak"


def test_the_limit_spreads_over_the_keys_and_workers_change_nothing(tmp_path: Path):
    assert spread_out([str(i) for i in range(10)], 4) == ["0", "2", "5", "7"]
    assert spread_out(["a", "b"], 0) == spread_out(["a", "b"], 5) == ["a", "b"]
    audit = audit_source(Views(tmp_path, count=9), limit=3)
    assert (audit.count, [one.key for one in audit.samples]) == (9, ["000", "003", "006"])


def test_a_prepared_set_is_audited_like_its_raw_data(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    source = WithFiles(tmp_path / "raw")
    prepare(source, tmp_path / "set")
    raw, stored = audit_source(source), audit_source(PreparedSet(tmp_path / "set"))
    assert (stored.name, stored.count, stored.findings) == (raw.name, raw.count, [])
    assert stored.card.plain() == raw.card.plain()
    for name, values in raw.summary().items():
        if name == "distinct":
            continue  # depth is kept with 16 bits
        np.testing.assert_allclose(stored.summary()[name], values, rtol=0.1, atol=0.05)


def test_the_record_is_json_and_holds_every_sample(tmp_path: Path):
    plain = json.loads(json.dumps(audit_source(Views(tmp_path, broken=(1,), disparity_scale=1.0)).plain()))
    assert (plain["count"], plain["read"], len(plain["samples"]), len(plain["pairs"])) == (6, 5, 5, 5)
    assert plain["summary"]["median"][0] > 1


def test_the_summary_leaves_out_what_a_source_has_not(tmp_path: Path):
    summary = audit_source(Views(tmp_path)).summary()
    assert "median" in summary
    assert not {"sky", "planes", "plane_share", "pairs"} & {
        name for name, values in summary.items() if not any(values)
    }


def test_a_source_without_samples_is_refused_by_the_source(tmp_path: Path):
    with pytest.raises(BadSource):
        audit_source(Views(tmp_path / "absent"))


def test_the_page_shows_findings_numbers_and_pictures_and_escapes_names(tmp_path: Path):
    card = replace(METRES, licence="<b>free</b>")
    source = Views(tmp_path, card=card, broken=(3,), change=target(lambda z: z * 1000))
    text = write_page(tmp_path / "deep" / "page.html", [(source, audit_source(source))]).read_text()
    assert "millimetres" in text
    assert "&lt;b&gt;free" in text
    assert "<b>free" not in text
    assert text.count("<img ") >= 8
    assert "is broken on purpose" in text
    assert "<script" not in text


def test_the_page_draws_the_samples_that_findings_name(tmp_path: Path):
    # Of 40 samples only the last one has a camera that cannot be: four drawn at even distances miss it.
    def shrink(sample: Sample) -> Sample:
        return sample.replaced(intrinsics=Intrinsics(9000, 9000, 64, 48)) if sample.key == "039" else sample

    source = Views(tmp_path, count=40, change=shrink)
    text = write_page(tmp_path / "page.html", [(source, audit_source(source))]).read_text()
    drawn = re.findall(r"<h4>views/(\d+)", text)
    assert drawn[0] == "039"
    assert len(drawn) == 4
