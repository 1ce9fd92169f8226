"""The terms of the report, for readers who are not of the field."""

GLOSSARY = (
    ("Training images (members)", "Real images that the generator learned from. They are whom the privacy gates protect."),
    (
        "Holdout (non-members)",
        "Real images of other patients that the generator never saw. They show what a number looks like where nothing can leak.",
    ),
    (
        "Null",
        "The same number measured where there is nothing to find, for example real images against other real images, or members "
        "against members. A gate judges how far the measured number exceeds it.",
    ),
    ("Excess", "The measured number less its null. It is what the threshold bounds."),
    (
        "Interval",
        "The range in which the true value plausibly lies, given how many images there were (95 % unless the method says otherwise). "
        "A gate passes only if the whole interval is on the right side of the threshold.",
    ),
    ("Threshold", "The bound that was set in the parameters before measuring. Changing it afterwards voids the verdict."),
    ("PASS, FAIL", "PASS: the whole interval keeps within the threshold. FAIL: the measured value itself is beyond it."),
    (
        "INSUFFICIENT",
        "The claim could not be settled: too few images for so narrow a threshold, or something that the gate needs was missing. "
        "Never counted as a pass.",
    ),
    (
        "Detection power, false alarm",
        "How often a gate does not pass a release that is bad in a known way, and how often it does not pass a good one. "
        "Both were measured on releases made for that purpose, and not on this one.",
    ),
    (
        "Membership inference",
        "An attack that guesses whether one given image was among the training images. "
        "To be recognised as a member can itself tell of an illness.",
    ),
    (
        "AUC",
        "How well a score separates two groups: 0.5 is guessing, 1 is always right. For an attack, low is good. "
        "For a classifier (AUROC), high is good.",
    ),
    (
        "TPR at 1 % FPR",
        "The share of training images that an attacker recognises while accusing only 1 in 100 others wrongly. "
        "It speaks of the few people at most risk, whom an average such as AUC can hide. By guessing it is 1 %.",
    ),
    (
        "ROC curve",
        "The attacker's recognised members (up) against false accusations (right), for every strictness. "
        "On the diagonal the attack is guessing.",
    ),
    (
        "Blind baseline",
        "An attack that never looks at the model or the release. Where it succeeds, members and non-members differ by themselves, and no "
        "attack on that split says anything of the model.",
    ),
    ("Loss attack", "Takes an image for a member if the model's training loss on it is low. Needs the weights."),
    (
        "PIA",
        "Proximal initialisation attack: takes an image for a member if the model, shown the noise that it would itself put on the "
        "image, says the same again. Needs the weights.",
    ),
    (
        "LiRA",
        "Likelihood ratio attack: the attacker trains shadow models with and without each image, and asks which of the two the "
        "attacked model resembles. Strong where there are many shadow models, and dear: each is a training of its own.",
    ),
    (
        "DOMIAS",
        "An attack with nothing but the release: takes an image for a member where synthetic images lie more densely around it than "
        "real ones do.",
    ),
    ("Replica", "A synthetic image that is a training image again, whole or nearly: also mirrored, shifted or slightly changed."),
    (
        "Canary",
        "A pattern made up for the purpose and planted among the training images by the toss of a coin. How well an attacker tells the "
        "planted ones bounds ε from below.",
    ),
    (
        "Differential privacy, ε and δ",
        "A proven bound on how much one person's data can change what comes out of a training: by a factor of at most e to the ε, but "
        "for a probability δ. Only noise on clipped gradients in every step of training gives it. A smaller ε is a stronger bound.",
    ),
    (
        "Fréchet distance, FID",
        "A distance between two sets of images as a neural network sees them: 0 is alike. "
        "It depends on the network and on how many images.",
    ),
    (
        "Kernel distance, KID, CMMD",
        "Distances between two sets of images that assume no bell curve; they do not grow where images are few. KID: on the features of "
        "FID. CMMD: on those of a network that learned from pictures and their captions.",
    ),
    (
        "Precision, recall, density, coverage",
        "Precision: the share of synthetic images that lie among real ones. Recall: the share of real images that lie among synthetic "
        "ones. Density and coverage: the same two questions, asked so that a few odd images count less.",
    ),
    (
        "TSTR, TRTS",
        "Train on synthetic and test on real: whether the synthetic images can stand in for real ones. Train on real and test on "
        "synthetic: whether they are what their labels say.",
    ),
    (
        "Hybrid and duplicated-real control",
        "Hybrid: a classifier trained on real and synthetic images together. Its control trains for as long on the same real images, "
        "repeated to the same number: what the hybrid gains over that is what the synthetic images add.",
    ),
    ("Pixel RMSE", "The usual size of the difference between two images, in grey levels from 0 (the same) to 255."),
    ("Digest (SHA-256)", "A fingerprint of bytes: if one bit of the data changes, so does the digest."),
)
