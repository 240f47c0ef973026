//! Where in a manifest's text a component's image and the words of its command line are.

use granit_parser::{ScalarStyle, StructureStyle};

use super::quote::{Around, scalar};
use super::spot::{Items, List, Splice, Spot};
use super::tree::{Kind, Node, Tree};
use super::{Manifest, block, flow};
use crate::advice::Advice;
use crate::failure::Failure;

/// A component in the text of its manifest.
pub(super) struct InText<'m> {
    text: &'m str,
    tree: &'m Tree,
    node: &'m Node,
}

impl<'m> InText<'m> {
    /// Finds the component.
    pub(super) fn find(
        manifest: &'m Manifest,
        tree: &'m Tree,
        container: usize,
    ) -> Result<Self, Failure> {
        if tree.more {
            return Err(refused(
                "it has more than one YAML document, of which kubelet reads only the first",
                "leave only the pod in it",
            ));
        }
        let shared = |node: &Node, what: &str| {
            if tree.is_shared(node) {
                Err(is_shared(what))
            } else {
                Ok(())
            }
        };
        shared(&tree.root, "the pod")?;
        let spec = tree.root.get("spec").ok_or_else(|| elsewhere("spec"))?;
        shared(spec, "spec")?;
        let containers = spec
            .get("containers")
            .ok_or_else(|| elsewhere("spec.containers"))?;
        shared(containers, "spec.containers")?;
        let node = containers
            .items()
            .and_then(|items| items.get(container))
            .filter(|node| matches!(node.kind, Kind::Mapping(_)))
            .ok_or_else(|| elsewhere("the container"))?;
        shared(node, "the container")?;
        Ok(Self {
            text: &manifest.text,
            tree,
            node,
        })
    }

    /// The image's scalar in other words.
    pub(super) fn image(&self, image: &str) -> Result<Vec<Splice>, Failure> {
        let node = self.node.get("image").ok_or_else(|| elsewhere("image"))?;
        let around = match self.text.as_bytes().get(self.node.range.start) {
            Some(b'{') => Around::Flow,
            _ => Around::Block,
        };
        self.scalar(node, image, around, "image")
            .map(|splice| vec![splice])
    }

    /// A word in other words.
    pub(super) fn replace(&self, spot: Spot, word: &str) -> Result<Vec<Splice>, Failure> {
        let items = self.items(spot.list)?;
        let splice = self.scalar(items.node(spot)?, word, items.around(), &spot.to_string())?;
        Ok(vec![splice])
    }

    /// A new word behind the one before its place.
    pub(super) fn insert(&self, spot: Spot, word: &str) -> Result<Vec<Splice>, Failure> {
        let items = self.items(spot.list)?;
        let word = scalar(word, items.style_near(spot.index), items.around());
        let splices = match items.style {
            StructureStyle::Block => block::insert(&items, spot.index, &word),
            StructureStyle::Flow => flow::insert(&items, spot.index, &word),
        };
        splices.ok_or_else(|| {
            refused(
                format!(
                    "the words of `{}` stand in a way that leaves no place for another",
                    spot.list
                ),
                "write each word on a line of its own: `- --flag=value`",
            )
        })
    }

    /// A word less.
    pub(super) fn remove(&self, spot: Spot) -> Result<Vec<Splice>, Failure> {
        let items = self.items(spot.list)?;
        self.changeable(items.node(spot)?, &spot.to_string())?;
        if items.nodes.len() == 1 {
            return Err(refused(
                format!("nothing would be left of `{}`", spot.list),
                format!("remove `{}` itself by hand", spot.list),
            ));
        }
        let splices = match items.style {
            StructureStyle::Block => block::remove(&items, spot.index),
            StructureStyle::Flow => flow::remove(&items, spot.index),
        };
        splices.ok_or_else(|| {
            refused(
                format!("{spot} cannot be told from what stands beside it"),
                "write each word on a line of its own: `- --flag=value`",
            )
        })
    }

    /// The words of a list as they stand in the text.
    fn items(&self, list: List) -> Result<Items<'m>, Failure> {
        let node = self
            .node
            .get(list.key())
            .ok_or_else(|| elsewhere(list.key()))?;
        if self.tree.is_shared(node) {
            return Err(is_shared(list.key()));
        }
        let Kind::Sequence(style, nodes) = &node.kind else {
            return Err(elsewhere(list.key()));
        };
        Ok(Items {
            text: self.text,
            nodes,
            style: *style,
        })
    }

    fn scalar(
        &self,
        node: &Node,
        text: &str,
        around: Around,
        name: &str,
    ) -> Result<Splice, Failure> {
        self.changeable(node, name)?;
        let style = match node.kind {
            Kind::Scalar(_, style) => style,
            _ => ScalarStyle::Plain,
        };
        Ok(Splice {
            range: node.range.clone(),
            text: scalar(text, style, around),
        })
    }

    /// Whether a word or an image can be replaced or removed and nothing else changes.
    fn changeable(&self, node: &Node, name: &str) -> Result<(), Failure> {
        if self.tree.is_shared(node) {
            return Err(is_shared(name));
        }
        if node.tagged {
            return Err(refused(
                format!("{name} has a tag"),
                "write it without the tag",
            ));
        }
        match &node.kind {
            Kind::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded) => Err(refused(
                format!("{name} is written over several lines"),
                "write it on one line",
            )),
            Kind::Scalar(..) | Kind::Alias => Ok(()),
            Kind::Sequence(..) | Kind::Mapping(_) => {
                Err(refused(format!("{name} is no text"), "write a text there"))
            }
        }
    }
}

impl<'m> Items<'m> {
    fn node(&self, spot: Spot) -> Result<&'m Node, Failure> {
        let node = self.nodes.get(spot.index);
        node.ok_or_else(|| elsewhere(&spot.to_string()))
    }

    fn around(&self) -> Around {
        match self.style {
            StructureStyle::Block => Around::Block,
            StructureStyle::Flow => Around::Flow,
        }
    }

    /// The quotes of the word before the place, of that behind it when the one before is no flag.
    fn style_near(&self, index: usize) -> ScalarStyle {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.nodes.get(before));
        let candidates = [before, self.nodes.get(index)].into_iter().flatten();
        let scalars: Vec<_> = candidates
            .filter_map(|node| match &node.kind {
                Kind::Scalar(text, style) => Some((text.starts_with('-'), *style)),
                _ => None,
            })
            .collect();
        let flag = scalars.iter().find(|(flag, _)| *flag);
        match flag.or(scalars.first()) {
            Some((_, ScalarStyle::Literal | ScalarStyle::Folded)) | None => ScalarStyle::Plain,
            Some((_, style)) => *style,
        }
    }
}

pub(super) fn refused(message: impl Into<String>, hint: impl Into<Advice>) -> Failure {
    Failure::refused(message).hint(hint)
}

fn is_shared(what: &str) -> Failure {
    refused(
        format!(
            "{what} has an anchor and stands in other places as well, which would change with it"
        ),
        "write it out in the other places",
    )
}

fn elsewhere(what: &str) -> Failure {
    refused(
        format!("{what} is not written out in its place: it comes from an anchor, or is not there"),
        format!("write {what} out in the container"),
    )
}
