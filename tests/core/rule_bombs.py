"""Rules that would be slow, large or deep: each must be refused at saving, quickly, with the place of its clause.

Every source begins with a sound clause, so that a refusal which only points at the beginning is found out. The schema
is rule_shop.WIDE: each of its lists may have 256 items, as those without maxItems.
"""

SOUND = "event.qty > 0 &&\n "

_FOUR = "event.tags.{0}(a, event.tags.{0}(b, event.tags.{0}(c, event.tags.{0}(d, a + b + c != d))))"
_NINE = "[1,2,3,4,5,6,7,8,9]"
DEEP, DEAR, LONG, LARGE = "nested too deep", "may cost", "written out, at most 256", "at most 8192"
MANY = "words and signs, at most 2,000"

CLAUSES: dict[str, tuple[str, str]] = {
    "four all()": (_FOUR.format("all"), DEAR),
    "four exists()": (_FOUR.format("exists"), DEAR),
    "two lists crossed": ("event.lines.exists(l, event.tags.exists(t, t == l.sku))", DEAR),
    "map in map in map": (
        "size(event.tags.map(a, event.tags.map(b, event.tags.map(c, a + b + c)))) > 0",
        DEAR,
    ),
    "filter of a filter in a filter": (
        "event.tags.filter(a, event.tags.filter(b, event.tags.filter(c, c == a).size() > 1).size() > 1).size() > 1",
        DEAR,
    ),
    "exists_one() squared": ("event.scores.exists_one(s, event.scores.exists_one(t, t > s))", DEAR),
    "in a mapped list, for each item": ("event.tags.all(t, t in event.tags.map(u, u + t))", DEAR),
    "a list compared for each item": ("event.tags.all(t, event.tags + [t] == event.tags)", DEAR),
    "text that doubles": ("['ab']" + ".map(x, x + x)" * 25 + " == ['']", DEAR),
    "a list that doubles": ("[['ab']]" + ".map(x, x + x)" * 25 + " == [['']]", DEAR),
    "an attribute that doubles": ("event.tags" + ".map(x, x + x)" * 20 + ".exists(x, x == 'a')", DEAR),
    "lists added up": ("(" + " + ".join(["event.tags"] * 20) + ").all(t, t == 'a' || t == 'b')", DEAR),
    "cohorts crossed": ("cohorts.exists(c, event.tags.exists(t, t == c))", DEAR),
    "a long predicate for each item": (
        "event.lines.all(l, " + " || ".join(f"l.n == {n}" for n in range(30)) + ")",
        DEAR,
    ),
    "a calendar for each item": (
        "event.tags.all(t, event.at.getHours('Asia/Tokyo') + event.at.getDate() > event.at.getMonth())",
        DEAR,
    ),
    "literal lists crossed": (
        f"{_NINE}.all(a, {_NINE}.all(b, {_NINE}.all(c, {_NINE}.all(d, a + b + c + d > event.qty))))",
        DEAR,
    ),
    "text searched again and again": (
        " || ".join("(event.category + event.category).contains('aa')" for _ in range(60)),
        DEAR,
    ),
    "a pattern repeated": ("event.category.matches('[ab]{0,900}[ab]{0,900}')", "instructions, repetition written out"),
    "twelve patterns repeated": (
        " || ".join(f"event.category.matches('[ab]{{0,900}}{'[ab]{0,900}' * 5}{n}')" for n in range(12)),
        "instructions, repetition written out",
    ),
    "a pattern of letters": ("event.category.matches(r'" + r"\pL" * 2000 + "')", "at most 512"),
    "a pattern of many states": ("event.category.matches('a[ab]{200}c')", DEAR),
    "patterns for each item": ("event.tags.exists(t, t.matches('a[ab]{8}c'))", DEAR),
    "many small patterns": (" || ".join(["event.category.matches('^ab?$')"] * 60), DEAR),
    "patterns on little texts": (" || ".join("'a'.matches('a[ab]{99}c')" for n in range(60)), "at most 2,000"),
    "cohorts sorted again and again": (" || ".join(["cohorts[0] == 'a'"] * 60), DEAR),
    "a text in a text": (" || ".join(["event.category.contains(event.coupon)"] * 60), DEAR),
    "the parts of each text of a list": ("event.tags.exists(t, t.split(',').size() > 3)", DEAR),
    "parts crossed": ("event.category.split('').exists(a, event.category.split('').exists(b, a == b))", DEAR),
    "a text for each letter of a text": ("event.category.replace('', event.category).contains('aa')", DEAR),
    "a long text for each letter": ("event.category.replace('', '" + "x" * 4000 + "').contains('aa')", DEAR),
    "a list joined for each item": ("event.tags.exists(t, event.tags.join(',') == t)", DEAR),
    "joined texts that double": ("event.tags" + ".map(x, [x, x].join())" * 20 + ".exists(x, x == 'a')", DEAR),
    "a list summed for each item": ("event.lines.all(l, sum(event.lines.map(m, m.n)) > l.n)", DEAR),
    "a list's values told apart for each item": ("event.tags.all(t, size(event.tags.distinct()) > 1)", DEAR),
    "cohorts told apart": (" || ".join(["'a' in cohorts.distinct()"] * 4), DEAR),
    "texts looked for in texts": (" || ".join(["event.category.split(event.coupon).size() > 2"] * 3), DEAR),
    "long texts in lower case": (" || ".join(["event.category.lowerAscii().trim() == 'a'"] * 99), DEAR),
    "a long list": ("event.qty in [" + ", ".join(map(str, range(1000))) + "]", LONG),
    "a long list of doubles": ("event.price in [" + ", ".join(map(str, range(1000))) + "]", LONG),
    "a large map": ("event.category in {" + ", ".join(f"'{n}': 1" for n in range(600)) + "}", LONG),
    "a chain of +": ("event.qty" + " + 1" * 900 + " > 0", DEEP),
    "a chain of text": ("event.category" + " + 'a'" * 900 + " == ''", DEEP),
    "parentheses": ("(" * 900 + "true" + ")" * 900, DEEP),
    "brackets": ("[" * 200 + "]" * 200 + " == []", DEEP),
    "?: in ?:": ("event.gift ? true : " * 300 + "false", DEEP),
    "calls in calls": ("size(" * 600 + "event.tags" + ")" * 600 + " > 0", DEEP),
    "indexes": ("event.tags" + "[0]" * 600 + " == ''", DEEP),
    "fields": ("event" + ".a" * 900 + " == 1", DEEP),
    "terms without end": (" || ".join(["event.gift"] * 540), MANY),
    "a literal of a megabyte": ("event.category == '" + "a" * 1_000_000 + "'", LARGE),
    "a list of a megabyte": ("event.qty in [" + "1," * 500_000 + "1]", LARGE),
}
