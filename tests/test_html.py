"""Text of HTML: which elements separate words, and which do not."""

from __future__ import annotations

import pytest
from support import extract

from qrank.ingest.chunk import chunk

# The elements of the HTML standard (and of pages before it), by how browsers lay them out.
BLOCKS = (
    "address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hgroup legend li listing main menu ol p pre "
    "search section summary ul"
).split()
INLINE = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label map mark nobr "
    "output q s samp small span strike strong sub sup time tt u var custom-element"
).split()
BOXES = "button textarea".split()
EMPTY = {"br": " ", "hr": " ", "wbr": "", "img": " ", "input": " ", "embed": " ", "link": ""}
EMPTY |= {"meta": "", "base": "", "area": " "}
HIDDEN = "script style template noscript datalist".split()
UNREAD = "nav iframe audio video canvas".split()
TABLE = "caption thead tbody tfoot tr td th".split()


def words(page: str) -> list[str]:
    text = extract("a.html", f"<!DOCTYPE html><body>{page}</body>".encode()).text
    return text.replace("|", " ").replace("#", " ").replace("- ", " ").split()


@pytest.mark.parametrize("outer", ["<div>%s</div>", "<table><tr><td>x</td><td>%s</td></table>"])
@pytest.mark.parametrize("tag", BLOCKS + INLINE + BOXES)
def test_the_words_beside_an_element(tag: str, outer: str) -> None:
    found = words(outer % f"alpha<{tag}>beta</{tag}>gamma")
    parted = ["alpha", "beta", "gamma"] if tag in BLOCKS + BOXES else ["alphabetagamma"]
    assert [word for word in found if word != "x"] == parted


@pytest.mark.parametrize("tag", EMPTY)
def test_the_words_beside_an_empty_element(tag: str) -> None:
    assert words(f"<div>alpha<{tag}>gamma</div>") == f"alpha{EMPTY[tag]}gamma".split()


@pytest.mark.parametrize("tag", HIDDEN + UNREAD)
def test_the_words_beside_what_is_not_read(tag: str) -> None:
    between = "" if tag in HIDDEN else " "
    inner = "<option>beta</option>" if tag == "datalist" else "beta"
    assert words(f"<div>alpha<{tag}>{inner}</{tag}>gamma</div>") == f"alpha{between}gamma".split()


def test_choices_formulas_and_what_stands_for_an_object_are_read() -> None:
    assert words("<p>a<select><option>b<option>c</select>d</p>") == ["a", "b", "c", "d"]
    assert words("<p>a<object data=x.swf>the <b>map</b></object>d</p>") == ["a", "the", "map", "d"]
    formula = "<math><semantics><mrow><mi>sin</mi><mi>x</mi><mo>=</mo><mn>1</mn></mrow>"
    formula += "<annotation>\\sin x</annotation></semantics></math>"
    assert words(f"<p>a {formula}b</p>") == ["a", "sin", "x", "=", "1", "b"]


def test_the_words_of_a_table_are_apart() -> None:
    rows = "<tr><th>b<th>c</tr>"
    page = f"<table><caption>a</caption><thead>{rows}</thead><tbody>{rows}<tr><td><p>d<p>e"
    page += "<td>f<ul><li>g<li>h</ul>i</tbody><tfoot><tr><td>j</tfoot></table>k"
    assert words(page) == [*"abcbcdefghijk"]


def test_what_stands_for_a_picture_is_text() -> None:
    page = '<p>before<img src="x.png" alt="a falcon">after<input type=image alt="Go"></p>'
    assert words(page) == ["before", "a", "falcon", "after", "Go"]


def test_how_a_word_is_read_is_beside_it() -> None:
    page = "<p>今日は<ruby>東<rp>(</rp><rt>とう</rt><rp>)</rp>京<rt>きょう</rt></ruby>へ</p>"
    assert words(page) == ["今日は東京", "(とうきょう)", "へ"]


def test_the_description_of_a_page_is_text() -> None:
    page = "<html><head><title>T</title>\n<meta name=Description content='About kestrels'></head>"
    made = chunk(extract("a.html", f"{page}<body><h1>One</h1><p>text".encode()))
    assert [(c.text, c.start_line) for c in made] == [("About kestrels\n\n# One\n\ntext", 2)]


def test_what_a_page_says_of_itself_is_found() -> None:
    page = (
        '<meta name="author" content="Ada L."><meta name="keywords" content="knots, dunlins">'
        '<meta property="og:description" content="About knots"><p>text'
    )
    made = extract("a.html", page.encode())
    assert made.fields == {"author": "Ada L.", "keywords": ["knots", "dunlins"]}
    assert made.text == "About knots\n\ntext"


def test_the_number_of_a_note_is_no_part_of_a_word() -> None:
    page = 'knot<sup><a href="#1">1</a></sup> dunlin<a href="#2"><sup>2</sup></a> m<sup>2</sup>'
    assert words(f"<p>{page}</p>") == ["knot", "1", "dunlin", "2", "m2"]


def test_who_speaks_is_text() -> None:
    cue = "WEBVTT\n\n00:07.000 --> 00:08.000\n<v.loud Ada L.>A knot.</v>\n<v Bob>Where?\n"
    assert extract("a.vtt", cue.encode()).text == "[00:00:07] Ada L.: A knot.\nBob: Where?"


def test_what_is_said_has_its_time() -> None:
    cues = [f"{i}\n00:{i:02}:01,000 --> 00:{i:02}:03,000\nline {i} {'x' * 40}" for i in range(30)]
    found = chunk(extract("a.srt", "\n\n".join(cues).encode()))
    assert len(found) > 1
    for i in range(30):
        [made] = [c for c in found if f"line {i} " in c.text]
        assert f"[00:{i:02}:01] line {i} " in made.text
        assert made.start_line <= 4 * i + 3 <= made.end_line
        assert made.text.startswith(f"[{made.heading}] ")


def test_subtitles_of_other_programs() -> None:
    ass = (
        "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, "
        "Text\n"
        "Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,no\n"
        "Dialogue: 0,0:00:05.10,0:00:06.00,Default,Ann,0,0,0,,{\\i1}The kestrel,\\Nand more{\\i0}\n"
    )
    [made] = chunk(extract("a.ass", ass.encode("utf-8-sig")))
    assert (made.heading, made.text) == ("00:00:05", "[00:00:05] The kestrel,\nand more")
    assert (made.start_line, made.end_line) == (4, 4)
    vtt = "WEBVTT\n\nNOTE no\n\n00:07.000 --> 00:08.000\nA &amp; <b>B</b>\nA &amp; B\n"
    [made] = chunk(extract("a.vtt", vtt.encode()))
    assert made.text == "[00:00:07] A & B"


def test_what_is_said_outside_of_a_cue_is_kept() -> None:
    first = "1\n00:00:01,000 --> 00:00:02,000\nThe kestrel\n\nhovers.\n\n"
    srt = f"{first}2\nIt has no time.\n\n3\n00:00:09,000 --> 00:00:10,000\nThe end\n"
    [made] = chunk(extract("a.srt", srt.encode()))
    assert made.text == "[00:00:01] The kestrel\nhovers.\nIt has no time.\n[00:00:09] The end"
    head = "WEBVTT\nKind: captions\n\nSTYLE\n::cue {}\n\n"
    aside = "NOTE no\nnor this\n\nsecond\n00:09.000 --> 00:10.000\nThe end\n"
    [made] = chunk(extract("a.vtt", (head + first.replace(",", ".") + aside).encode()))
    assert made.text == "[00:00:01] The kestrel\nhovers.\n[00:00:09] The end"


def test_cdata_is_text_in_xhtml_and_a_comment_in_html() -> None:
    body = "<p>one <![CDATA[kestrel & <b>merlin</b>]]> two</p><script>//<![CDATA[\nx //]]></script>"
    page = f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
    wanted = "one kestrel & <b>merlin</b> two"
    for head in ("", '<?xml version="1.0"?>\n'):
        assert extract("a.xhtml", (head + page).encode()).text == wanted
    assert "kestrel" not in extract("a.html", f"<body>{body}</body>".encode()).text
