//! Text for tests that no terminal may get as it is.

use proptest::prelude::*;

/// Text with all that has to be kept away from a terminal.
pub fn hostile() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        "[a-z0-9 .:/=-]{0,8}",
        any::<char>().prop_map(String::from),
        (0u32..0x20).prop_map(|c| char::from_u32(c).map(String::from).unwrap_or_default()),
        prop::sample::select(vec![
            "\u{7f}",
            "\u{9b}31m",
            "\u{1b}[2J",
            "\u{1b}]0;x\u{7}",
            "\u{202e}",
            "\u{2066}",
            "\u{200e}",
            "\u{61c}",
            "\u{200b}",
            "\u{feff}",
            "\u{2028}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{3164}",
            "\r\n",
            "\"",
            "\\",
            "\u{85}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(parts, 0..8).prop_map(|parts| parts.concat())
}

/// The text as a terminal shows it.
pub fn without_colours(text: &str) -> String {
    super::COLOURS
        .iter()
        .fold(text.to_owned(), |text, colour| text.replace(colour, ""))
}
