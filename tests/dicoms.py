"""DICOM files for tests: written from scratch with pixels and elements that the test chooses."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian


def dataset(pixels: np.ndarray, **elements: Any) -> Dataset:
    """A data set with `pixels` (H x W, H x W x 3 or, with NumberOfFrames, more) in Explicit VR Little Endian."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = elements.pop("SOPInstanceUID", "2.25.1")
    made.StudyInstanceUID, made.SeriesInstanceUID = "2.25.2", "2.25.3"
    made.PatientID, made.Modality = "p1", "CT"
    many = "NumberOfFrames" in elements
    shape = pixels.shape[1:] if many else pixels.shape
    made.Rows, made.Columns = shape[:2]
    made.SamplesPerPixel = shape[2] if len(shape) == 3 else 1
    made.PhotometricInterpretation = "RGB" if made.SamplesPerPixel == 3 else "MONOCHROME2"
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    if pixels.dtype.kind == "f":
        made.FloatPixelData = pixels.astype("<f4").tobytes()
    else:
        made.PixelRepresentation = int(pixels.dtype.kind == "i")
        data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        made.add_new("PixelData", "OB" if made.BitsAllocated == 8 else "OW", data + b"\0" * (len(data) % 2))
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def write(path: Path, pixels: np.ndarray, **elements: Any) -> Path:
    """Writes `dataset(pixels, **elements)`, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset(pixels, **elements).save_as(path, enforce_file_format=True)
    return path


def lut(first: int, entries: list[int], bits: int) -> Dataset:
    """An item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item
