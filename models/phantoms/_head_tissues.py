"""What the tissues of the head phantom look like to X-rays and to a magnet."""

import numpy as np

HOUNSFIELD = {
    "air": -1000.0,
    "skin": 40.0,
    "fat": -90.0,
    "muscle": 50.0,
    "bone": 1300.0,
    "diploe": 550.0,
    "csf": 6.0,
    "grey": 38.0,
    "deep_grey": 36.5,
    "white": 28.5,
    "dura": 55.0,
    "blood": 55.0,
    "plexus": 40.0,
    "calcium": 220.0,
    "oedema": 17.0,
    "rim": 62.0,
    "core": 14.0,
    "solid": 56.0,
}
"""CT numbers, HU. Fat -100 to -50, white matter 20 to 30, grey matter 37 to 45, blood 45 to 65, bone from 700: Buzug, Computed Tomography
(Springer 2008), p. 475. Cerebrospinal fluid is near water (0 HU); oedema lies between it and white matter; a tumour's rim and a solid
tumour are those after iodine. Muscle, skin, dura, diploe and calcium are typical figures, chosen, not measured."""
RELAXATION = {
    "air": (1.0, 1.0, 0.0),
    "skin": (900.0, 30.0, 0.8),
    "fat": (350.0, 58.0, 1.0),
    "muscle": (900.0, 30.0, 1.0),
    "bone": (1.0, 1.0, 0.0),
    "csf": (2569.0, 58.0, 1.0),
    "grey": (833.0, 69.0, 0.86),
    "deep_grey": (680.0, 66.0, 0.84),
    "white": (500.0, 61.0, 0.77),
    "dura": (900.0, 20.0, 0.7),
    "blood": (500.0, 50.0, 0.8),
    "plexus": (600.0, 50.0, 0.9),
    "calcium": (800.0, 6.0, 0.3),
    "oedema": (1150.0, 80.0, 0.9),
    "rim": (390.0, 60.0, 0.9),
    "core": (1900.0, 100.0, 0.95),
    "solid": (430.0, 62.0, 0.9),
}
"""T1 and T2* (ms) and proton density at 1.5 T: fat, muscle, cerebrospinal fluid, grey and white matter are BrainWeb's (Collins et al., IEEE
Trans Med Imaging 1998;17:463). Deep nuclei lie between grey and white matter; oedema and necrosis are longer, and what takes up gadolinium
(rim, solid tumour, plexus, venous blood) is shorter."""


def spoiled_gradient_echo(t1: float, t2_star: float, density: float, repetition: float, echo: float, flip: float) -> float:
    """Signal of a spoiled gradient echo: rho sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE / T2*), E1 = exp(-TR / T1); times in ms, angle in
    radians (Haacke et al., Magnetic Resonance Imaging, 1999, ch. 18)."""
    e1 = np.exp(-repetition / t1)
    return float(density * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * np.exp(-echo / t2_star))


def t1_signals(repetition: float, echo: float, flip: float, marrow: float) -> dict[str, float]:
    """Signal of each tissue, white matter 1. The diploe is bone with a share `marrow` of fat."""
    raw = {name: spoiled_gradient_echo(*values, repetition, echo, flip) for name, values in RELAXATION.items()}
    raw["diploe"] = marrow * raw["fat"]
    return {name: value / raw["white"] for name, value in raw.items()}
