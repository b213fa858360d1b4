import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from depthmix.cli.main import main
from depthmix.plot.cloud import points_of
from depthmix.sources import FolderSource
from depthmix.view import build_view, items_of_run, items_of_sets, items_of_source, write_recording
from tests.browser.accessibility import problems
from tests.report.make_run import HOSTILE
from tests.report.test_page import read


def articles(page):
    return [attributes for tag, attributes in page.tags if tag == "article"]


def test_prepared_sets_are_shown_with_all_that_filters_ask_for(data_root, tmp_path, capsys):
    out = tmp_path / "new" / "x.html"
    assert main(["view", str(data_root), "--out", str(out), "--samples", "8"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    text = out.read_text()
    page = read(text)
    shown = articles(page)
    assert [one["data-source"] for one in shown] == [
        name for name in ("kitti", "planes", "stereo", "web") for _ in range(2)
    ]
    assert {one["data-tier"] for one in shown} == {"HIGH", "WEAK", "MIDDLE", "LOW"}
    assert "metric depth" in {one["data-kind"] for one in shown}
    alts = " ".join(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    for part in ("image of kitti/a", "metric depth of", "valid (green)", "planes of planes/", "normals"):
        assert part in alts
    assert problems(text) == []
    [policy] = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert re.search("default-src 'none'; .*; script-src 'sha256-[^']+'$", policy)


def test_one_set_alone_and_few_samples_are_spread_over_it(data_root):
    found = items_of_sets(data_root / "kitti", 2)
    assert [item.sample.key for item in found.chosen] == ["a", "bb"]
    assert not found.problems
    assert [item.source for item in items_of_sets(data_root, 3).chosen] == ["kitti", "planes", "stereo"]


def test_a_run_is_shown_with_predictions_and_the_worst_of_its_training(run, data_root, tmp_path):
    found = items_of_run(run, data_root, 8)
    assert len(found.chosen) <= 8
    [worst] = [item for item in found.chosen if item.score is not None]
    assert (worst.source, worst.sample.key, worst.score) == ("web", HOSTILE, 4.5)
    assert {item.role for item in found.chosen} == {"training", "test"}
    assert all(item.depth is not None for item in found.chosen)
    text = build_view(found, tmp_path / "v.html").read_text()
    assert "worst loss first" in text
    assert "<script>alert" not in text
    assert HOSTILE in " ".join(read(text).text)
    assert problems(text) == []


def test_a_run_finds_its_sets_by_its_configuration_or_says_what_to_give(run, data_root, monkeypatch, capsys):
    monkeypatch.chdir(data_root.parent)  # `root: mix` of its configuration
    assert items_of_run(run, None, 4).chosen
    monkeypatch.chdir("/")
    assert main(["view", str(run)]) == 1
    assert "no prepared set of this run was found; say where the prepared sets lie: --data" in (
        capsys.readouterr().err
    )
    (run / "config.yaml").unlink()
    assert main(["view", str(run)]) == 1
    assert "config.yaml" in capsys.readouterr().err


def test_raw_data_is_shown_through_its_source_and_what_cannot_be_read_is_said(tmp_path):
    import cv2

    raw = tmp_path / "raw"
    for folder in ("rgb", "depth"):
        (raw / folder).mkdir(parents=True)
    for name in ("a", "b"):
        cv2.imwrite(str(raw / "rgb" / f"{name}.png"), np.full((24, 32, 3), 90, np.uint8))
        cv2.imwrite(str(raw / "depth" / f"{name}.png"), np.full((24, 32), 2000, np.uint16))
    (raw / "depth" / "b.png").write_bytes(b"broken")
    source = FolderSource(
        raw,
        quality="HIGH",
        images="rgb/*.png",
        labels="depth/*.png",
        encoding="png16",
        means="depth",
        per_unit=1000,
        missing=[0],
    )
    found = items_of_source(source, 5)
    assert [item.sample.key for item in found.chosen] == ["a"]
    assert "b.png" in found.problems[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["{root}", "--samples", "0"], "--samples: must be from 1 to 500, got 0"),
        (["{root}", "--option", "a=1"], "--option: only a source has options"),
        (["{empty}"], "no prepared set and no run here; for raw data say which source reads it: --source"),
        (["{root}", "--source", "KitiLidar"], "KittiLidar"),
        (["{root}", "--rrd", "x.rrd"], "--rrd: needs the package rerun-sdk; pip install 'depthmix[rerun]'"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(data_root, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.setitem(sys.modules, "rerun", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    filled = [one.format(root=data_root, empty=tmp_path / "empty") for one in arguments]
    assert main(["view", *filled]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_open_hands_the_page_to_the_browser(data_root, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    out = tmp_path / "x.html"
    assert main(["view", str(data_root / "kitti"), "--out", str(out), "--samples", "1", "--open"]) == 0
    assert opened == [out.as_uri()]


class FakeRerun(SimpleNamespace):
    """Remember what a recording is told, in place of rerun-sdk."""

    def __init__(self):
        super().__init__(told=[], steps=[], saved="", ViewCoordinates=SimpleNamespace(RDF="rdf"))
        for name in ("TextDocument", "Pinhole", "Image", "SegmentationImage", "DepthImage", "Tensor",
                     "Points3D", "Clear"):  # fmt: skip
            setattr(self, name, lambda *values, kind=name, **more: (kind, values, more))

    def init(self, name):
        assert name == "depthmix"

    def save(self, path):
        self.saved = path

    def set_time(self, timeline, *, sequence):
        self.steps.append((timeline, sequence))

    def log(self, path, value):
        self.told.append(("/".join(path), value))


def test_a_recording_holds_image_label_camera_and_points_step_by_step(run, data_root, tmp_path, monkeypatch):
    fake = FakeRerun()
    monkeypatch.setitem(sys.modules, "rerun", fake)
    items = items_of_run(run, data_root, 4)
    assert write_recording(items, tmp_path / "new" / "x.rrd") == tmp_path / "new" / "x.rrd"
    assert fake.saved.endswith("x.rrd")
    assert fake.steps == [("sample", number) for number in range(len(items.chosen))]
    told = {}
    for path, value in fake.told:
        told.setdefault(path, value)
    stereo = next(item.sample for item in items.chosen if item.source == "stereo")
    kind, [depth], more = told["stereo/camera/label"]
    assert (kind, more) == ("DepthImage", {"meter": 1.0})
    np.testing.assert_array_equal(depth, np.where(stereo.valid, stereo.target, 0))
    _, _, pinhole = told["stereo/camera"]
    assert pinhole["principal_point"] == [stereo.intrinsics.cx + 0.5, stereo.intrinsics.cy + 0.5]
    _, [places], _ = told["stereo/points/label"]
    seen = stereo.valid & ~stereo.sky
    np.testing.assert_array_equal(places, points_of(stereo.target, stereo.intrinsics)[seen])
    assert told["web/camera/label"][0] == "Tensor"
    assert "stereo/points/prediction" in told
    assert told["planes/camera/planes"][1][0].dtype == np.uint16
    assert "planes/camera/label" not in told


def test_a_set_of_nothing_readable_ends_with_one_and_says_why(tmp_path, data_root, capsys):
    import shutil

    copy = tmp_path / "kitti"
    shutil.copytree(data_root / "kitti", copy)
    for shard in copy.glob("*.h5"):
        shard.unlink()
    out = tmp_path / "x.html"
    assert main(["view", str(copy), "--out", str(out)]) == 1
    words = " ".join(read(out.read_text()).text)
    assert "No sample could be read" in words
    assert "problem" in words
