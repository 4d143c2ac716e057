"""SQL's names for what the engine computes, and what it does not offer."""

from __future__ import annotations

_SAME_NAME = """
abs acos asin atan atan2 bit_count cbrt ceil chr coalesce concat concat_ws contains cos date_diff date_part date_trunc
dayname degrees ends_with epoch epoch_ms epoch_ns epoch_us exp floor greatest isfinite isinf isnan last_day least left
length ln log10 log2 lower lpad ltrim monthname nullif pi pow radians regexp_extract regexp_full_match regexp_matches
regexp_replace repeat replace reverse right round rpad rtrim sign sin split_part sqrt starts_with strftime strlen
strpos strptime substring tan time_bucket to_days to_hours to_microseconds to_milliseconds to_minutes to_seconds
to_timestamp to_weeks trim trunc try_strptime upper xor
"""
# DuckDB's function name: canonical name in hpckit.tables
SCALARS = {name: name for name in _SAME_NAME.split()} | {
    "ceiling": "ceil",
    "char_length": "length",
    "character_length": "length",
    "datediff": "date_diff",
    "datepart": "date_part",
    "datetrunc": "date_trunc",
    "instr": "strpos",
    "lcase": "lower",
    "len": "length",
    "make_timestamp_us": "from_micros",
    "mod": "%",
    "power": "pow",
    "prefix": "starts_with",
    "substr": "substring",
    "suffix": "ends_with",
    "ucase": "upper",
    "add": "+",
    "subtract": "-",
    "multiply": "*",
}

_PARTS = """
year quarter month week day hour minute second millisecond microsecond isodow isoyear decade century millennium
yearweek
"""
# functions that are date_part with a fixed unit
DATE_PARTS = {name: name for name in _PARTS.split()} | {
    "dayofmonth": "day",
    "dayofweek": "dow",
    "dayofyear": "doy",
    "weekday": "dow",
    "weekofyear": "week",
}

# aggregate: (canonical name, number of arguments)
AGGREGATES = {
    "count": ("count", 1),
    "sum": ("sum", 1),
    "avg": ("avg", 1),
    "mean": ("avg", 1),
    "min": ("min", 1),
    "max": ("max", 1),
    "stddev": ("stddev", 1),
    "stddev_samp": ("stddev", 1),
    "stddev_pop": ("stddev_pop", 1),
    "variance": ("variance", 1),
    "var_samp": ("variance", 1),
    "var_pop": ("var_pop", 1),
    "first": ("first", 1),
    "last": ("last", 1),
    "any_value": ("any_value", 1),
    "approx_count_distinct": ("approx_count_distinct", 1),
    "quantile_cont": ("quantile_cont", 2),
    "quantile_disc": ("quantile_disc", 2),
    "quantile": ("quantile_disc", 2),
    "percentile_cont": ("quantile_cont", 2),
    "percentile_disc": ("quantile_disc", 2),
    "median": ("median", 1),
    "approx_quantile": ("approx_quantile", 2),
    "count_if": ("count_if", 1),
    "countif": ("count_if", 1),
    "bool_and": ("bool_and", 1),
    "bool_or": ("bool_or", 1),
    "count_star": ("count_star", 0),
}

_REFUSED = [  # (why, and what to do instead; functions)
    (
        "it has another value at every run; give a constant, e.g. TIMESTAMP '2025-01-31'",
        "now current_timestamp current_date current_time today localtime localtimestamp get_current_timestamp "
        "transaction_timestamp random uuid gen_random_uuid nextval setseed",
    ),
    ("there are no list columns", "list array_agg histogram map list_value unnest string_split str_split struct_pack"),
    (
        "its answer would need all values of a group in one place",
        "string_agg group_concat listagg mode arg_max arg_min argmax argmin max_by min_by",
    ),
    (
        "window functions are not offered",
        "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value",
    ),
    ("hashes are not offered", "hash md5 sha1 sha256"),
    ("name the columns", "columns"),
    ("read_json gives the fields of JSON lines as columns", "json_extract"),
    ("subtract the timestamps", "age"),
    (
        "known aggregates: " + ", ".join(sorted(AGGREGATES)),
        "skewness kurtosis corr covar_pop covar_samp regr_slope entropy product bit_and bit_or bit_xor fsum kahan_sum "
        "sumkahan favg mad reservoir_quantile grouping",
    ),
]
# function: what the error says after its name
UNSUPPORTED = {name: why for why, names in _REFUSED for name in names.split()}
