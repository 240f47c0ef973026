//! Tables as kubectl draws them: no lines, two spaces between columns, numbers to the right.

use comfy_table::{
    Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets,
};

pub(crate) use kubectl_etcd_core::clean::one_line;
pub use kubectl_etcd_core::clean::{Paint, clean};

/// Blanks between two columns.
const GAP: u16 = 2;
/// No column is folded to less.
const NARROWEST: u16 = 12;

/// What a text says about how things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Broken.
    Bad,
    /// Not there or of less interest.
    Dim,
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    text: String,
    tone: Tone,
}

/// A field with its text; what is empty is shown as `-`.
pub fn field(text: impl Into<String>) -> Field {
    let text = clean(&text.into());
    if text.is_empty() {
        Field {
            text: "-".to_owned(),
            tone: Tone::Dim,
        }
    } else {
        Field {
            text,
            tone: Tone::Plain,
        }
    }
}

/// A field that may be absent, shown as `-`: absent is not zero.
pub fn maybe<T: Into<String>>(text: Option<T>) -> Field {
    field(text.map(Into::into).unwrap_or_default())
}

impl Field {
    /// The same field in a tone.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        if self.text != "-" {
            self.tone = tone;
        }
        self
    }
}

/// A table being put together.
#[derive(Debug, Default)]
pub struct Grid {
    headers: Vec<(&'static str, CellAlignment)>,
    rows: Vec<Vec<Field>>,
}

impl Grid {
    /// A table without rows. `columns` names its columns, with `|` between them and `>` before one of numbers.
    pub fn new(columns: &'static str) -> Self {
        Self::default().and(true, columns)
    }

    /// The same with more columns, if they are wanted.
    #[must_use]
    pub fn and(mut self, wanted: bool, columns: &'static str) -> Self {
        let headers = columns.split('|').filter(|_| wanted);
        self.headers
            .extend(headers.map(|name| match name.strip_prefix('>') {
                Some(name) => (name, CellAlignment::Right),
                None => (name, CellAlignment::Left),
            }));
        self
    }

    /// One more row, with as many fields as there are columns.
    pub fn row(&mut self, fields: Vec<Field>) {
        debug_assert_eq!(fields.len(), self.headers.len(), "a field for each column");
        self.rows.push(fields);
    }

    /// The widths of columns of text within which the table has room, the widest made narrower first: their fields are
    /// folded. None: it has room as it is. Numbers and short words stay whole, even where a table is wider then.
    fn folded(&self, table: &Table, room: usize) -> Option<Vec<u16>> {
        let mut widths = table.column_max_content_widths();
        let total = |widths: &[u16]| {
            let widths = widths.iter().map(|width| usize::from(width + GAP));
            widths.sum::<usize>().saturating_sub(usize::from(GAP))
        };
        if total(&widths) <= room {
            return None;
        }
        while total(&widths) > room {
            let texts = widths.iter_mut().zip(&self.headers);
            let texts = texts.filter(|(_, (_, side))| *side == CellAlignment::Left);
            let widest = texts.map(|(width, _)| width).max()?;
            if *widest <= NARROWEST {
                break;
            }
            *widest -= 1;
        }
        Some(widths)
    }

    /// The table as text, ending with a newline. Where it is wider than the terminal, the longest texts are folded.
    pub fn draw(&self, paint: Paint) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if paint.colour {
            table.enforce_styling().style_text_only();
        } else {
            table.force_no_tty();
        }
        table.set_header(
            self.headers
                .iter()
                .map(|(header, side)| Cell::new(header).set_alignment(*side)),
        );
        for row in &self.rows {
            table.add_row(
                row.iter()
                    .zip(&self.headers)
                    .map(|(field, (_, side))| cell(field, *side)),
            );
        }
        let widths = paint.width.and_then(|width| self.folded(&table, width));
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if let Some(width) = widths.as_ref().and_then(|widths| widths.get(at)) {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(*width + GAP)));
            }
        }
        if widths.is_some() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            // Each column has its own width: this only has to be enough.
            table.set_width(u16::MAX);
        }
        table.trim_fmt() + "\n"
    }
}

fn cell(field: &Field, side: CellAlignment) -> Cell {
    let cell = Cell::new(&field.text).set_alignment(side);
    match colour(field.tone) {
        Some(colour) => cell.fg(colour),
        None => cell,
    }
}

fn colour(tone: Tone) -> Option<Color> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some(Color::Green),
        Tone::Warn => Some(Color::Yellow),
        Tone::Bad => Some(Color::Red),
        Tone::Dim => Some(Color::DarkGrey),
    }
}

/// A text in a tone, outside of tables.
pub fn painted(text: &str, tone: Tone, paint: Paint) -> String {
    let code = match tone {
        Tone::Plain => return one_line(text),
        Tone::Good => 32,
        Tone::Warn => 33,
        Tone::Bad => 31,
        Tone::Dim => 90,
    };
    let text = one_line(text);
    match paint.colour {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Grid {
        let mut grid = Grid::new("NODE|>TERM|ALARMS");
        grid.row(vec![field("cp-1"), field("14"), field("").tone(Tone::Bad)]);
        grid.row(vec![
            field("cp-long"),
            field("2"),
            field("NOSPACE").tone(Tone::Bad),
        ]);
        grid
    }

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        assert_eq!(
            sample().draw(Paint::PLAIN),
            "NODE     TERM  ALARMS\ncp-1       14  -\ncp-long     2  NOSPACE\n"
        );
    }

    #[test]
    fn a_table_is_folded_to_the_terminal_and_whole_where_there_is_none() {
        let why =
            "the database file is damaged: page 4 is written twice, and nothing else refers to it";
        let mut grid = Grid::new("NODE|>TERM|PROBLEM");
        grid.row(vec![field("cp-1"), field("14"), field(why)]);
        grid.row(vec![field("cp-2"), field("14"), field("")]);
        let narrow = grid.draw(Paint::PLAIN.within(Some(40)));
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 40),
            "{narrow}"
        );
        let words: Vec<&str> = narrow.split_whitespace().collect();
        assert!(
            words.join(" ").contains("cp-1 14 the database file"),
            "{narrow}"
        );
        assert!(grid.draw(Paint::PLAIN).contains(why));
        assert_eq!(
            grid.draw(Paint::PLAIN.within(Some(200))),
            grid.draw(Paint::PLAIN)
        );
    }

    #[test]
    fn colours_change_no_text() {
        let coloured = sample().draw(Paint::COLOUR);
        assert!(coloured.contains("\u{1b}["), "{coloured:?}");
        let mut bare = String::new();
        let mut inside = false;
        for c in coloured.chars() {
            match c {
                '\u{1b}' => inside = true,
                'm' if inside => inside = false,
                _ if inside => {}
                c => bare.push(c),
            }
        }
        let trimmed: Vec<&str> = bare.lines().map(str::trim_end).collect();
        assert_eq!(trimmed.join("\n") + "\n", sample().draw(Paint::PLAIN));
    }

    #[test]
    fn all_colours_pass_the_gate() {
        let mut grid = Grid::new("A");
        let tones = [Tone::Plain, Tone::Good, Tone::Warn, Tone::Bad, Tone::Dim];
        for tone in tones {
            grid.row(vec![field("x").tone(tone)]);
        }
        let words = tones.map(|tone| painted("x", tone, Paint::COLOUR)).concat();
        let text = grid.draw(Paint::COLOUR) + &words;
        assert_eq!(
            kubectl_etcd_core::clean::clean_layout(&text, Paint::COLOUR),
            text
        );
    }

    #[test]
    fn text_from_outside_cannot_talk_to_the_terminal() {
        assert_eq!(field("a\u{1b}[31mb\nc").text, "a\u{fffd}[31mb c");
    }
}
