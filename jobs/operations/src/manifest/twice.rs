//! A manifest that gives a key twice, read as kubelet reads it: the last one counts.
//!
//! kubelet turns YAML into JSON by way of Go's maps (`sigs.k8s.io/yaml`, not its strict reader), so it runs such a pod. The
//! YAML library of this crate refuses it.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, VariantAccess};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value;
use serde_yaml::value::{Tag, TaggedValue};

/// The value of the first document of a text, and the keys that it gives more than once, each with the way to it.
pub(super) fn read(text: &str) -> Result<(Value, Vec<String>), serde_yaml::Error> {
    let twice = RefCell::new(Vec::new());
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else {
        return Ok((Value::Null, Vec::new()));
    };
    let whole = Node {
        path: String::new(),
        twice: &twice,
    };
    let value = whole.deserialize(document)?;
    Ok((value, twice.into_inner()))
}

/// Reads a node, and notes the keys below it that are given twice.
struct Node<'t> {
    /// The way to it: `spec.containers[0]`.
    path: String,
    twice: &'t RefCell<Vec<String>>,
}

impl Node<'_> {
    fn below(&self, path: String) -> Self {
        Self {
            path,
            twice: self.twice,
        }
    }

    fn of_key(&self, key: &Value) -> String {
        let key = match key {
            Value::String(text) => text.clone(),
            other => serde_yaml::to_string(other).unwrap_or_default(),
        };
        match self.path.as_str() {
            "" => key.trim_end().to_owned(),
            path => format!("{path}.{}", key.trim_end()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        let seed = |at| self.below(format!("{}[{at}]", self.path));
        while let Some(item) = items.next_element_seed(seed(all.len()))? {
            all.push(item);
        }
        Ok(Value::Sequence(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = serde_yaml::Mapping::new();
        while let Some(key) = entries.next_key::<Value>()? {
            let path = self.of_key(&key);
            let value = entries.next_value_seed(self.below(path.clone()))?;
            let is_merge = key.as_str() == Some("<<");
            if all.insert(key, value).is_none() {
                continue;
            }
            if is_merge {
                // What kubelet brings in then is another matter.
                return Err(Error::custom("duplicate entry with key \"<<\""));
            }
            self.twice.borrow_mut().push(path);
        }
        Ok(Value::Mapping(all))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, content) = tagged.variant_seed(TagName)?;
        let value = content.newtype_variant_seed(self)?;
        Ok(Value::Tagged(Box::new(TaggedValue {
            tag: Tag::new(tag),
            value,
        })))
    }
}

/// Reads the name of a tag.
struct TagName;

impl<'de> DeserializeSeed<'de> for TagName {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;

    #[test]
    fn the_last_of_two_keys_counts_as_for_kubelet() {
        let text = "kind: Job\nspec:\n  a: [1]\n  containers:\n  - {image: old, name: etcd, image: new}\n  a: !x 2\nkind: Pod\n";
        let (value, twice) = read(text).unwrap();
        assert_eq!(twice, ["spec.containers[0].image", "spec.a", "kind"]);
        let wanted = "kind: Pod\nspec: {a: !x 2, containers: [{image: new, name: etcd}]}\n";
        assert_eq!(value, serde_yaml::from_str::<Value>(wanted).unwrap());
        assert!(read("a: &a {x: 1}\nb: {<<: *a, <<: *a}\n").is_err());
    }

    #[test]
    fn what_gives_no_key_twice_reads_as_it_always_does() {
        for text in [
            include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml"),
            include_str!("../../tests/manifests/rke2-etcd.yaml"),
            "a: &x [1, -1, 1.5, .inf, ~, true, 'y', !t z, {b: *x2}]\n",
            "a: &x [1, -1, 1.5, ~, true, 'y', !t z, ! w]\nb: {<<: {c: 1}, d: *x}\n1: 2\n",
            "",
        ] {
            let usual = serde_yaml::from_str::<Value>(text).map_err(|error| error.to_string());
            let found = read(text).map_err(|error| error.to_string());
            match usual {
                Ok(value) => assert_eq!(found, Ok((value, Vec::new())), "{text}"),
                Err(_) => assert!(found.is_err(), "{text}"),
            }
        }
    }

    #[test]
    fn a_manifest_with_a_key_twice_is_read_changed_and_told_of() {
        let etcd = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
        let image = "registry.k8s.io/etcd:3.9.9-0";
        let text = etcd.replace(
            "    name: etcd\n    ",
            &format!("    name: etcd\n    image: {image}\n    "),
        );
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.twice(), ["spec.containers[0].image"]);
        let component = manifest.component("etcd").unwrap();
        assert_eq!(component.image(), Some(image));
        let wanted = super::super::Edit::SetImage {
            image: "registry.k8s.io/etcd:4.0.0-0".parse().unwrap(),
        };
        let edited = manifest.edit("etcd", &wanted).unwrap().manifest;
        let after = text.replace(image, "registry.k8s.io/etcd:4.0.0-0");
        assert_eq!(std::str::from_utf8(edited.bytes()).unwrap(), after);
        assert!(Manifest::parse(etcd.as_bytes()).unwrap().twice().is_empty());
    }
}
