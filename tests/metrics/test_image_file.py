import pytest

from depthmix.errors import StorageError
from depthmix.metrics import read_images, write_images


def test_rows_come_back_without_what_they_cannot_bear(tmp_path):
    row = {"set": "a", "alignment": "none", "image": "a/0", "abs_rel": 0.5}
    write_images(tmp_path / "new", [{**row, "ssi": None}])
    assert read_images(tmp_path / "new" / "test_images.json") == [row]


@pytest.mark.parametrize("text", ["{", "[]", '{"images": [1]}', '{"images": [{"set": 1}]}'])
def test_another_file_is_refused_by_name(tmp_path, text):
    (tmp_path / "test_images.json").write_text(text)
    with pytest.raises(StorageError, match=r"test_images\.json: is no list of images"):
        read_images(tmp_path / "test_images.json")
