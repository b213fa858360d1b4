import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.layout import check_size, files_below, files_by_stem, image_of_size, look_up, path_below


def test_files_are_sorted_by_stem_and_others_left_out(tmp_path):
    for name in ("b.PNG", "a-1.jpg", "a.jpeg", "notes.txt", ".hidden"):
        (tmp_path / name).touch()
    assert list(files_by_stem(tmp_path)) == ["a", "a-1", "b"]


def test_two_files_of_one_stem_are_refused(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(BadSource, match=r"a\.png: has the same stem as a\.jpg"):
        files_by_stem(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadSource, match=r"holds no \.jpg, \.jpeg, \.png file; give the folder"):
        files_by_stem(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(BadSource, match=r"cannot be read: PermissionError: .*; check the permissions"):
        files_by_stem(tmp_path)


def test_files_below_are_names_with_forward_slashes(tmp_path):
    for name in ("b/rgb/1.png", "a/rgb/2.png", "a/rgb/._2.png", ".trash/rgb/3.png", "a/depth/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path, "*/rgb/*.png", expected="scenes") == ["a/rgb/2.png", "b/rgb/1.png"]
    with pytest.raises(BadSource, match=r"holds no \*/ir/\*\.png; expected scenes"):
        files_below(tmp_path, "*/ir/*.png", expected="scenes")


def test_a_label_of_another_size_is_named_with_its_picture(tmp_path):
    label, image = np.zeros((4, 5)), np.zeros((4, 6, 3))
    with pytest.raises(BadSource, match=r"d\.png: is 4 x 5, but its image .*i\.png is 4 x 6"):
        check_size(label, tmp_path / "d.png", image, tmp_path / "i.png")
    check_size(image, tmp_path / "d.png", image, tmp_path / "i.png")


@pytest.mark.parametrize(("shape", "said"), [((), "one number"), ((4,), "4"), ((0, 4), "0 x 4")])
def test_a_label_that_is_no_map_is_refused_by_its_shape(tmp_path, shape, said):
    with pytest.raises(BadSource, match=f"is {said}, but its image"):
        check_size(np.zeros(shape), tmp_path / "d.npy", np.zeros((4, 6, 3)), tmp_path / "i.png")


@pytest.mark.parametrize("name", ["", "/dev/zero", "../x", "a/../../x", "a\0b", None, 3.0, ["a"]])
def test_a_table_names_files_below_the_root_only(name):
    assert path_below("a/b..c/d.png") == "a/b..c/d.png"
    with pytest.raises(ValueError, match="must be a path below the root, got"):
        path_below(name)


def test_a_picture_shrinks_to_its_label_by_averaging_and_its_camera_with_it():
    image = np.zeros((4, 8, 3), np.uint8)
    image[::2, ::2] = 200
    small, camera = image_of_size(image, Intrinsics(10, 12, 3.5, 1.5), (2, 4))
    assert small.shape == (2, 4, 3)
    assert np.unique(small).tolist() == [50]
    assert camera == Intrinsics(5, 6, 1.5, 0.5)
    same, none = image_of_size(image, None, (4, 8))
    assert same is image
    assert none is None


def test_an_unknown_key_is_named_with_its_source(tmp_path):
    with pytest.raises(BadSource, match="web/x: no sample has this key"):
        look_up({"y": tmp_path}, "x", root=tmp_path, source="web")
