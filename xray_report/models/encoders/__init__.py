"""Image encoders: the protocol, its members, their weights, and feature extraction.

Importing the package registers its members; none of them imports an optional dependency until it
is built.
"""

from xray_report.models.encoders import densenet, huggingface, timm, torchvision, torchxrayvision  # noqa: F401
