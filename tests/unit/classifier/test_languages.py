"""Mail in many scripts and charsets: the same text gives the same features however it was encoded, and is learned."""

import base64

import numpy as np
import pytest

from filterproxy.classifier.features import Features, extract
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import features_of
from filterproxy.message import Message

TEXTS = {
    "it": ("Perché no? Così la città è più bella, però costa €. Ti aspetto lunedì.", ["windows-1252", "iso-8859-15"]),
    "de": ("Schöne Grüße aus Österreich, die Größe paßt.", ["iso-8859-1", "windows-1252"]),
    "pl": ("Zażółć gęślą jaźń, proszę o odpowiedź.", ["iso-8859-2", "windows-1250"]),
    "ru": ("Здравствуйте! Отправляю вам отчёт за прошлый месяц.", ["koi8-r", "windows-1251"]),
    "zh": ("您好，附件是上个月的报告，请查收。", ["gb2312", "gb18030"]),
    "ja": ("お世話になっております。先月の報告書をお送りします。", ["shift_jis", "iso-2022-jp", "euc-jp"]),
    "el": ("Καλημέρα, σας στέλνω την αναφορά του προηγούμενου μήνα.", ["iso-8859-7"]),
}
CASES = [(text, charset) for text, charsets in TEXTS.values() for charset in charsets]


def mail(text: str, charset: str) -> bytes:
    body = base64.encodebytes(text.encode(charset))
    header = f"Subject: x\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n\n"
    return header.encode() + body


def text_features(raw: bytes) -> Features:
    # The header names the charset and so differs; the text alone is compared.
    message = Message(raw)
    return extract(Message(f"Subject: x\nContent-Type: text/plain; charset=utf-8\n\n{message.text}".encode()))


@pytest.mark.parametrize(("text", "charset"), CASES)
def test_the_charset_does_not_matter(text: str, charset: str) -> None:
    there = text_features(mail(text, charset))
    here = text_features(mail(text, "utf-8"))
    np.testing.assert_array_equal(there.text, here.text)
    np.testing.assert_array_equal(there.words, here.words)


@pytest.mark.parametrize(("text", "charset"), CASES)
def test_the_text_view_itself_is_decoded(text: str, charset: str) -> None:
    np.testing.assert_array_equal(features_of(mail(text, charset)).text, features_of(mail(text, "utf-8")).text)


HAM = (
    "Ciao Marta, ti confermo la riunione di giovedì alle dieci; porto io i documenti del bilancio.",
    "Gentile cliente, in allegato la fattura numero 42 relativa al mese di marzo. Cordiali saluti.",
    "Ragazzi, sabato cena da me: chi porta il dolce? Nonna ha promesso le lasagne.",
    "Buongiorno dottoressa, le invio gli esami del sangue come d'accordo. Grazie e buona giornata.",
    "Il treno per Bologna parte alle 7:15, ci vediamo al binario. Non fare tardi come al solito!",
    "Ho corretto il capitolo tre della tesi, trovi i commenti a margine. La bibliografia va rivista.",
    "L'assemblea di condominio è spostata a martedì; all'ordine del giorno il rifacimento del tetto.",
    "Mamma, sono arrivata bene. Il volo era in ritardo ma l'albergo è carino. Baci a papà.",
)
SPAM = (
    "HAI VINTO un iPhone! Clicca subito e riscatta il tuo premio gratis entro 24 ore, offerta esclusiva.",
    "Il tuo conto è stato sospeso: verifica subito i tuoi dati cliccando qui per evitare il blocco della carta.",
    "Prestiti immediati senza busta paga! Ottieni subito fino a 50.000 euro, clicca qui e richiedi gratis.",
    "Guadagna 3.000 euro a settimana da casa con questo metodo segreto: iscriviti gratis, posti limitati!",
    "Pillole miracolose per dimagrire 10 kg in una settimana, spedizione gratis solo oggi, clicca e ordina.",
    "Gentile utente, il suo pacco è in giacenza: paghi subito 1,99 euro cliccando sul link per sbloccarlo.",
    "Bonus casinò 500 euro gratis senza deposito! Gioca subito e vinci, offerta riservata solo a te.",
    "Ultimo avviso: la sua casella di posta scade oggi, clicchi qui e verifichi subito la password.",
)


def test_italian_is_learned_from_few_messages() -> None:
    model = Model.empty()

    def features(text: str) -> Features:
        return features_of(f"From: <a@example.it>\nSubject: {text[:20]}\n\n{text}\n".encode())

    for ham, spam in zip(HAM[:4], SPAM[:4], strict=True):
        model.learn(features(ham), is_spam=False)
        model.learn(features(spam), is_spam=True)
    assert max(model.score(features(ham)) for ham in HAM[4:]) < min(model.score(features(spam)) for spam in SPAM[4:])
