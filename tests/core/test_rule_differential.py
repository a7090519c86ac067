"""Our compiler and Google's CEL on generated rules and events: one answer, errors too."""

from string import Formatter

from cel_expr_python import cel
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fillip.core.rule import RuleError, compile_rule, decode_rule
from fillip.core.rule.compile import build_exact
from tests.core.rule_shop import (
    ACTION,
    ENVIRONMENT,
    LIST_MESSAGE,
    LISTS,
    USER,
    build_message,
    check,
    is_taken,
    read_event,
    read_user,
)

INTS = st.sampled_from([0, 1, -1, 2, 7, -7, 2**62, -(2**63), 2**63 - 1])
DOUBLES = st.sampled_from([0.0, -0.0, 1.5, -2.25, 500.0, 1e18, 1e300, -1e300])
WORDS = st.sampled_from(["", "a", "ab", "é", "𝄞", "12", "-7", "true", "1h", "2026-01-01T00:00:00Z"])
INSTANTS = st.sampled_from(
    ["1970-01-01T00:00:00Z", "2026-03-29T01:30:00.250Z", "2000-02-29T23:59:59+05:30", "9999-12-30T23:59:59.999999Z"]
)
EVENTS = st.fixed_dictionaries(
    {
        "qty": INTS,
        "stock": st.none() | INTS,
        "price": DOUBLES,
        "rate": st.none() | DOUBLES,
        "category": WORDS,
        "coupon": st.none() | WORDS,
        "gift": st.booleans(),
        "member": st.none() | st.booleans(),
        "at": INSTANTS,
        "tags": st.lists(WORDS, max_size=3),
        "scores": st.lists(DOUBLES, max_size=3),
        "lines": st.lists(st.fixed_dictionaries({"sku": WORDS, "n": INTS}), max_size=3),
    }
)
USERS = st.fixed_dictionaries({"tier": st.none() | WORDS, "vip": st.none() | st.booleans()})

ATOMS = {
    "int": ["event.qty", "event.stock", "0", "1", "-7", "2", "9223372036854775807", "size(event.tags)"],
    "ints": ["[event.qty, 1]", "[event.stock]", "event.lines.map(l, l.n)", "lists.numbers", "[7, -7, 7]"],
    "double": ["event.price", "event.rate", "1.5", "0.0", "-2.25", "1e300"],
    "string": ["event.category", "event.coupon", "user.tier", "'a'", "'é'", "'12'", "'1h'"],
    "bool": [
        "event.gift",
        "event.member",
        "user.vip",
        "true",
        "false",
        "has(event.stock)",
        "has(event.tags)",
        "has(lists.words)",
        "has(lists.none)",
    ],
    "time": ["event.at", "timestamp('2026-01-01T00:00:00Z')", "timestamp(0)"],
    "span": ["duration('1h')", "duration('-1.5s')", "duration('2562047h')"],
    "strings": ["event.tags", "['a', 'é']", "[event.coupon]", "cohorts"],
    "doubles": ["event.scores", "[1.5, 0.0]", "[event.rate]"],
}
FORMS = {
    "int": ["({int} + {int})", "({int} - {int})", "({int} * {int})", "({int} / {int})", "({int} % {int})", "(-{int})",
            "({bool} ? {int} : {int})", "int({double})", "int({string})", "int({time})", "size({string})",
            "event.at.getHours('Europe/Paris')", "{time}.getDayOfWeek()", "{time}.getDayOfYear()",
            "{time}.getFullYear()",
            "{time}.getMilliseconds()", "{span}.getMinutes()", "{span}.getMilliseconds()",
            "{{'a': 1, 'é': 2}}[{string}]",
            "event.lines[{int}].n", "int(uint({int}))",
            "lists.numbers[{int}]", "size(lists.words)", "size({strings}.filter(s, s < {string}))",
            "sum({ints})", "{ints}.sum()", "min({ints})", "{ints}.min()", "max({ints})", "{ints}.max()", "{ints}[{int}]",
            "math.least({int}, {int})", "math.greatest({int}, {int})", "math.greatest({int}, {int}, {int})",
            "math.least({ints})", "size(distinct({ints}))", "size({strings}.distinct())", "size({string}.split({string}))"],
    "ints": ["({ints} + {ints})", "{ints}.map(n, n / 2)", "{ints}.filter(n, n > {int})", "{ints}.distinct()",
             "{strings}.map(s, size(s))"],
    "double": ["({double} + {double})", "({double} * {double})", "({double} / {double})", "(-{double})",
               "double({int})",
               "double({string})", "({bool} ? {double} : {double})", "{doubles}[{int}]", "sum({doubles} + [1.5])", "([0.0] + {doubles}).sum()",
               "min({doubles})", "{doubles}.max()", "math.least({double}, {double})", "math.greatest({double}, 0.0, {double})",
               "math.greatest({doubles})"],
    "string": ["({string} + {string})", "string({int})", "string({bool})", "string({time})", "string({span})",
               "({bool} ? {string} : {string})", "{strings}[{int}]", "event.lines[0].sku",
               "{string}.lowerAscii()", "{string}.upperAscii()", "{string}.trim()", "{string}.substring({int})",
               "{string}.replace({string}, {string})", "{string}.replace({string}, 'b', {int})", "{strings}.join()",
               "{strings}.join({string})", "{strings}.min()", "max({strings})"],
    "bool": ["({bool} && {bool})", "({bool} || {bool})", "(!{bool})", "({int} < {int})", "({int} == {int})",
             "({double} >= {double})", "({double} != {double})", "({string} <= {string})", "({string} == {string})",
             "({bool} == {bool})", "({time} < {time})", "({span} > {span})", "({string} in {strings})",
             "({double} in {doubles})", "({int} in [1, 2, -7])",
             "({string} in lists.words)", "({int} in lists.numbers)", "(event.coupon in lists.none)", "{string}.contains({string})",
             "{string}.startsWith({string})", "{string}.endsWith({string})", "(event.coupon == null)",
             "({strings} == {strings})", "({doubles} == {doubles})", "({ints} == {ints})", "({int} in {ints})", "({string} in {{'a': 1}})", "bool({string})",
             "{string}.matches('^[a-zé]*$')", "matches({string}, '(?i)A|\\\\d+')",
             "event.lines.exists(l, l.n > {int} || l.sku == {string})", "event.lines.all(l, 10 / l.n >= {int})",
             "{strings}.exists(s, s == {string} && {bool})", "{strings}.exists_one(s, s < {string})",
             "{doubles}.all(d, d / {double} > 1.0)", "(event.lines.map(l, l.n / 2) == [{int}])"],
    "time": ["({time} + {span})", "({time} - {span})", "timestamp({int})", "timestamp({string})"],
    "span": ["({time} - {time})", "({span} + {span})", "({span} - {span})", "duration({string})"],
    "strings": ["({strings} + {strings})", "{strings}.map(s, s + {string})", "({bool} ? {strings} : {strings})",
                "{string}.split({string})", "{string}.split('a')", "{string}.split({string}, {int})", "{strings}.distinct()",
                "distinct({strings})"],
    "doubles": ["({doubles} + {doubles})", "{doubles}.map(d, d * {double})", "{doubles}.map(d, d > 0.0, d)", "{doubles}.distinct()",
                "{doubles}.map(d, d / d)"],
}  # fmt: skip


@st.composite
def expressions(draw, kind="bool", depth=4):
    """The text of a well-typed expression."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(ATOMS[kind]))
    form = draw(st.sampled_from(FORMS[kind]))
    parts = [
        (text, hole and draw(expressions(kind=hole, depth=depth - 1))) for text, hole, _, _ in Formatter().parse(form)
    ]
    return "".join(text + (hole or "") for text, hole in parts)


def answer_cel(expression, bound):
    """Google's answer, or None for an error."""
    answer = expression.eval(data=bound)
    return None if answer.type() == cel.Type.ERROR else answer.value()


def ask_ours(rule, event, user, cohorts):
    """Our answer on typed values, or None for an error."""
    try:
        return rule(event, user, cohorts)
    except RuleError:
        return None


@settings(max_examples=150, deadline=None)
@given(expressions(), st.lists(EVENTS, min_size=4, max_size=4), USERS, st.frozensets(WORDS, max_size=2))
def test_both_give_one_answer(source, events, user, cohorts):
    assume(is_taken(source))
    checked = check(source)
    forms = [compile_rule(checked, LISTS), build_exact(decode_rule(checked).root, LISTS)]
    expression = ENVIRONMENT.compile(source)
    for event in events:
        bound = {
            "event": build_message("event", ACTION, event),
            "user": build_message("user", USER, user),
            "cohorts": sorted(cohorts),
            "lists": LIST_MESSAGE,
        }
        wanted = answer_cel(expression, bound)
        got = [ask_ours(form, read_event(event), read_user(user), cohorts) for form in forms]
        assert got == [wanted, wanted], source
