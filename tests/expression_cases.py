"""Expressions over the table of sql_data, as data: each is compared with DuckDB, plain and dictionary-coded."""

from __future__ import annotations

ARITHMETIC = """
j + 1 | j - 3 | j * j | -j | j / 2 | j / 0 | j // 2 | j // -2 | j // 0 | j % 3 | j % -3 | j % 0 | i % 7 | i // 3
i / 7 | f + 1 | f - f | f * 2 | f / 3 | f / 0 | 1 / g | f % 2 | f // 2 | j + f | f + 1.5::double | -f
j * 2 + 1 - j // 3 | abs(j) | abs(f) | sign(j) | sign(f) | sign(i) | round(f) | round(f, 2) | round(f, -2)
round(j, -1) | round(j) | round(f, j::int) | floor(f) | ceil(f) | ceiling(f) | trunc(f) | trunc(j) | floor(j)
sqrt(abs(g)) | sqrt(j) | ln(j) | log10(g) | log2(f) | log(100) | log(2, 8) | log(g) | exp(j) | exp(g) | pow(g, 2)
power(j, 2) | pow(j, 0.5::double) | j ** 2 | g ^ 2 | cbrt(f) | isnan(f) | isinf(f) | isfinite(f) | pi() * j
greatest(j, 2) | greatest(f, g) | least(f, g) | least(j, f, 1) | greatest(s, t) | least(s, 'b') | greatest(ts, ts2)
least(d, DATE '2005-06-03') | greatest(j, NULL) | j & 3 | j|8 | xor(j, 5) | ~j | j >> 1 | 1 << 3 | mod(j, 3)
add(j, 1) | bit_count(j) | sin(g) | cos(g) | degrees(g) | radians(g) | atan2(g, 2) | i + 0 | i - 0 | 7 - 2 - 1
2 * 3 % 4 | -g ^ 2 | 2 ** 3 ** 2 | 6 & 3 | 8 // 3 * 2 | 1 + 2 | j + NULL | NULL / j | abs(NULL::bigint)
"""

COMPARISON = """
j = 1 | j <> 1 | j != 1 | j < 2 | j <= 2 | j > 2 | j >= 2 | f = f | f <> f | f < g | f <= g | f > g | f >= g
f = 'nan'::double | f > 1 | f < 'nan'::double | f = 0 | f = -0.0::double | i > 5 | i = 9007199254740993 | s = 'a'
s < 'b' | s >= t | s <> t | j = '1' | f = '0.5' | f < '2.5' | ts > '2005-06-03' | ts = '1970-01-01'
ts <= TIMESTAMP '2000-02-29 00:00:00' | d = '2005-06-03' | d < ts | ts = d | d >= DATE '2000-03-01' | p = true | p
NOT p | p AND j > 0 | p OR j > 0 | p AND NULL | p OR NULL | NOT (p AND j > 0) | j > 0 AND j < 3 AND p
j = 1 OR j = 2 OR j = 3 | j AND p | NOT j | s IS NULL | s IS NOT NULL | n IS NULL | j IS DISTINCT FROM 1
s IS NOT DISTINCT FROM t | f IS DISTINCT FROM g | j IS NOT DISTINCT FROM NULL | p IS TRUE | p IS NOT TRUE | p IS FALSE
j IN (1, 2, 3) | j IN (1, NULL) | j NOT IN (1, 2) | j NOT IN (1, NULL) | s IN ('a', 'abc', '') | s IN ('a', NULL)
s NOT IN ('a') | f IN (0.5, 1.0) | f IN ('nan'::double) | f IN (0::double) | j IN (f, 2) | s IN (t, 'a')
ts IN ('1970-01-01', '2000-02-29') | lv IN ('FATAL', 'ERROR') | NULL IN (1) | 1 IN (j, NULL) | j IN ('1', '2')
j BETWEEN -1 AND 2 | j NOT BETWEEN -1 AND 2 | f BETWEEN 0 AND 2 | s BETWEEN 'a' AND 'b'
ts BETWEEN '1970-01-01' AND '2005-06-03' | j BETWEEN NULL AND 2 | s = NULL | NULL = NULL | 1 = 1 | 'a' < 'b'
true AND false | j = 1 AND s LIKE 'a%' | NOT s LIKE 'a%' | d = DATE '2005-06-03' OR p | true = 1 | p = 'yes'
(j > 1) = p | (s = 'a') IS NULL
"""

CONDITIONAL = """
CASE WHEN j > 0 THEN 'pos' WHEN j < 0 THEN 'neg' ELSE 'zero' END | CASE WHEN j > 0 THEN 1 END
CASE j WHEN 1 THEN 'one' WHEN 2 THEN 'two' END | CASE WHEN p THEN j ELSE f END | CASE WHEN p THEN s ELSE t END
CASE WHEN s = 'a' THEN j WHEN s = 'abc' THEN 2 END | CASE WHEN j <> 0 THEN 10 // j ELSE -1 END
CASE WHEN NULL THEN 1 ELSE 2 END | CASE WHEN p THEN NULL ELSE j END | CASE WHEN p THEN ts ELSE d END
CASE lv WHEN 'FATAL' THEN 3 WHEN 'ERROR' THEN 2 ELSE 1 END | COALESCE(s, t) | COALESCE(s, 'none')
COALESCE(n, s, 'x') | COALESCE(j, f) | COALESCE(NULL, j) | COALESCE(j, 0) | ifnull(s, t) | nullif(j, 1)
nullif(s, 'a') | nullif(s, t) | nullif(f, 0.5) | if(p, 1, 2) | if(j > 0, s, t)
CASE WHEN s LIKE '%b%' THEN upper(s) ELSE lower(s) END | CASE WHEN i > -1000 AND i < 1000 THEN i * 1000 ELSE 0 END
CASE WHEN s = '42' THEN s::int ELSE 0 END | COALESCE(TRY_CAST(s AS INT), -1) | CASE WHEN true THEN s END
CASE WHEN false THEN 1 ELSE j END | CASE WHEN p THEN 'x' WHEN p IS NULL THEN NULL ELSE s END
"""

TEXT = """
lower(s) | upper(s) | length(s) | len(s) | strlen(s) | trim(s) | ltrim(s) | rtrim(s) | trim(s, 'a') | ltrim(s, 'a ')
rtrim(s, 'cy') | trim(BOTH 'a' FROM s) | substr(s, 2) | substr(s, 2, 2) | substring(s, 0) | substring(s, 0, 2)
substr(s, -2) | substr(s, -2, 1) | substr(s, -10, 8) | substr(s, 3, -2) | substr(s, -2, -1) | substr(s, 1, 0)
substr(s, 100) | substring(s FROM 2 FOR 3) | substr(s, j) | substr(s, j, 2) | substr(s, 2, j) | left(s, 2)
left(s, -2) | left(s, 0) | right(s, 2) | right(s, -2) | right(s, 0) | left(s, j) | right(s, j) | split_part(s, '/', 1)
split_part(s, '/', 2) | split_part(s, '/', -1) | split_part(s, '/', -2) | split_part(s, '/', 0)
split_part(s, '/', 9) | split_part(s, '', 2) | split_part(s, '', -1) | split_part(s, '', -3) | split_part(s, t, 1)
split_part(s, 'abc', 2) | split_part(s, '/', j) | replace(s, 'a', 'xy') | replace(s, 'ab', '') | replace(s, '', 'x')
replace(s, t, '.') | replace(s, 'é', 'e') | concat(s, t) | concat(s, j, '!') | concat(s, NULL, f) | s || t
s || '-' || t | s || NULL | j || 'x' | s || j | concat_ws(',', s, t, 'z') | concat_ws(t, s, 'z')
concat_ws(NULL, s, t) | concat(p, d, ts) | contains(s, 'b') | contains(s, t) | contains(s, '') | starts_with(s, 'a')
prefix(s, 'ab') | ends_with(s, 'c') | suffix(s, 'bc') | starts_with(s, t) | strpos(s, 'b') | strpos(s, 'l')
instr(s, 'x') | position('c' IN s) | strpos(s, t) | strpos(s, '') | strpos(s, 'zz') | s LIKE 'a%' | s LIKE '%c'
s LIKE '%b%' | s LIKE 'a_c' | s LIKE 'abc' | s LIKE '%' | s LIKE '_' | s LIKE '' | s LIKE '__%' | s LIKE '%a%c%'
s LIKE '100!%' ESCAPE '!' | s LIKE '%\\%' | s LIKE '%_sc%' | s LIKE 'h_llo' | s LIKE t | s LIKE t || '%'
s NOT LIKE 'a%' | s ILIKE 'ABC' | s ILIKE 'a%' | s ILIKE 'STRASSE' | s ILIKE 'straße' | s NOT ILIKE '%B%'
s ILIKE '%L%' | s LIKE 'zz' || chr(10) || '%' | s LIKE 'zz%b' | s LIKE NULL | 'abc' LIKE s | regexp_matches(s, 'b')
regexp_matches(s, '^a.*c$') | regexp_matches(s, 'B', 'i') | regexp_matches(s, '[0-9]+')
regexp_matches(s, 'z.a', 's') | regexp_matches(s, 'z.a') | regexp_matches(s, '^ab') | regexp_matches(s, 'a.c', 'l')
regexp_full_match(s, '[a-z]+') | regexp_full_match(s, 'a|abc') | regexp_extract(s, '[0-9]+')
regexp_extract(s, '([a-z]+)-([0-9]+)', 2) | regexp_extract(s, '([a-z]+)-([0-9]+)', 1)
regexp_extract(s, 'x([0-9]+)(y)?([0-9]+)', 3) | regexp_extract(s, 'x(q)?', 1) | regexp_extract(s, 'A', 0, 'i')
regexp_extract(s, '(?:a|b)(c)', 1) | regexp_extract(s, '[(](a)', 1) | regexp_extract(s, '\\((a)', 1)
regexp_extract(s, 'b', 1) | regexp_replace(s, 'a', 'X') | regexp_replace(s, 'a', 'X', 'g')
regexp_replace(s, '([a-z])([0-9])', '\\2\\1') | regexp_replace(s, '[^a-z]', '', 'g')
regexp_replace(s, 'B', '.', 'ig') | upper(s) || lower(t) | length(s || t) | repeat(t, 3) | repeat(s, j::int)
lpad(t, 4, '*') | rpad(t, 4, 'ab') | lpad(s, 3, 'é') | rpad(s, j::int, '-') | chr((65 + j)::int)
upper('é') || lower(s) | length(trim(s)) > 2 | lower(s) = 'abc' | substr(upper(s), 1, 1) | s || s | concat(s, s)
reverse(t) | CASE WHEN length(s) > 3 THEN left(s, 3) || '…' ELSE s END | lower(n) | n || 'x'
coalesce(lower(s), upper(t), 'none')
"""

TIME = """
date_trunc('microseconds', ts) | date_trunc('milliseconds', ts) | date_trunc('second', ts) | date_trunc('minute', ts)
date_trunc('hour', ts) | date_trunc('day', ts) | date_trunc('week', ts) | date_trunc('month', ts)
date_trunc('quarter', ts) | date_trunc('year', ts) | date_trunc('decade', ts) | date_trunc('century', ts)
date_trunc('millennium', ts) | date_trunc('month', d)::timestamp | date_trunc('hour', d)::timestamp
date_trunc('isoyear', ts) | date_trunc('WEEKS', ts) | time_bucket(INTERVAL '5 minutes', ts)
time_bucket(INTERVAL 1 HOUR, ts) | time_bucket(INTERVAL '7 days', ts) | time_bucket(INTERVAL '1 month', ts)
time_bucket(INTERVAL '3 months', ts) | time_bucket(INTERVAL '2 years', ts) | time_bucket(INTERVAL '13 seconds', ts)
time_bucket(INTERVAL '1 hour', ts, TIMESTAMP '2000-01-01 00:30:00')
time_bucket(INTERVAL '1 day', ts, INTERVAL '6 hours') | time_bucket(INTERVAL '1 day', d)
time_bucket(INTERVAL '1 month', d) | time_bucket(INTERVAL '2 months', ts, TIMESTAMP '2001-05-15')
time_bucket(INTERVAL '1 week', ts, DATE '2001-01-03') | extract(year FROM ts) | extract(month FROM ts)
extract(day FROM ts) | extract(hour FROM ts) | extract(minute FROM ts) | extract(second FROM ts)
extract(millisecond FROM ts) | extract(microsecond FROM ts) | extract(epoch FROM ts) | extract(dow FROM ts)
extract(isodow FROM ts) | extract(doy FROM ts) | extract(week FROM ts) | extract(quarter FROM ts)
date_part('decade', ts) | date_part('century', ts) | date_part('millennium', ts) | date_part('isoyear', ts)
date_part('yearweek', ts) | extract(hour FROM d) | year(d) | month(d) | day(d) | year(ts) | quarter(ts) | month(ts)
week(ts) | day(ts) | hour(ts) | minute(ts) | second(ts) | millisecond(ts) | microsecond(ts) | dayofweek(ts)
dayofyear(ts) | isodow(ts) | weekday(ts) | weekofyear(ts) | yearweek(ts) | isoyear(ts) | dayofmonth(ts) | epoch(ts)
epoch_ms(ts) | epoch_us(ts) | epoch(d) | to_timestamp(j::double / 4)::timestamp | to_timestamp(j)::timestamp
make_timestamp(j) | epoch_ms(j) | ts + INTERVAL '1 day' | ts - INTERVAL '90 seconds' | ts + INTERVAL 3 HOURS
INTERVAL '1 minute' + ts | ts + INTERVAL '1 month' | ts - INTERVAL '1 month'
ts + INTERVAL '1 year 2 months 3 days 04:05:06' | ts - INTERVAL '1 year' | d + 1 | d - 1 | d + j::int
d - DATE '2000-01-01' | d + INTERVAL '1 day' | d - INTERVAL '1 month' | ts - ts2 | ts - d
ts - TIMESTAMP '2000-01-01' | epoch(ts - ts2) | (ts - ts2) > INTERVAL '1 day' | ts - ts2 + INTERVAL '1 hour'
INTERVAL '1 hour' * j | (ts - ts2) / 2 | to_seconds(j) | to_hours(j) | ts + to_minutes(j) | ts::date | ts::varchar
d::varchar | d::timestamp | date(ts) | last_day(ts) | monthname(ts) | dayname(ts) | strftime(ts, '%Y-%m-%d %H:%M:%S')
strftime(ts, '%Y%m%d.%f %j %a %A %b %B %y %I %p %g') | strftime(ts, '%-d/%-m %-H:%-M %u %w %G %V %U %W %%')
strftime(d, '%d.%m.%Y') | strptime('03/Jun/2005:15:42:50', '%d/%b/%Y:%H:%M:%S')
strptime(strftime(ts, '%Y-%m-%d %H:%M:%S.%f'), '%Y-%m-%d %H:%M:%S.%f') | try_strptime(s, '%Y-%m-%d')
strptime(strftime(ts, '%B %d %Y %I:%M %p'), '%B %d %Y %I:%M %p') | strptime(strftime(d, '%y%m%d'), '%y%m%d')
date_diff('hour', ts, ts2) | date_diff('day', ts, ts2) | date_diff('month', ts, ts2) | date_diff('decade', ts, ts2)
date_diff('year', d, ts) | date_diff('second', ts, ts2) | date_diff('quarter', ts, ts2) | datediff('minute', ts, ts2)
(ts - ts2)::varchar | ts < ts2 | ts::date = d | extract(hour FROM ts - ts2) | extract(minute FROM ts - ts2)
extract(day FROM ts - ts2) | epoch_ns(d) | ts = ts2::date | hour(ts) * 60 + minute(ts) | INTERVAL '1.5 hours' + ts
ts + INTERVAL (j) MINUTE | date_trunc('hour', ts) = date_trunc('hour', ts2) | ts >= DATE '2005-06-03'
ts BETWEEN DATE '1970-01-01' AND DATE '2005-06-04'
"""

CASTS = """
j::double | j::varchar | j::boolean | f::varchar | CASE WHEN NOT isnan(g) THEN g::bigint END | f::boolean | p::int
p::varchar | p::double | TRY_CAST(s AS INT) | TRY_CAST(s AS BIGINT) | TRY_CAST(s AS DOUBLE) | TRY_CAST(s AS BOOLEAN)
TRY_CAST(s AS DATE) | TRY_CAST(f AS BIGINT) | TRY_CAST(i AS INT) | TRY_CAST(i AS SMALLINT) | TRY_CAST(i AS TINYINT)
'12'::int + 1 | '2005-06-03'::date | 2.5::int | 3.5::double::int | 2.5::double::int | 1e3::int | '0x1F'::int
'1_000'::int | ' 12 '::bigint | '-2.5'::int | '1e2'::int | i::double | i::varchar | 'nan'::double | 'inf'::double
ts::varchar::timestamp | d::timestamp::date | '1'::boolean | CAST(NULL AS INT)
TRY_CAST(TRY_CAST(s AS TIMESTAMP) AS DATE) | TRY_CAST('2005-06-31' AS DATE) | TRY_CAST('2005-6-3' AS TIMESTAMP)
'2005-06-03T12:00:01.1234567Z'::timestamp | TRY_CAST('2005/06/03' AS DATE) | '90 minutes'::interval
TRY_CAST('2005-06-03 24:00:00' AS TIMESTAMP) | TRY_CAST('2005-06-03 23:59:60' AS TIMESTAMP)
TRY_CAST('2005-06-03 1:2:3' AS TIMESTAMP) | TRY_CAST('20050603' AS TIMESTAMP) | concat('', abs(j), '0')::int
"""


def _cases(block: str) -> list[str]:
    """Cases stand between ' | ' and line ends; a bitwise OR is written without blanks."""
    return [piece.strip() for line in block.strip().splitlines() for piece in line.split(" | ") if piece.strip()]


EXPRESSIONS = [case for block in (ARITHMETIC, COMPARISON, CONDITIONAL, TEXT, TIME, CASTS) for case in _cases(block)]
