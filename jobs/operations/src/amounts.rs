//! How sizes and counts are written for people.

/// Binary units, each 1024 of the one before.
pub const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// A size with a binary unit: `512 B`, `1.5 KiB`, `412 MiB`, `2 GiB`. One decimal below ten, none where it is zero.
pub fn bytes(size: u64) -> String {
    let mut unit = 0;
    // In parts of the unit, rounded half up, and once: 10.45 is 10. u128 so that nothing overflows.
    let rounded = |parts: u128, unit: usize| {
        (u128::from(size) * parts + (1 << (10 * unit)) / 2) >> (10 * unit)
    };
    let tenths = |unit: usize| rounded(10, unit);
    // 1023.95 KiB rounds to 1024.0, which is written as 1 MiB.
    while unit + 1 < UNITS.len() && tenths(unit) >= 10_235 {
        unit += 1;
    }
    let tenths = tenths(unit);
    if unit == 0 || tenths >= 100 || tenths % 10 == 0 {
        format!("{} {}", rounded(1, unit), UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A count with thousands separators: `12,904,118`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A revision, as [`count`]; etcd's are never negative.
pub fn revision(number: i64) -> String {
    u64::try_from(number).map_or_else(|_| number.to_string(), count)
}
