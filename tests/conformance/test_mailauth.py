"""Every vector of ours once more through mailauth: where it differs, the vector says why."""

from __future__ import annotations

from tests.conformance import dkim_vectors, dmarc_vectors
from tests.conformance.mailauth import Question, ask


def test_dmarc():
    vectors = dmarc_vectors.load()
    answers = ask([Question("dmarc", item.message, item.dns, spf=item.spf, dkim=item.dkim) for item in vectors])
    differences = []
    for vector, ((word, policy, organization),) in zip(vectors, answers, strict=True):
        found = (word, policy if word == "fail" else "")
        if found != vector.theirs or (word and vector.organization not in ("", organization)):
            differences.append((vector.name, found, organization))
    assert not differences, "\n".join(map(str, differences))


def test_dkim():
    vectors = dkim_vectors.load()
    answers = ask([Question("dkim", item.message, item.dns, now=dkim_vectors.NOW) for item in vectors])
    differences = []
    for vector, answer in zip(vectors, answers, strict=True):
        if tuple(word for word, _ in answer) != vector.expected_of_mailauth:
            differences.append((vector.name, vector.results, answer))
    assert not differences, "\n".join(map(str, differences))
