"""Nothing that could name a person leaves a DICOM header, wherever in it and in whatever type it stands."""

import numpy as np
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from schema.digest import sha256_bytes
from schema.params import validate
from schema.record import Record
from tasks.sources._deidentify import CHARACTERISTICS, DATES, READERS, TAGS, UIDS, age, allowed, attributes
from tasks.sources.dicom import Plugin
from tests.dicoms import dataset
from tests.planted import plant

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


@pytest.mark.parametrize("name", ["dicom_pydicom_test_files", "dicom_t1_studyforrest"])
def test_no_planted_value_leaves_a_file(data_root, tmp_path, capfd, name):
    planted = plant(data_root / name, tmp_path)
    config = {"kind": "dicom", "folder": str(tmp_path), "label": "x", "retain": ["patient-characteristics"]}
    said, records = set(), 0
    for item in Plugin(validate(Plugin.Config, config, "source")).records():
        if isinstance(item, Record):
            records += 1
            said |= {repr(item.attributes), repr(item.meta), repr(item.images), item.label, repr(item.split)}
        else:
            said.add(item.reason)
    text = "\n".join(said)
    assert records >= 15
    assert len(planted) > 1000
    assert [value for value in planted if value in text] == []
    printed = "".join(capfd.readouterr())
    assert [value for value in planted if value in printed] == []


def test_only_coded_and_numeric_elements_are_on_the_list():
    free = {keyword: dictionary_VR(tag) for tag, keyword in TAGS.items() if dictionary_VR(tag) not in ("CS", "DS", "IS", "US", "FD", "FL")}
    assert free == {
        "Manufacturer": "LO",  # by the words of a list, as is
        "RescaleType": "LO",
        "PatientAge": "AS",
        **dict.fromkeys(UIDS, "UI"),
        **dict.fromkeys(DATES, "DA"),
    }
    assert {"PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDescription", "ProtocolName"}.isdisjoint(READERS)


def test_the_profile_takes_away_what_no_option_keeps():
    identifying = {*CHARACTERISTICS, *DATES}
    assert identifying.isdisjoint(allowed().values())
    assert set(allowed(("patient-characteristics",)).values()) == set(allowed().values()) | set(CHARACTERISTICS)
    assert set(allowed((), True).values()) == set(allowed().values()) | set(DATES)


def header(**elements) -> Dataset:
    return dataset(np.zeros((4, 6), np.uint8), **elements)


def test_a_name_in_a_coded_field_does_not_pass():
    found = attributes(
        header(Modality="DOE", BodyPartExamined="MUELLER", ViewPosition="PA", ImageType=["ORIGINAL", "DOE"], Manufacturer="Dr. Doe")
    )
    assert found["ViewPosition"] == "PA"
    assert found["ImageType"] == ["ORIGINAL"]
    assert {"Modality", "BodyPartExamined", "Manufacturer"}.isdisjoint(found)
    assert attributes(header(BodyPartExamined="chest", Manufacturer="SIEMENS Healthineers, ward of Dr. Doe"))["Manufacturer"] == "Siemens"


def test_uids_are_given_as_digests_alike_for_equal_ones():
    found = attributes(header(StudyInstanceUID="1.2.3"))
    assert found["StudyInstanceUID"] == sha256_bytes(b"1.2.3")[:32]
    assert found["StudyInstanceUID"] == attributes(header(StudyInstanceUID="1.2.3", SeriesInstanceUID="9"))["StudyInstanceUID"]


def test_days_and_characteristics_only_where_asked_for():
    made = header(
        StudyDate="20240229", SeriesDate="not a day", PatientAge="033Y", PatientSex="F", PatientWeight="61.5", PixelSpacing=[0.5, 2]
    )
    plain = attributes(made)
    assert {"StudyDate", "PatientAge", "PatientSex", "PatientWeight"}.isdisjoint(plain)
    assert (plain["Rows"], plain["Columns"], plain["PixelSpacing.row"], plain["PixelSpacing.column"]) == (4, 6, 0.5, 2)
    assert attributes(made, dates=True)["StudyDate"] == "2024-02-29"
    assert "SeriesDate" not in attributes(made, dates=True)
    found = attributes(made, ["patient-characteristics"])
    assert (found["PatientAge"], found["PatientSex"], found["PatientWeight"]) == (33, "F", 61.5)


@pytest.mark.parametrize(
    ("text", "years"),
    [("033Y", 33), ("089Y", 89), ("090Y", 90), ("104Y", 90), ("018M", 1.5), ("026W", 0.5), ("Doe", None), ("33", 33), ("", None)],
)
def test_ages_are_years_and_none_is_over_ninety(text, years):
    assert age(text) == years


def test_impossible_numbers_are_dropped():
    made = header()
    made.add_new("KVP", "DS", "120")
    made.add_new("EchoTime", "DS", "")
    assert attributes(made)["KVP"] == 120
    assert "EchoTime" not in attributes(made)
