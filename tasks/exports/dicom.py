"""DICOM: <class>/<id>.dcm, a Secondary Capture Image (PS3.3 A.8.1) a record, and metadata.csv.

Every file says that it is synthetic: Synthetic Data (0008,001C) YES, Conversion Type SYN, Image Type DERIVED\\SECONDARY, a Derivation
Description, and the equipment that synthesised it (PS3.3 C.12.1). There is no patient: name and id are invented and say so, and Patient
Identity Removed (0012,0062) is not there, for nothing was removed. Dates are empty. What a record says is JSON in Image Comments.

Made by pydicom. highdicom's SCImage would demand a Patient Orientation that nobody knows, and stamps the time of day.
"""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from schema.digest import canonical_json
from schema.section import Section
from tasks.exports import Export, Folder, Synthetic
from tasks.exports._names import folder_names
from tasks.exports._table import lines

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

OURS = uuid.uuid5(uuid.NAMESPACE_OID, "synthmill")


def uid(space: uuid.UUID, name: str) -> str:
    """A UID made from a UUID (PS3.5 B.2): the same name, the same UID, with no registered root."""
    return f"2.25.{uuid.uuid5(space, name).int}"


class Plugin(Export):
    kind = "dicom"

    class Options(Section):
        patient: Literal["image", "release"] = Field(
            default="image", description="image: each has a patient, study and series of its own; release: one patient, a series a class"
        )

    def fill(self, release: Folder, folder: Path, options: Options) -> None:
        """UIDs follow from the release's tag, the digest of its SHA256SUMS and the record's id: two sites' v1.0.0 do not collide."""
        names = folder_names(release.classes)
        space = uuid.uuid5(OURS, f"{release.release.tag} {release.release.sums}")
        for name in names.values():
            (folder / name).mkdir()
        counts = dict.fromkeys(release.classes, 0)
        with lines(folder, release, "file_name", "sop_instance_uid") as table:
            for record in release.records():
                counts[record.label_name] += 1
                place = 1 if options.patient == "image" else counts[record.label_name]
                instance = secondary_capture(release, record, space, place, options.patient)
                path = f"{names[record.label_name]}/{record.id}.dcm"
                instance.save_as(folder / path, enforce_file_format=True)
                table.add(record, file_name=path, sop_instance_uid=str(instance.SOPInstanceUID))


def secondary_capture(release: Folder, record: Synthetic, space: uuid.UUID, number: int, patient: str) -> "FileDataset":
    """The modules of PS3.3 table A.8-1. `number`: of the instance in its series."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = uid(space, record.id)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid(OURS, "export dicom 1")
    meta.ImplementationVersionName = "SYNTHMILL_1"
    made = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    put(made, tags_of_nobody(release, record, space, patient))
    put(made, tags_of_image(release, record, number))
    made.ContributingEquipmentSequence = [equipment(release)]
    interpretation = "MONOCHROME2" if record.pixels.ndim == 2 else "RGB"
    made.set_pixel_data(record.pixels, interpretation, 8, generate_instance_uid=False)
    return made


def put(dataset: "Dataset", values: dict[str, Any]) -> None:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def tags_of_nobody(release: Folder, record: Synthetic, space: uuid.UUID, patient: str) -> dict[str, Any]:
    """Patient, General Study, General Series (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1); what is unknown is empty."""
    whole = patient == "release"
    series = record.label_name if whole else record.id
    return {
        # A name and an id hold 64 characters (PS3.5 table 6.2-1); what tells records apart stands at the end.
        "PatientName": f"Synthetic^{(release.release.dataset if whole else record.id)[-54:]}",
        "PatientID": (release.release.tag if whole else record.id)[-64:],
        "IssuerOfPatientID": "SYNTHETIC",
        "PatientBirthDate": "",
        "PatientSex": "",
        "PatientComments": "Not a person. The image is synthetic.",
        "StudyInstanceUID": uid(space, "study" if whole else f"study {record.id}"),
        "StudyDate": "",
        "StudyTime": "",
        "StudyID": "SYNTHETIC",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyDescription": f"Synthetic images {release.release.tag}"[:64],
        "SeriesInstanceUID": uid(space, f"series {series}"),
        "SeriesNumber": 1 + release.classes.index(record.label_name) if whole else 1,
        "SeriesDescription": f"Synthetic: {record.label_name}".replace("\\", "/")[:64],
        "Modality": "OT",
        "Laterality": "",
    }


def tags_of_image(release: Folder, record: Synthetic, number: int) -> dict[str, Any]:
    """SC Equipment, General Image, SOP Common (PS3.3 C.8.6.1, C.7.6.1, C.12.1)."""
    return {
        "ConversionType": "SYN",
        "Manufacturer": "synthmill",
        "InstanceNumber": number,
        "PatientOrientation": "",
        "ImageType": ["DERIVED", "SECONDARY", "SYNTHETIC"],
        "DerivationDescription": "Drawn by a generative model; no scanner took it and it shows nobody",
        "BurnedInAnnotation": "NO",
        "SyntheticData": "YES",
        "ImageComments": canonical_json({**record.said, "release": release.release.tag}),
    }


def equipment(release: Folder) -> "Dataset":
    """An item of the Contributing Equipment Sequence: what drew the image (PS3.3 C.12.1; code 109100 of PS3.16 CID 7005)."""
    from pydicom.dataset import Dataset

    code, made = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "109100", "DCM", "Synthesizing Equipment"
    made.PurposeOfReferenceCodeSequence = [code]
    made.Manufacturer = "synthmill"
    made.ManufacturerModelName = str(release.facts["model"]["kind"])[:64]
    made.SoftwareVersions = release.release.tag[:64]
    made.ContributionDescription = f"provenance.json of the release: records {release.release.digests.records}"
    return made
