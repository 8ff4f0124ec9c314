"""What turns a mention into "absent" or "uncertain", as data, after NegEx, ConText and NegBio.

A `before` cue governs the mentions that follow it in its clause, an `after` cue those that go
before it, an `either` cue those that follow it or, where none does, those before it. A pseudo
cue looks like a negation and is none. A break ends a clause, and with it the reach of every cue.
Phrases are in the notation of `phrases.PhraseBook`.

"Probable" and "likely" are no cues: who writes them commits to the finding, and annotators take
them so. Of two findings with "versus" between them both are uncertain.
"""

from __future__ import annotations

from typing import Final

NEGATION_BEFORE: Final = (
    "no",
    "not",
    "without",
    "free",
    "clear",
    "negative",
    "absence",
    "rather than",
    "instead",
    "resolution",
    "clearing",
    "removal",
    "never",
    "nor",
    "neither",
    "denies",
)

NEGATION_AFTER: Final = (
    "?have|has|had ?been|completely resolved|cleared|removed|excluded",
    "not ?well|clearly|definitely seen|identified|present|visualized|evident|noted",
    "not ?well|clearly|definitely appreciated|demonstrated|visible|detected|suspected|found",
    "ruled out",
    "longer seen|identified|present|visualized|evident|noted|visible",
    "unlikely",
)

NEGATION_EITHER: Final = ("resolved", "cleared", "removed", "absent")

PSEUDO_NEGATION: Final = (
    "no ?significant|interval|definite ?interval change",
    "without ?significant|interval ?interval change",
    "not ?significantly changed",
    "no increase|worsening|progression",
    "not only",
    "not certain",
)

UNCERTAIN_BEFORE: Final = (
    "possibly",
    "possibility",
    "may",
    "maybe",
    "might",
    "could",
    "can",
    "perhaps",
    "question",
    "questionable",
    "suggest",
    "suggests",
    "suggesting",
    "suggestive",
    "suggestion",
    "suspicious",
    "suspicion",
    "concern",
    "concerning",
    "cannot ?entirely|completely exclude",
    "cannot rule out",
    "not ?entirely exclude",
    "exclude",
    "rule out",
    "equivocal",
    "differential",
    "favor",
    "favored",
)

UNCERTAIN_AFTER: Final = (
    "cannot ?entirely|completely excluded",
    "not ?entirely|completely excluded",
    "cannot ruled out",
    "questioned",
    "consideration",
    "considered",
)

UNCERTAIN_EITHER: Final = ("possible", "suspected")

UNCERTAIN_BETWEEN: Final = ("versus",)

NOT_SAID: Final = (
    "evaluation",
    "evaluate",
    "assess",
    "assessment",
    "correlate",
    "correlation",
    "history",
    "followup",
)
"""What follows is not said of this study."""

BREAKS: Final = (
    "but",
    "however",
    "although",
    "though",
    "there",
    "which",
    "except",
    "besides",
    "clear with",
    "otherwise",
    "aside from",
    "apart from",
    "other than",
    "stable",
    "unchanged",
    "persistent",
    "again",
    "status post",
)

EXPLANATIONS: Final = ("consistent with", "compatible with")
"""What goes before is a sign of what follows."""
