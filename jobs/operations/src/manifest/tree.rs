//! A text's YAML as nodes that know their bytes.
//!
//! granit-parser says where in the text each node is. What the nodes mean is never taken from here: the values come from
//! [`crate::yaml`], and an edit is refused where the two disagree.

use std::collections::BTreeSet;
use std::ops::Range;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, StructureStyle};

/// A node and where it is.
#[derive(Debug)]
pub(super) struct Node {
    /// Its content, with its quotes or brackets; of a block collection, what is between its first and last node.
    pub(super) range: Range<usize>,
    /// Where it begins with its anchor and its tag.
    pub(super) start: usize,
    /// Its anchor, by number.
    pub(super) anchor: Option<usize>,
    /// Whether it has a tag.
    pub(super) tagged: bool,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar(String, ScalarStyle),
    Sequence(StructureStyle, Vec<Node>),
    Mapping(Vec<(Node, Node)>),
    /// Stands for a node with an anchor.
    Alias,
}

/// The first document of a text: kubelet reads no other.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Node,
    /// The anchors that are used.
    aliased: BTreeSet<usize>,
    /// Where the document ends.
    pub(super) end: usize,
    /// Whether something follows the first document: another one with something in it, or what is no YAML.
    pub(super) more: bool,
}

impl Tree {
    /// Reads a text; none: there is nothing in it. The error is what the parser says.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let mut end = text.len();
        let mut events = events(text).peekable();
        let mut builder = Builder::default();
        while let Some(event) = events.next() {
            let (event, span) = event.map_err(|error| error.to_string())?;
            if event == Event::DocumentEnd {
                end = span.byte_range().map_or(end, |range| range.start);
                break;
            }
            // It comes behind the event of its node, and is in the text before it.
            let anchor = events.next_if(|next| matches!(next, Ok((Event::Anchor(..), _))));
            let begin = [
                span.tag_span(),
                anchor.and_then(Result::ok).map(|(_, span)| span),
            ]
            .into_iter()
            .flatten()
            .filter_map(|property| Some(property.byte_range()?.start))
            .min();
            let range = span.byte_range().ok_or("it has no positions")?;
            builder.take(&event, range, begin)?;
        }
        Ok(builder.root.map(|root| Self {
            root,
            aliased: builder.aliased,
            end,
            more: follows(events),
        }))
    }

    /// The keys that are given more than once, each with the way to it: `spec.containers[0].image`.
    pub(super) fn given_twice(&self) -> Vec<String> {
        let mut twice = Vec::new();
        self.root.note_keys_twice("", &mut twice);
        twice
    }

    /// Whether the node stands in more places than its own.
    pub(super) fn is_shared(&self, node: &Node) -> bool {
        node.anchor
            .is_some_and(|anchor| self.aliased.contains(&anchor))
    }
}

impl Node {
    /// The value of a key of a mapping; of one that is given twice the last, as for kubelet.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Mapping(entries) = &self.kind else {
            return None;
        };
        let named = |node: &Self| matches!(&node.kind, Kind::Scalar(text, _) if text == key);
        entries
            .iter()
            .rev()
            .find(|(name, _)| named(name))
            .map(|(_, value)| value)
    }

    fn note_keys_twice(&self, path: &str, twice: &mut Vec<String>) {
        match &self.kind {
            Kind::Mapping(entries) => {
                let mut keys = BTreeSet::new();
                for (key, value) in entries {
                    let Kind::Scalar(key, _) = &key.kind else {
                        continue;
                    };
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{key}");
                    value.note_keys_twice(&path, twice);
                    if !keys.insert(key) {
                        twice.push(path);
                    }
                }
            }
            Kind::Sequence(_, items) => {
                for (at, item) in items.iter().enumerate() {
                    item.note_keys_twice(&format!("{path}[{at}]"), twice);
                }
            }
            Kind::Scalar(..) | Kind::Alias => {}
        }
    }

    /// The nodes of a sequence.
    pub(super) fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::Sequence(_, items) => Some(items),
            _ => None,
        }
    }
}

fn events(text: &str) -> Parser<'_, StrInput<'_>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = true;
    Parser::new_from_str_with_options(text, options)
}

/// Whether anything but empty documents comes.
fn follows<'t>(
    rest: impl Iterator<Item = Result<(Event<'t>, Span), granit_parser::ScanError>>,
) -> bool {
    rest.into_iter().any(|event| {
        let Ok((event, span)) = event else {
            return true;
        };
        // A document without anything in it is a scalar of no bytes.
        event.is_node() && !(event.scalar().is_some() && span.is_empty())
    })
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    /// The key whose value comes next.
    key: Option<Node>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    aliased: BTreeSet<usize>,
}

impl Builder {
    /// Takes an event: where its content is, and where the anchor and the tag before it begin.
    fn take(
        &mut self,
        event: &Event<'_>,
        range: Range<usize>,
        begin: Option<usize>,
    ) -> Result<(), String> {
        let end = range.end;
        let node = |kind| Node {
            start: begin.unwrap_or(range.start),
            range,
            anchor: event.anchor_id(),
            tagged: event.tag().is_some(),
            kind,
        };
        match event {
            Event::Scalar(text, style, ..) => {
                self.add(node(Kind::Scalar(text.clone().into_owned(), *style)));
            }
            Event::Alias(anchor) => {
                self.aliased.insert(*anchor);
                self.add(node(Kind::Alias));
            }
            Event::SequenceStart(style, ..) => {
                let node = node(Kind::Sequence(*style, Vec::new()));
                self.open.push(Open { node, key: None });
            }
            Event::MappingStart(..) => {
                let node = node(Kind::Mapping(Vec::new()));
                self.open.push(Open { node, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let mut ended = self.open.pop().ok_or("it ends what was not begun")?.node;
                ended.range.end = end;
                self.add(ended);
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, node: Node) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut parent.node.kind {
            Kind::Sequence(_, items) => items.push(node),
            Kind::Mapping(entries) => match parent.key.take() {
                Some(key) => entries.push((key, node)),
                None => parent.key = Some(node),
            },
            Kind::Scalar(..) | Kind::Alias => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the items of `s` are in the text, from their anchors and tags on.
    fn items(text: &str) -> Vec<&str> {
        let tree = Tree::parse(text).unwrap().unwrap();
        let items = tree.root.get("s").unwrap().items().unwrap();
        items
            .iter()
            .map(|item| &text[item.start..item.range.end])
            .collect()
    }

    #[test]
    fn nodes_know_their_bytes() {
        let block = "\u{feff}s: # é\r\n- &a --foo\r\n- !!str x # c\r\n- *a\r\n-\t'q''\r\n  r'\r\n- plain\r\n  more";
        assert_eq!(
            items(block),
            [
                "&a --foo",
                "!!str x",
                "*a",
                "'q''\r\n  r'",
                "plain\r\n  more"
            ]
        );
        assert_eq!(
            items("{\"s\":\t[\"é\\n\",'b' , c:d]}"),
            ["\"é\\n\"", "'b'", "c:d"]
        );
        assert_eq!(items("s: [&x [a, &y b], *y]"), ["&x [a, &y b]", "*y"]);
    }

    #[test]
    fn what_is_used_elsewhere_is_shared() {
        let tree = Tree::parse("a: &x [b]\nc: &y d\ne: *x\n").unwrap().unwrap();
        let shared = |key| tree.is_shared(tree.root.get(key).unwrap());
        assert!(shared("a") && !shared("c") && !shared("e"));
    }

    /// All bytes of all nodes are bytes of the text.
    fn check(text: &str, node: &Node) {
        assert!(text.get(node.start..node.range.end).is_some());
        assert!(text.get(node.range.clone()).is_some() && node.start <= node.range.start);
        match &node.kind {
            Kind::Sequence(_, items) => items.iter().for_each(|item| check(text, item)),
            Kind::Mapping(entries) => {
                for (key, value) in entries {
                    check(text, key);
                    check(text, value);
                }
            }
            Kind::Scalar(..) | Kind::Alias => {}
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_trouble(
            text in prop_oneof![".{0,40}", "([-:?,&*!|>'\"%@{}\\[\\] #a~.\t]|\n|\r|é|\u{feff}|---\n){0,40}"],
        ) {
            if let Ok(Some(tree)) = Tree::parse(&text) {
                check(&text, &tree.root);
            }
        }
    }

    #[test]
    fn only_documents_with_something_in_them_count() {
        let more = |text: &str| Tree::parse(text).unwrap().unwrap().more;
        for alone in [
            "a: b",
            "---\na: b\n---\n",
            "a: b\n...\n# x\n",
            "--- {a: b}\n---\n# x\n---",
        ] {
            assert!(!more(alone), "{alone:?}");
        }
        for several in [
            "a: b\n---\nc: d\n",
            "a: b\n---\n''\n",
            "a: b\n---\n\"\n",
            "a: b\n---\n[]",
        ] {
            assert!(more(several), "{several:?}");
        }
        for nothing in ["", "# nothing"] {
            assert!(Tree::parse(nothing).unwrap().is_none());
        }
    }
}
