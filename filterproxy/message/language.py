"""Which language a text is written in: by its script, and within Latin and Cyrillic by its commonest words and letters.

The one rule: linear time in a bounded sample, and no guess: a short or mixed text has no language.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict

_SAMPLE = 20_000
_WORDS = 1_500
_LEAST_LETTERS = 20
_LEAST_HITS = 3.0
_LEAST_SHARE = 0.09
_LEAD = 1.2
_MAJORITY = 0.6

# Scripts with one language, or with one that is by far the commonest in mail.
_SCRIPTS = {
    "el": "\u0370-\u03ff\u1f00-\u1fff", "he": "\u0590-\u05ff", "hy": "\u0530-\u058f", "ka": "\u10a0-\u10ff",
    "hi": "\u0900-\u097f", "bn": "\u0980-\u09ff", "pa": "\u0a00-\u0a7f", "gu": "\u0a80-\u0aff", "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f", "kn": "\u0c80-\u0cff", "ml": "\u0d00-\u0d7f", "si": "\u0d80-\u0dff", "th": "\u0e00-\u0e7f",
    "lo": "\u0e80-\u0eff", "my": "\u1000-\u109f", "am": "\u1200-\u137f", "km": "\u1780-\u17ff", "ko": "\uac00-\ud7af",
    "arabic": "\u0600-\u06ff\u0750-\u077f", "cyrillic": "\u0400-\u052f", "kana": "\u3040-\u30ff",
    "han": "\u3400-\u4dbf\u4e00-\u9fff", "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
}  # fmt: skip
_IN_SCRIPT = {name: re.compile(f"[{ranges}]+") for name, ranges in _SCRIPTS.items()}
_WORD = re.compile(r"[^\W\d_]+")

# Without accents, as people often write; letters with them count by themselves below.
_COMMON = {
    "en": "the of and to in is you that it he was for on are as with his they at be this have from or had by but not"
    " what all were we when your can said there an which their if will do how about out many then them these so some"
    " her would make like him into has more please our been dear may any here",
    "de": "der die und den das von sie ist des sich mit dem dass er es ein ich auf so eine auch als an nach wie im fur"
    " man aber aus durch wenn nur war noch werden bei hat wir was wird sein einen welche sind oder zur um haben einer"
    " mir uber ihm diese einem ihr uns bitte ihre ihren nicht zu zum vom konnen sehr geehrte",
    "fr": "le la les de des du un une et est en que qui dans pour pas sur au avec ce il elle sont vous nous je ne se"
    " plus par mais ou cette son sa ses leur votre vos notre aux tout etre ete fait comme si bien deux meme merci"
    " bonjour cliquez afin peut",
    "es": "el la los las de del un una y es en que por para con no se su sus al lo como mas pero este esta ha son si"
    " sobre entre cuando muy sin ser tiene hay fue usted nos nuestro nuestra hasta desde donde todo tambien era ya"
    " porque gracias estimado cuenta",
    "it": "il lo la i gli le di del della dei delle un una e che in per con non si su da al alla sono come ma anche"
    " piu questo questa nel nella dal o ha se ci suo sua essere stato ed era tutti tra ancora dopo molto quando"
    " vostro gentile cliente grazie puo sul",
    "pt": "o a os as de do da dos das um uma e que em para com nao se por mais como mas foi ao ele sua ou ser quando"
    " muito ha nos ja esta eu tambem so pelo pela ate isso ela entre era depois sem mesmo aos seus quem voce seu"
    " nas me esse eles obrigado",
    "nl": "de het een en van ik te dat die in is niet zijn op aan met als voor had er maar om hem dan zou of wat mijn"
    " men dit zo door over ze bij ook tot je mij uit der daar naar heb hoe heeft hebben deze u want nog zal zij nu"
    " geen omdat iets worden toch waren veel uw wij klik",
    "sv": "och i att det som en pa ar av for med till den har de inte om ett han men var jag sig fran vi sa kan nar"
    " han ska eller under alla du denna vara efter vid nu mycket mot hade ditt din oss skulle bara",
    "da": "og i at det er en til af den for ikke der pa som med har de jeg han et men om var sig fra vi kan nar skal"
    " eller efter ud hvor nu dig din alle over hvis mange vil blev meget ved os denne",
    "no": "og i det er en til av den for ikke som pa med har de jeg han et men om var seg fra vi kan nar skal eller"
    " etter ut hvor na deg din alle over hvis mange vil ble mye ved oss denne hva bli",
    "fi": "ja on ei se etta han oli mutta ovat kuin niin myos kun sen tai jos mita hanen joka nyt vain olla ole voi"
    " olen minun sinun teidan meidan tama taman kanssa ennen jalkeen mukaan kaikki hyvaa kiitos",
    "pl": "i w na z do nie sie ze jest to jak za od po ale co czy tak dla przez jego juz byc tego ma jej przy oraz"
    " ich jako sa tym tylko bardzo moze pan prosze jesli gdy tej ktory ktore aby lub przed panstwa",
    "cs": "a se v na je ze o s z do to i jak za pro ale by po jsem k co jeho si od tak nebo jako ve az kdyz jen jeste"
    " bude byl jsou podle prosim vas vase pokud take mezi nez aby byla jiz jste",
    "sk": "a sa v na je ze o s z do to aj ako za pre ale by po som k co jeho si od tak alebo vo az ked len este bude"
    " bol su podla prosim vas vase ak tiez medzi nez aby bola uz ste",
    "hu": "a az es hogy nem is egy van de ez meg csak volt azt ha ki el mint vagy mar fel kell le lehet minden most"
    " ezt szerint amely alatt kerjuk koszonjuk onnek kedves ugyfelunk",
    "ro": "si de la in a cu pe nu sa care ce mai din este un o sunt pentru au fost ca se le fi dar prin sau cand acest"
    " aceasta dumneavoastra va vom sunteti daca dupa intre foarte toate",
    "tr": "ve bir bu da de icin ile ne cok daha gibi olarak kadar var en sonra ama mi o ben sen biz siz olan her ya"
    " hem onun degil lutfen sayin oldugu ise veya",
    "id": "yang dan di untuk dengan dari ini itu tidak pada adalah ke dalam akan atau anda kami saya juga oleh bisa"
    " sudah ada karena lebih telah mereka dapat silakan",
    "vi": "va la cua co khong cho mot nhung duoc voi trong cac da nay nguoi khi den ban chung toi tu ve ra se nhu de"
    " tai vao nam quy khach",
    "hr": "i u je na se da za su od s sa ne koji kao iz o do ali to bi sto ili po ako samo nije kako biti vas vasa"
    " molimo jer koje postovani",
    "et": "ja on ei see et ta oli aga kui ka oma mis siis nii voi teie meie selle palun kas kes ning olema",
    "lv": "un ir no ar uz par ka to bet vai pie lai kas ja tas nav jus jusu mes ludzu tikai",
    "lt": "ir kad yra su is i ne tai kaip bet ar uz nuo po savo jusu mes prasome tik arba",
}
_LETTERS = {
    "ß": ("de",), "äöü": ("de", "fi", "sv", "tr", "hu", "et"), "ñ¿¡": ("es",), "ãõ": ("pt",), "œ": ("fr",),
    "ł": ("pl",), "ąęśźżćń": ("pl",), "řěů": ("cs",), "ľĺŕô": ("sk",), "őű": ("hu",), "șțăşţ": ("ro",),
    "ğıİ": ("tr",), "å": ("sv", "da", "no"), "øæ": ("da", "no"), "ơưđ": ("vi",), "ạảấầẩẫậắằẳẵặẹẻẽếềểễệ": ("vi",),
    "ļņķģ": ("lv",), "ėųį": ("lt",), "čšžđ": ("hr",), "èùò": ("it",),
}  # fmt: skip
_CYRILLIC = {"ru": "ыэё", "bg": "ъ", "uk": "іїєґ", "be": "ў", "sr": "јљњћђџ", "mk": "ѓќѕ", "kk": "әғқңөұүһ"}
_CYRILLIC_WORDS = {
    "ru": "и в не на что я с он как это по но из у за от так для вы все было мы ваш или если бы был его",
    "uk": "і в не на що я з він як це по але із у за від так для ви всі було ми ваш або якщо та",
    "bg": "и в не на че аз с той като това по но от за да се са ще вие ние ви или ако със към още моля благодаря може",
    "sr": "и у не на да је са он као то по али из за од се су ће ми ви или ако",
    "mk": "и во не на дека јас со тој како тоа по но од за да се ќе ние вие или ако",
}


def _index(words: dict[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for language, text in words.items():
        for word in dict.fromkeys(text.split()):
            found.setdefault(word, []).append(language)
    return {word: tuple(languages) for word, languages in found.items()}


_LATIN_INDEX = _index(_COMMON)
_CYRILLIC_INDEX = _index(_CYRILLIC_WORDS)
_BY_LETTER = {letter: languages for letters, languages in _LETTERS.items() for letter in letters}
_BY_LETTER |= {letter: (language,) for language, letters in _CYRILLIC.items() for letter in letters}


def identify_language(text: str) -> str:
    """Return the ISO 639-1 code of the language that a text is written in, empty when that is not clear."""
    sample = text[:_SAMPLE]
    letters = {name: sum(map(len, found.findall(sample))) for name, found in _IN_SCRIPT.items()}
    # A sign of Chinese or a syllable of Korean says as much as a few letters.
    letters["han"], letters["kana"], letters["ko"] = 3 * letters["han"], 3 * letters["kana"], 2 * letters["ko"]
    script = max(letters, key=lambda name: letters[name])
    if letters[script] < max(_LEAST_LETTERS, _MAJORITY * sum(letters.values())):
        asian = letters["han"] + letters["kana"]
        if asian < max(_LEAST_LETTERS, _MAJORITY * sum(letters.values())):
            return ""
        script = "kana"
    if script in ("han", "kana"):
        return "ja" if letters["kana"] * 10 > letters["han"] else "zh"
    if script == "arabic":
        return _arabic(sample)
    if script == "latin":
        return _by_words(sample, _LATIN_INDEX)
    return _by_words(sample, _CYRILLIC_INDEX) if script == "cyrillic" else script


def _arabic(sample: str) -> str:
    if sample.count("ے") + sample.count("ہ") + sample.count("ٹ") > len(sample) / 100:
        return "ur"
    return "fa" if sum(map(sample.count, "پچژگی")) > len(sample) / 100 else "ar"


def _by_words(sample: str, index: dict[str, tuple[str, ...]]) -> str:
    """Return the language whose common words and own letters the sample has most of."""
    words = _WORD.findall(sample.lower())[:_WORDS]
    points: dict[str, float] = defaultdict(float)
    hits: dict[str, float] = defaultdict(float)
    for word in words:
        for language in (known := index.get(_plain(word), ())):
            points[language] += 1 / len(known) + 0.3
            hits[language] += 1
        for letter in set(word) if not word.isascii() else ():
            for language in (own := _BY_LETTER.get(letter, ())):
                points[language] += 0.5 / len(own)
                hits[language] += 0.5
    best = sorted(points.items(), key=lambda item: -item[1])[:2]
    if not best or hits[best[0][0]] < max(_LEAST_HITS, _LEAST_SHARE * len(words)):
        return ""
    return best[0][0] if len(best) == 1 or best[0][1] >= _LEAD * best[1][1] else ""


def _plain(word: str) -> str:
    """Return a Latin word without its accents."""
    if word.isascii() or word[0] > "Ͱ":
        return word
    plain = unicodedata.normalize("NFD", word.replace("ß", "ss").replace("ł", "l").replace("ø", "o").replace("đ", "d"))
    return "".join(char for char in plain if not unicodedata.combining(char))
