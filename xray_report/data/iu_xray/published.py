"""What a publisher's report says, before images and splits come to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedReport:
    """One report of the collection.

    Args:
        study_id: the publisher's number, such as `"1"`.
        findings: FINDINGS section as published, None if empty; likewise `impression`.
        mesh: terms a human gave (`major`), such as `Opacity/lung/base/left`; `normal` alone
            says that nothing is wrong; empty where the form does not publish them.
        caption: the examination's name, such as `PA and lateral chest`.
        image_keys: images the publisher lists for the study, sorted, as the XML has them.
    """

    study_id: str
    findings: str | None = None
    impression: str | None = None
    mesh: tuple[str, ...] = ()
    caption: str = ""
    image_keys: tuple[str, ...] = ()
