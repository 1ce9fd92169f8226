"""What bench.ingest reads: radiographs, photographs and DICOM files as large as real ones, made from the real images of SYNTHMILL_DATA."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from schema.settings import data_root

SIDE = 1024


def originals(name: str, count: int) -> list[Path]:
    """The first `count` images of a folder of SYNTHMILL_DATA. Ends the program, saying what is missing, without them."""
    folder = (data_root() or Path("nowhere")) / name
    files = sorted(path for path in folder.glob("*") if path.suffix in (".png", ".jpg"))[:count]
    if not files:
        sys.exit(f"SYNTHMILL_DATA has no images in {name}: set it to a folder that has")
    return files


def radiographs(count: int) -> Iterator[np.ndarray]:
    """uint8, 1024 x 1024: the originals of ChestX-ray14, mirrored, turned and shifted, so that each is another file as hard to pack."""
    files = originals("nih_cxr14_1024_originals", 12)
    for number in range(count):
        with Image.open(files[number % len(files)]) as image:
            pixels = np.asarray(image.convert("L"))
        shift, pose = divmod(number // len(files), 8)
        turned = np.rot90(pixels[:, ::-1] if pose % 2 else pixels, pose // 2)
        yield np.ascontiguousarray(np.roll(turned, 3 * shift, axis=1))


def photographs(count: int) -> Iterator[np.ndarray]:
    """uint8, 1024 x 1024 x 3: skin lesions of HAM10000 made larger, with the noise of a camera (standard deviation 4) laid over them,
    without which they would pack better than real photographs and be read faster.
    """
    files = originals("ham10000_224/images", count)
    rng = np.random.default_rng(0)
    for number in range(count):
        with Image.open(files[number % len(files)]) as image:
            large = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        yield np.clip(large + rng.normal(0, 4, large.shape), 0, 255).astype(np.uint8)


def write_pngs(folder: Path, count: int) -> None:
    """Radiographs as PNG files, and labels.csv with a patient for each."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(radiographs(count)):
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")
    _label(folder, "png", count)


def write_jpegs(folder: Path, count: int) -> None:
    """Photographs as JPEG files of quality 90, and labels.csv with a patient for each."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(photographs(count)):
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg", quality=90)
    _label(folder, "jpg", count)


def write_dicoms(folder: Path, count: int, syntax: str) -> None:
    """The radiographs as Digital X-Ray images of 12 bits with a window, in the lossless transfer syntax of that UID."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True)
    for number, pixels in enumerate(radiographs(count)):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        image.StudyInstanceUID = image.SeriesInstanceUID = image.SOPInstanceUID
        image.PatientID, image.Modality, image.BurnedInAnnotation = f"p{number}", "DX", "NO"
        image.Rows, image.Columns = pixels.shape
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.WindowCenter, image.WindowWidth = 2048, 4096
        # The four lower bits of a detector are noise.
        image.PixelData = (pixels.astype("<u2") * 16 + np.random.default_rng(number).integers(0, 16, pixels.shape, "<u2")).tobytes()
        image["PixelData"].VR = "OW"
        path = folder / f"{number:05d}.dcm"
        image.save_as(path, enforce_file_format=True)
        if syntax != ExplicitVRLittleEndian:
            _compress(path, syntax)


def _compress(path: Path, syntax: str) -> None:
    import gdcm

    reader, writer, change = gdcm.ImageReader(), gdcm.ImageWriter(), gdcm.ImageChangeTransferSyntax()
    reader.SetFileName(str(path))
    done = reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    done = done and change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not (done and writer.Write()):
        raise RuntimeError(f"gdcm cannot write the transfer syntax {syntax}")


def _label(folder: Path, suffix: str, count: int) -> None:
    rows = [f"{number:05d}.{suffix},{'ab'[number % 2]},p{number}" for number in range(count)]
    (folder / "labels.csv").write_text("\n".join(["image,label,patient", *rows]) + "\n")
