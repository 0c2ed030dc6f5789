"""The rule file ``activities``: a label for every kind of the catalogue, named like it.

``python -m tagger.catalogue_rules`` writes it anew; a test tells when that is due.
"""

from __future__ import annotations

from typing import Final

import yaml

from launcher.activities import catalogue
from tagger.rulebook import RULES

NAME: Final = "activities"
_HEAD: Final = """\
# Made by python -m tagger.catalogue_rules: a label for every kind of activity, and its category.
# A tunnel is labelled as one; a rule of your own can ask what is inside (when: {inside: KIND}).
"""


def rules() -> str:
    """The rule file as YAML."""
    kinds = sorted(catalogue().values(), key=lambda kind: kind.kind)
    document = {
        "format": 1,
        "name": NAME,
        "description": "A label for every kind of activity.",
        "labels": {
            kind.kind: {
                "category": kind.category,
                "malicious": kind.malicious,
                "description": kind.summary,
            }
            for kind in kinds
        },
        "rules": [
            {
                "id": f"{kind.kind}-session",
                "when": {"kind": kind.kind},
                "label": kind.kind,
                "reason": f"{{user}} did {kind.kind} ({{variant}}) with {{service}}",
            }
            for kind in kinds
        ],
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    (RULES / f"{NAME}.yaml").write_text(rules(), encoding="utf-8")
