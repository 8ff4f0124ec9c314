"""The 14 labels of NIH ChestX-ray14, which a data set and several weight files share."""

NIH_CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""In the order of arnoweng's CheXNet head."""

CHEXPERT_NAMES = {"Effusion": "Pleural Effusion"}
"""What CheXpert calls the same; Atelectasis, Cardiomegaly, Pneumonia, Pneumothorax, Consolidation
and Edema have one name in both. The other seven are no class of CheXpert's."""
