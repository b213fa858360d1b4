"""Take a trained network to photos: metres where they are known, relative inverse depth where not."""

from depthmix.predict.encode import encode_colour, encode_facts, encode_npy, encode_ply, encode_png16
from depthmix.predict.files import FORMATS, predict_files, write_prediction
from depthmix.predict.infer import PredictedDepth, network_size, predict_image
from depthmix.predict.photo import Focal, camera_of, exif_focal, find_focal, focal_of_fov

__all__ = [
    "FORMATS",
    "Focal",
    "PredictedDepth",
    "camera_of",
    "encode_colour",
    "encode_facts",
    "encode_npy",
    "encode_ply",
    "encode_png16",
    "exif_focal",
    "find_focal",
    "focal_of_fov",
    "network_size",
    "predict_files",
    "predict_image",
    "write_prediction",
]
