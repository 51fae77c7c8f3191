"""Every vector of ours once more through mailauth: where it differs, the vector says why."""

from __future__ import annotations

import pytest

from tests.conformance import dkim_vectors, dmarc_vectors, random_dmarc
from tests.conformance.dkim_case import NOW
from tests.conformance.dmarc_result import result_of
from tests.conformance.mailauth import Question, ask
from tests.conformance.zones import table_of


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
    answers = ask([Question("dkim", item.message, item.dns, now=NOW) for item in vectors])
    differences = []
    for vector, answer in zip(vectors, answers, strict=True):
        if tuple(word for word, _ in answer) != vector.expected_of_mailauth:
            differences.append((vector.name, vector.results, answer))
    assert not differences, "\n".join(map(str, differences))


@pytest.mark.parametrize("seed", range(2))
async def test_dmarc_of_zones_made_at_random(seed):
    cases = random_dmarc.cases(seed, 600)
    questions = [
        Question("dmarc", f"From: a@{author}\r\n\r\n".encode(), zone, spf=spf, dkim=dkim)
        for author, zone, spf, dkim in cases
    ]
    words = set()
    for question, ((word, policy, _),) in zip(questions, ask(questions), strict=True):
        ours = await result_of(question.message, question.spf, question.dkim, table_of(question.dns))
        if ours.result == "permerror":  # a wrong record, which it calls none (see the vectors)
            assert word == "none", question
        else:
            found = (ours.result, ours.property("policy.dmarc"))
            assert found == (word, policy if word == "fail" else ""), question
        words.add(ours.result)
    assert words == {"pass", "fail", "none", "temperror", "permerror"}
