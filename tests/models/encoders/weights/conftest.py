"""Models as publishers trained them."""

from __future__ import annotations

import pytest
from torch import nn

from tests.models.encoders.weights import imitations


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return imitations.published()


@pytest.fixture(scope="module")
def grey_model() -> nn.Module:
    return imitations.published(outputs=18, channels=1)
