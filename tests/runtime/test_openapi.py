from pathlib import Path

from tokenward.runtime.openapi import document_text

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def test_the_committed_document_is_what_the_server_gives():
    assert COMMITTED.read_text(encoding="utf-8") == document_text(), (
        "the API has changed: write the document anew with 'python -m tokenward.runtime.openapi > openapi.json'"
    )
