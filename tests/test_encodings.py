"""Texts in many encodings: declared, wrongly declared, not declared."""

from __future__ import annotations

import base64
import codecs
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, extract

from qrank.ingest.decode import decode, decode_labelled
from qrank.ingest.extract import documents
from qrank.ingest.labels import codec_of

Qrank = Callable[..., Run]

SENTENCES = {
    "de": "Die Pumpe fördert Wasser über den Hügel, große Mengen für die Straße und den Garten.",
    "fr": "La pompe est située derrière l’église, à côté du vieux château, près de la forêt.",
    "es": "El señor Muñoz cambió ayer la bomba vieja del jardín; ¿quién la pagó? Él mañana.",
    "ru": "Насос стоит за старым домом, у колодца, и каждый день качает воду в сад.",
    "uk": "Насос стоїть за старим будинком біля криниці й щодня качає воду для саду.",
    "bg": "Помпата стои зад старата къща до кладенеца и всеки ден изпомпва вода.",
    "pl": "Pompa stoi za starym domem obok studni i codziennie dostarcza wodę dla całej łąki.",
    "cs": "Čerpadlo stojí za starým domem vedle studny a každý den čerpá vodu pro zahradu.",
    "hu": "A szivattyú a régi ház mögött áll, a kút mellett, és minden nap vizet húz a kertnek.",
    "tr": "Pompa eski evin arkasında, kuyunun yanında duruyor ve her gün bahçeye su çekiyor.",
    "lt": "Siurblys stovi už seno namo, šalia šulinio, ir kiekvieną dieną tiekia vandenį sodui.",
    "lv": "Sūknis stāv aiz vecās mājas blakus akai un katru dienu sūknē ūdeni dārzam.",
    "el": "Η αντλία βρίσκεται πίσω από το παλιό σπίτι, δίπλα στο πηγάδι, και δίνει νερό.",
    "he": "המשאבה נמצאת מאחורי הבית הישן ליד הבאר ושואבת מים לגינה בכל יום.",
    "ar": "المضخة موجودة خلف البيت القديم بجانب البئر وتضخ الماء إلى الحديقة كل يوم.",
    "th": "ปั๊มน้ำอยู่หลังบ้านเก่าข้างบ่อน้ำและสูบน้ำให้สวนทุกวัน",
    "ja": "ポンプは古い家の裏の井戸のそばにあり、毎日庭に水を送っています。",
    "zh": "水泵在老房子后面的井旁边，每天为花园抽水两次，从来没有坏过。",
    "tw": "抽水機在老房子後面的井旁邊，每天為花園抽水兩次，從來沒有壞過。",
    "ko": "펌프는 오래된 집 뒤의 우물 옆에 있으며 매일 정원에 물을 보냅니다.",
}
CASES = [
    *(("cp1252", "de"), ("cp1252", "fr"), ("cp1252", "es"), ("iso-8859-15", "es"), ("cp850", "de")),
    *(("mac-roman", "es"), ("cp1251", "ru"), ("koi8-r", "ru"), ("cp866", "ru")),
    *(("iso-8859-5", "ru"), ("mac-cyrillic", "ru"), ("cp1251", "uk"), ("koi8-u", "uk")),
    *(("cp1251", "bg"), ("cp1250", "pl"), ("iso-8859-2", "pl"), ("cp852", "pl"), ("cp1250", "cs")),
    *(("iso-8859-2", "cs"), ("cp1250", "hu"), ("cp1254", "tr"), ("cp857", "tr"), ("cp1257", "lt")),
    *(("iso-8859-13", "lt"), ("cp1257", "lv"), ("cp1253", "el"), ("iso-8859-7", "el")),
    *(("cp1255", "he"), ("iso-8859-8", "he"), ("cp1256", "ar"), ("cp874", "th"), ("cp932", "ja")),
    *(("euc_jp", "ja"), ("iso2022_jp", "ja"), ("gb18030", "zh"), ("gbk", "zh"), ("big5", "tw")),
    *(("cp949", "ko"), ("iso2022_kr", "ko"), ("utf-16-le", "ru"), ("utf-16-be", "zh")),
    ("hz", "zh"),
    *(("utf-16-le", "ja"), ("utf-32-le", "el"), ("utf-16-be", "ko"), ("utf-16-le", "ar")),
]


@pytest.mark.parametrize(("encoding", "language"), CASES)
def test_a_sentence_is_read_in_its_encoding(encoding: str, language: str) -> None:
    text = SENTENCES[language]
    wide = encoding.startswith("utf")  # told by its line ends
    for lines in ([] if wide else [text]) + [f"{text}\r\n\r\nplain English words\r\n{text}\r\n"]:
        assert decode(lines.encode(encoding))[0] == lines


@pytest.mark.parametrize("text", ["$x =~{abcdefgh}~}", "~{aabbccddeeff~}", "~{ABC~}", "a ~{ b"])
def test_code_is_no_chinese(text: str) -> None:
    assert decode(text.encode())[0] == text


@pytest.mark.parametrize(
    "text",
    [
        *("25° C outside", "It’s “fine” – €5", "© 2003 Müller", "Größe", "¿Qué?", "½ cup of milk"),
        *("costs £5", "Œuvre", "Zoë", "smörgåsbord", "piñata", "• first\n• second", "São Paulo"),
        *("She said “no”.", "§ 5 Abs. 2", "José García", "ESPAÑA", "Malmö 1° west", "x = 'é'"),
    ],
)
def test_a_few_letters_are_western(text: str) -> None:
    assert decode(text.encode("cp1252"))[0] == text


def test_no_text_is_binary_for_want_of_an_encoding() -> None:
    for code in range(0x80, 0x100):
        for pattern in (b"%c", b"a%cb", b"%c%c \n%c", b"x %c%c%c%c%c y"):
            data = pattern.replace(b"%c", bytes([code]))
            assert extract("a.txt", data).text
    assert decode(b"plain\n" * 20_000 + "Größe\n".encode("cp1252"))[0].endswith("Größe\n")


def test_lines_in_another_encoding_cost_themselves() -> None:
    lines = [text.encode() for text in (SENTENCES["fr"], SENTENCES["ru"])]
    text = decode(b"\n".join([*lines, "Größe über Zürich".encode("cp1252")]))[0]
    assert text.split("\n") == [SENTENCES["fr"], SENTENCES["ru"], "Größe über Zürich"]


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        *(("iso-8859-1", "cp1252"), ("US-ASCII", "cp1252"), ("ISO-8859-9", "cp1254")),
        *(("gb2312", "gb18030"), ("GBK", "gb18030"), ("ks_c_5601-1987", "cp949")),
        *(("euc-kr", "cp949"), ("Shift_JIS", "cp932"), ("x-sjis", "cp932"), ("big5", "big5hkscs")),
        *(("iso-8859-11", "cp874"), ("tis-620", "cp874"), ("x-user-defined", "cp1252")),
        *(("iso-8859-8-i", "iso8859-8"), ("x-mac-cyrillic", "mac-cyrillic"), ("utf8", "utf-8")),
        *(("unicode-1-1-utf-7", "utf-7"), ("windows1252", "cp1252"), ("iso8859_15", "iso8859-15")),
        *((" 'UTF-8' ", "utf-8"), ("cp437", "cp437"), ("koi8-u", "koi8-u"), ("utf8mb4", "utf-8")),
    ],
)
def test_a_label_means_what_programs_mean_by_it(label: str, codec: str) -> None:
    assert codecs.lookup(codec_of(label)).name == codecs.lookup(codec).name


@pytest.mark.parametrize("label", ["rot13", "hex", "idna", "nope", "", "é", "unknown-8bit", "a\0b"])
def test_what_is_no_encoding_is_no_label(label: str) -> None:
    with pytest.raises(LookupError):
        codec_of(label)


WINDOWS = [
    ("iso-8859-1", "cp1252", "“It’s 40 €” for the Škoda œuvre"),
    ("us-ascii", "cp1252", "“It’s 40 €” for the café"),
    ("iso-8859-9", "cp1254", "İstanbul’da 40 € Škoda"),
    ("gb2312", "gb18030", "朱镕基与陶喆谈生意"),
    ("shift_jis", "cp932", "株式会社㈱の売上①は増加"),
    ("euc-jp", "euc_jisx0213", "株式会社㈱の売上①は増加"),
    ("ks_c_5601-1987", "cp949", "똠방각하 펲시"),
    ("big5", "big5hkscs", "裏面的香港字：啲嘢咗"),
    ("iso-8859-11", "cp874", "ราคา “40 €” …"),
]
WRONG = [
    ("utf-8", "cp1252", "Der Müller fährt über die Straße."),
    ("iso-8859-1", "utf-8", "Der Müller fährt über die Straße."),
    ("gb2312", "utf-8", "朱镕基与陶喆谈生意"),
    ("utf-8", "gb18030", "水泵在老房子后面的井旁边"),
    ("utf-8", "cp1251", SENTENCES["ru"]),
    ("big5", "gb18030", SENTENCES["zh"]),
    ("utf-16", "utf-8", "Kestrel in eight bits though it says sixteen é"),
    ("no-such", "koi8-r", SENTENCES["ru"]),
    ("shift_jis", "euc_jp", SENTENCES["ja"]),
    ("iso-8859-1", "cp1251", SENTENCES["ru"]),
    ("iso-8859-1", "cp1250", SENTENCES["cs"]),
    ("iso-8859-1", "cp932", SENTENCES["ja"]),
]


@pytest.mark.parametrize(("label", "encoding", "text"), [*WINDOWS, *WRONG])
def test_pages_and_mails_are_read_as_they_are(label: str, encoding: str, text: str) -> None:
    data = text.encode(encoding)
    assert decode_labelled(data, label) == text
    page = b'<html><head><meta charset="%s"></head><body><p>%s</p>' % (label.encode(), data)
    assert extract("a.html", page).text == text
    book = b'<?xml version="1.0" encoding="%s"?><html><body><p>%s</p>' % (label.encode(), data)
    assert extract("a.xhtml", book).text == text
    head = b"From: a@b.c\nMIME-Version: 1.0\nContent-Type: text/plain; charset=%s\n"
    for way, body in ((b"8bit", data), (b"base64", base64.b64encode(data))):
        mail = head % label.encode() + b"Content-Transfer-Encoding: %s\n\n%s\n" % (way, body)
        assert extract("a.eml", mail).text.split("\n\n")[1] == text


def test_windows_characters_in_seven_bits() -> None:
    data = b"\x1b$B\x2d\x21\x47\x64\x3e\x65\x1b(B uriage\n"
    assert decode(data)[0] == decode_labelled(data, "iso-2022-jp") == "①売上 uriage\n"


def test_a_character_that_is_cut_costs_itself() -> None:
    for encoding, label in (("cp932", "shift_jis"), ("gb18030", "gbk"), ("utf-8", "utf-8")):
        text = SENTENCES["ja" if encoding == "cp932" else "zh"]
        assert decode_labelled(text.encode(encoding)[:-1], label)[:-1] == text[:-1]
        assert decode(text.encode(encoding)[:-1])[0][:20] == text[:20]


@pytest.mark.parametrize("name", ["a.srt", "a.csv", "a.md", "a.jsonl", "a.rst", "a.json"])
def test_every_text_format_is_read_in_its_encoding(name: str) -> None:
    for encoding, language in (("koi8-r", "ru"), ("cp932", "ja"), ("cp1250", "cs")):
        text = SENTENCES[language]
        data = {
            "a.srt": f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n",
            "a.csv": f'id;text\n1;"{text}"\n2;x\n',
            "a.md": f"---\ntitle: {text[:8]}\n---\n\n{text}\n",
            "a.jsonl": f'{{"text": "{text}"}}\n',
            "a.json": f'{{"text": "{text}"}}\n',
        }.get(name, text)
        found = [*documents(io.BytesIO(data.encode(encoding)), name)]
        assert text in found[0].text
        if name == "a.md":
            assert found[0].title == text[:8]


def test_words_are_found_whatever_the_encoding(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for encoding, language in (("cp866", "ru"), ("euc_jp", "ja"), ("cp1254", "tr")):
        (tmp_path / "d" / f"{language}.txt").write_bytes(SENTENCES[language].encode(encoding))
    assert qrank("index", "d", "--no-embed", "--db", "i.db").stderr == ""
    for word, name in (("колодца", "ru.txt"), ("井戸", "ja.txt"), ("kuyunun", "tr.txt")):
        [row] = qrank("search", "--mode", "bm25", "--db", "i.db", "--jsonl", word).lines()
        assert row["path"].endswith(name)
