"""The words that a coded element may hold. A word that is not here is dropped: somebody may have typed a name into the field.

Defined terms of DICOM PS3.3 (the clause beside each) and, for body parts, PS3.16 Annex L.
"""


def words(text: str) -> tuple[str, ...]:
    """A list of words as it is written down, with spaces between them."""
    return tuple(text.split())


MODALITY = frozenset(
    words(
        """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO LEN LS
    MG MR M3D NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD
    RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XC XAPROTOCOL DS CD DD DF FA EC FS LP CP CS MA MS
    OPR ST VF
    """
    )
)
"""C.7.3.1.1.1, retired terms included."""

BODY_PART = frozenset(
    words(
        """
    ABDOMEN ABDOMENPELVIS ADRENAL ANKLE ANUS AORTA APPENDIX ARM AXILLA BACK BILEDUCT BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS
    CALF CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE COCCYX COLON CORNEA CORONARYARTERY
    CSPINE CTSPINE DUODENUM EAR ELBOW ENDOARTERIAL ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER FOOT FOREARM FOREFOOT GALLBLADDER
    HAND HEAD HEADNECK HEART HINDFOOT HIP HUMERUS IAC ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUNG
    MANDIBLE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE ORBIT OVARY PANCREAS PAROTID PATELLA
    PELVIS PENIS PHARYNX PROSTATE RADIUS RECTUM RIB SCALP SCAPULA SCLERA SCROTUM SHOULDER SINUS SKULL SPINE SPLEEN SSPINE STERNUM
    STOMACH SUBMANDIBULAR TESTIS THIGH THUMB THYMUS THYROID TIBIA TLSPINE TMJ TOE TONGUE TRACHEA TSPINE ULNA URETER URETHRA UTERUS
    VAGINA VULVA WHOLEBODY WRIST ZYGOMA
    """
    )
)
"""PS3.16 Annex L, the column of the defined terms for Body Part Examined."""

VIEW = frozenset(
    words(
        """
    AP PA LL RL RLD LLD RLO LLO LAT LATERAL LPO RPO LAO RAO OBL CC MLO ML LM LMO XCCL XCCM FB SIO ISO CV RM RL RCC
    """
    )
)
"""C.8.1.1 and C.8.11.5 (projections), and the views of mammography (PS3.16 CID 4014) as they are commonly abbreviated."""

IMAGE_TYPE = frozenset(
    words(
        """
    ORIGINAL DERIVED MIXED PRIMARY SECONDARY AXIAL LOCALIZER REFORMATTED MPR PROJECTION VOLUME ANGIO CARDIAC PERFUSION DIFFUSION FLOW
    DYNAMIC STATIC GATED TOMO RECON WHOLE_BODY EMISSION TRANSMISSION SINGLE_PLANE BIPLANE_A BIPLANE_B PHASE MAGNITUDE REAL IMAGINARY
    ADC NONE MIN_IP MAX_IP MEAN SUBTRACTION ADDITION OTHER M P R I T1 T2 T2_STAR PROTON_DENSITY FFE SE IR TOF DIXON WATER FAT IN_PHASE
    OUT_OF_PHASE MIP NORM ND DIS2D DIS3D EPICARDIAL
    """
    )
)
"""C.7.6.1.1.2 and the third value of the modalities' own modules (C.8.2.1, C.8.3.1, C.8.4.9, C.8.13.3.1, C.8.15.3.1)."""

MAKERS = {
    "siemens": "Siemens",
    "ge medical": "GE",
    "ge healthcare": "GE",
    "philips": "Philips",
    "toshiba": "Canon",
    "canon": "Canon",
    "hitachi": "Fujifilm",
    "fuji": "Fujifilm",
    "agfa": "Agfa",
    "carestream": "Carestream",
    "kodak": "Carestream",
    "konica": "Konica Minolta",
    "hologic": "Hologic",
    "lorad": "Hologic",
    "samsung": "Samsung",
    "shimadzu": "Shimadzu",
    "mindray": "Mindray",
    "united imaging": "United Imaging",
    "uih": "United Imaging",
    "esaote": "Esaote",
    "varian": "Varian",
    "elekta": "Elekta",
    "topcon": "Topcon",
    "zeiss": "Zeiss",
    "carl zeiss": "Zeiss",
    "heidelberg": "Heidelberg",
    "acuson": "Siemens",
    "aloka": "Fujifilm",
    "picker": "Philips",
    "marconi": "Philips",
    "adac": "Philips",
}
"""Manufacturer is free text (LO): it passes only as the word on the right, where it starts with the one on the left."""

YES_NO = frozenset({"YES", "NO"})

TERMS: dict[str, frozenset[str]] = {
    "Modality": MODALITY,
    "BodyPartExamined": BODY_PART,
    "ViewPosition": VIEW,
    "ImageType": IMAGE_TYPE,
    "Laterality": frozenset("RL"),  # C.7.3.1
    "ImageLaterality": frozenset("RLUB"),  # C.8.11.7
    "FrameLaterality": frozenset("RLUB"),
    "PatientPosition": frozenset(words("HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL")),  # C.7.3.1.1.2
    "PatientSex": frozenset("MFO"),  # C.7.1.1
    "SmokingStatus": frozenset({"YES", "NO", "UNKNOWN"}),  # C.7.2.2
    "PhotometricInterpretation": frozenset(
        {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
    ),  # C.7.6.3.1.2
    "BurnedInAnnotation": YES_NO,  # C.7.6.1
    "RecognizableVisualFeatures": YES_NO,
    "LossyImageCompression": frozenset({"00", "01"}),
    "PatientIdentityRemoved": YES_NO,  # C.7.1.1
    "QualityControlImage": YES_NO,
    "PresentationIntentType": frozenset({"FOR PRESENTATION", "FOR PROCESSING"}),  # C.8.11.1
    "PixelIntensityRelationship": frozenset({"LIN", "LOG", "DISP"}),  # C.8.7.1.1.2
    "ConversionType": frozenset({"DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"}),  # C.8.6.1
    "ScanningSequence": frozenset({"SE", "IR", "GR", "EP", "RM"}),  # C.8.3.1
    "SequenceVariant": frozenset({"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE"}),
    "MRAcquisitionType": frozenset({"2D", "3D"}),
    "AcquisitionType": frozenset({"SEQUENCED", "SPIRAL", "CONSTANT_ANGLE", "STATIONARY", "FREE"}),  # C.8.15.3.2
    "RescaleType": frozenset({"OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"}),  # C.11.1.1.2
}
"""Keyword: its words."""
