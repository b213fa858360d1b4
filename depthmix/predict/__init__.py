"""Take a trained network to photos: metres where they are known, relative inverse depth where not."""

from depthmix.predict.device import DEVICES, on_device
from depthmix.predict.encode import encode_colour, encode_exr, encode_facts, encode_npy, encode_png16
from depthmix.predict.files import FORMATS, predict_files, write_prediction
from depthmix.predict.infer import PredictedDepth, predict_image, predict_images
from depthmix.predict.inputs import Input, find_inputs, listed, pictures_of
from depthmix.predict.look import network_image, network_size
from depthmix.predict.photo import Focal, camera_of, exif_focal, find_focal, focal_of_fov
from depthmix.predict.points import encode_glb, encode_ply

__all__ = [
    "DEVICES",
    "FORMATS",
    "Focal",
    "Input",
    "PredictedDepth",
    "camera_of",
    "encode_colour",
    "encode_exr",
    "encode_facts",
    "encode_glb",
    "encode_npy",
    "encode_ply",
    "encode_png16",
    "exif_focal",
    "find_focal",
    "find_inputs",
    "focal_of_fov",
    "listed",
    "network_image",
    "network_size",
    "on_device",
    "pictures_of",
    "predict_files",
    "predict_image",
    "predict_images",
    "write_prediction",
]
