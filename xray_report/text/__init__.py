"""Text: tokenizers and what they are made of."""

from xray_report.text import subwords as subwords  # both register themselves
from xray_report.text import words as words
