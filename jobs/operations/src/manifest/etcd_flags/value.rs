//! Whether etcd can read a flag's value, by the rules of Go's `flag` package, and what was meant by one that it cannot.

use std::fmt;

use super::Kind;

/// Go's words for true and false.
const SWITCH: [&str; 12] = [
    "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False",
];

/// The units of Go's durations with their length in nanoseconds; of two that begin the same the longer one comes first.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// The units of bytes as people write them.
const BYTES: [(&str, u64); 16] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("ki", 1 << 10),
    ("mi", 1 << 20),
    ("gi", 1 << 30),
    ("ti", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
];

impl Kind {
    /// Whether etcd can read it.
    pub(super) fn takes(self, value: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Switch => SWITCH.contains(&value),
            Self::Count => unsigned(value).is_some(),
            Self::SmallCount => unsigned(value).is_some_and(|number| u32::try_from(number).is_ok()),
            Self::Number => integer(value).is_some_and(|number| i64::try_from(number).is_ok()),
            Self::Duration => nanoseconds(value).is_some(),
            Self::Retention => {
                value.parse::<u64>().is_ok() || nanoseconds(value).is_some_and(|time| time >= 0.0)
            }
            Self::Urls => value.split(',').all(is_url) || value.is_empty(),
            Self::OneOf(all) => all.split('|').any(|one| one == value),
            Self::AnyCase(all) => all.split('|').any(|one| one == value.to_lowercase()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text"),
            Self::Switch => f.write_str("true or false"),
            Self::Count => f.write_str("a whole number, not below 0"),
            Self::SmallCount => write!(f, "a whole number from 0 to {}", u32::MAX),
            Self::Number => f.write_str("a whole number"),
            Self::Duration => f.write_str("a time with its unit, such as 500ms, 10s or 1h30m"),
            Self::Retention => {
                f.write_str("a number of hours or revisions, or a time with its unit such as 30m")
            }
            Self::Urls => f.write_str(
                "URLs with commas between them, each with its scheme and port and without a path",
            ),
            Self::OneOf(all) | Self::AnyCase(all) => {
                let all: Vec<&str> = all.split('|').filter(|one| !one.is_empty()).collect();
                write!(f, "one of {}", all.join(", "))
            }
        }
    }
}

/// The value that was meant, if that can be told.
pub(super) fn suggestion(kind: Kind, value: &str) -> Option<String> {
    let meant = match kind {
        Kind::Number | Kind::Count | Kind::SmallCount => bytes(value)
            .or_else(|| milliseconds(value))
            .map(|number| number.to_string())
            .or_else(|| value.strip_prefix('+').map(str::to_owned)),
        Kind::Duration => value.parse::<u64>().ok().map(|number| format!("{number}s")),
        Kind::Switch => match value.to_lowercase().as_str() {
            "yes" | "on" | "enabled" | "y" => Some("true".to_owned()),
            "no" | "off" | "disabled" | "n" => Some("false".to_owned()),
            _ => None,
        },
        Kind::Urls if value.contains("://") => {
            let all: Vec<&str> = value
                .split(',')
                .map(|url| url.trim_end_matches('/'))
                .collect();
            Some(all.join(","))
        }
        Kind::Urls => Some(format!("http://{value}")).filter(|_| !value.contains(',')),
        Kind::Text | Kind::Retention | Kind::OneOf(_) | Kind::AnyCase(_) => None,
    };
    meant.filter(|meant| kind.takes(meant))
}

/// A number as Go's `ParseInt` takes it with base 0.
fn integer(value: &str) -> Option<i128> {
    let (sign, digits) = match value.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, value.strip_prefix('+').unwrap_or(value)),
    };
    let lower = digits.to_lowercase();
    // Between two digits, or behind the prefix.
    if lower.starts_with('_') || lower.ends_with('_') || lower.contains("__") {
        return None;
    }
    let prefixes = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)];
    let based = prefixes
        .into_iter()
        .find_map(|(prefix, base)| Some((lower.strip_prefix(prefix)?, base)));
    let (digits, base) = match based {
        Some((rest, base)) if !rest.is_empty() => (rest, base),
        _ => (lower.as_str(), 10),
    };
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i128::from_str_radix(&digits, base)
        .ok()
        .map(|number| sign * number)
}

/// A number as Go's `ParseUint` takes it with base 0: without a sign.
fn unsigned(value: &str) -> Option<u64> {
    let has_sign = value.starts_with(['+', '-']);
    let number = integer(value).filter(|_| !has_sign)?;
    u64::try_from(number).ok()
}

/// A time as Go's `ParseDuration` takes it.
fn nanoseconds(value: &str) -> Option<f64> {
    let (sign, mut rest) = match value.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, value.strip_prefix('+').unwrap_or(value)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut time = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let unit = UNITS.into_iter().find_map(|(unit, length)| {
            let after = rest.strip_prefix(unit)?;
            let ended = !after.starts_with(char::is_alphabetic);
            ended.then_some((length, after))
        });
        let (length, after) = unit?;
        time += number * length;
        rest = after;
    }
    Some(sign * time)
}

/// A size with its unit in bytes.
fn bytes(value: &str) -> Option<u64> {
    let value = value.to_lowercase();
    BYTES.into_iter().find_map(|(unit, size)| {
        let number: u64 = value.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(size)
    })
}

/// A time with its unit in milliseconds, in which etcd counts where it takes a bare number.
fn milliseconds(value: &str) -> Option<u64> {
    let whole = |unit: &str| value.strip_suffix(unit)?.parse::<u64>().ok();
    whole("ms").or_else(|| whole("s")?.checked_mul(1000))
}

/// Whether etcd takes it for an URL: a scheme and a host with its port and no path, or a socket.
fn is_url(url: &str) -> bool {
    let url = url.trim();
    if let Some(path) = url
        .strip_prefix("unix://")
        .or_else(|| url.strip_prefix("unixs://"))
    {
        return !path.is_empty();
    }
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let Some((host, port)) = rest.and_then(|rest| rest.rsplit_once(':')) else {
        return false;
    };
    !host.contains('/') && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_read_as_go_does() {
        let read = [
            "0x10", "010", "-7", "+7", "0", "8Gi", "", "0x", "--1", "1.5",
        ]
        .map(integer);
        let (some, none) = ([16, 8, -7, 7, 0].map(Some), [None; 5]);
        assert_eq!(read.to_vec(), [some, none].concat());
        let read = ["1_000", "0x_1f", "0_7", "_1", "1_", "1__0", "_", "0_x1"].map(integer);
        let (some, none) = ([Some(1000), Some(31), Some(7)].to_vec(), vec![None; 5]);
        assert_eq!(read.to_vec(), [some, none].concat());
        for (text, number) in [("7", Some(7)), ("+7", None), ("-1", None), ("-0", None)] {
            assert_eq!(unsigned(text), number, "{text}");
        }
        for (text, seconds) in [
            ("1h30m", 5400.0),
            ("1.5s", 1.5),
            ("500ms", 0.5),
            ("-1m", -60.0),
        ] {
            assert_eq!(nanoseconds(text), Some(seconds * 1e9), "{text}");
        }
        for text in ["", "5", "8x", "1h5", "s", "1 h", "1hm", "1hour", "."] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
        assert_eq!(nanoseconds("0"), Some(0.0));
    }

    #[test]
    fn an_url_has_a_scheme_and_a_port() {
        for url in ["http://a:1", "https://[::1]:2379", "unix:///run/etcd.sock"] {
            assert!(is_url(url), "{url}");
        }
        for url in [
            "a:1",
            "http://a",
            "ftp://a:1",
            "http://a/b:1",
            "",
            "http://a:x",
            "http://a:1/",
            "https://[::1]:2379/",
        ] {
            assert!(!is_url(url), "{url}");
        }
    }
}
