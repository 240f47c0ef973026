//! What the apiserver's keys and values tell without being read in full.
//!
//! Keys: `/registry/<resource>/[<namespace>/]<name>` for built-in resources, with the group before the resource for
//! others. Values: protobuf behind `k8s\0`, JSON for custom resources, or encrypted behind `k8s:enc:`. Of a value only
//! the creation time and the name of the encryption key are taken; its content is looked at by nobody.

use std::borrow::Cow;

use crate::raft::wire::Fields;

/// What a key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName<'k> {
    /// The resource as kubectl calls it, with its group if the key has one: `pods`, `deployments`,
    /// `widgets.example.com`.
    pub resource: Cow<'k, str>,
    /// The namespace, for what is in one.
    pub namespace: Option<&'k str>,
}

/// Resources whose keys bear another name than kubectl.
const OLD_NAMES: [(&str, &str); 5] = [
    ("minions", "nodes"),
    ("controllers", "replicationcontrollers"),
    ("services/specs", "services"),
    ("services/endpoints", "endpoints"),
    ("ingress", "ingresses"),
];

/// Resources that are in no namespace though a part of their name looks like one.
const NOT_NAMESPACED: [&str; 2] = ["ranges", "masterleases"];

/// Reads a key of the apiserver; `prefix` is its `--etcd-prefix`, usually `/registry`. `None` for a key of someone else.
///
/// Whether `a/b` is an object `b` in a namespace `a` can only be told from the number of parts.
pub fn object_name<'k>(key: &'k [u8], prefix: &str) -> Option<ObjectName<'k>> {
    let key = std::str::from_utf8(key).ok()?;
    let rest = key
        .strip_prefix(prefix.trim_end_matches('/'))?
        .strip_prefix('/')?;
    let (first, after) = rest.split_once('/').unwrap_or((rest, ""));
    // A group has a point in its name, and no built-in resource does.
    let (resource, after) = match after.split_once('/') {
        Some((second, after)) if first.contains('.') => {
            (Cow::Owned(format!("{second}.{first}")), after)
        }
        Some((second, after)) if first == "services" => (
            Cow::Borrowed(&rest[..first.len() + 1 + second.len()]),
            after,
        ),
        _ => (Cow::Borrowed(first), after),
    };
    let known = OLD_NAMES
        .iter()
        .find(|(old, _)| *old == resource)
        .map(|(_, new)| Cow::Borrowed(*new));
    let resource = known.unwrap_or(resource);
    let namespaced = !NOT_NAMESPACED.contains(&resource.as_ref());
    let namespace = after
        .split_once('/')
        .filter(|_| namespaced)
        .map(|(namespace, _)| namespace);
    Some(ObjectName {
        resource,
        namespace,
    })
}

/// Whether a key and its value are an object of Kubernetes that somebody would miss. Events are none: an etcd may hold them
/// alone, and a snapshot of it is not one of the cluster.
///
/// Told by the value, as the apiserver's `--etcd-prefix` may be anything: it stores its own resources behind `k8s\0` or
/// encrypted, and others as JSON with their version in front; or by the prefix that it has when it is told of none.
pub fn is_object(key: &[u8], value: &[u8]) -> bool {
    let stored = value.starts_with(b"k8s\0") || value.starts_with(b"k8s:enc:");
    let json = value.starts_with(b"{")
        && contains(&value[..value.len().min(JSON_HEAD)], b"\"apiVersion\"");
    let usual = key.starts_with(b"/registry/");
    (stored || json || usual) && !contains(key, b"/events/")
}

/// In the first so many bytes of an object's JSON its version is looked for. The apiserver writes it first.
const JSON_HEAD: usize = 256;

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// With what a value was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct EncryptionKey {
    /// `aescbc`, `aesgcm`, `secretbox`, or `kms` with its version: `kms:v2`.
    pub provider: String,
    /// The key's name in the encryption configuration; for `kms` the plugin's name.
    pub name: String,
}

impl EncryptionKey {
    /// Reads the beginning of a value; `None` if it is not encrypted.
    ///
    /// Never more than the provider and the name are taken: the bytes after them are the secret.
    pub fn of(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(b"k8s:enc:")?;
        // Each part ends with a colon; what has no colon behind it may be content already.
        let head = &rest[..rest.len().min(600)];
        let mut parts = head.splitn(4, |byte| *byte == b':');
        let (provider, version, name, _content) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let readable = |part: &[u8]| {
            part.iter()
                .all(u8::is_ascii_graphic)
                .then(|| part.escape_ascii().to_string())
        };
        let (provider, version, name) = (readable(provider)?, readable(version)?, readable(name)?);
        let provider = if provider == "kms" {
            format!("{provider}:{version}")
        } else {
            provider
        };
        Some(Self { provider, name })
    }
}

/// When an object was created, in seconds since 1970; `None` if the value does not tell (encrypted, or no object).
pub(crate) fn creation_time(value: &[u8]) -> Option<i64> {
    if let Some(unknown) = value.strip_prefix(b"k8s\0") {
        // runtime.Unknown.raw, ObjectMeta, creationTimestamp, seconds
        let raw = message(unknown, 2)?;
        let time = message(message(raw, 1)?, 8)?;
        let seconds = Fields::new(time)
            .flatten()
            .find(|field| field.number == 1)?
            .varint()
            .ok()?;
        return Some(seconds.cast_signed());
    }
    if value.first() == Some(&b'{') {
        let object: JsonObject<'_> = serde_json::from_slice(value).ok()?;
        return seconds_of(object.metadata.creation_timestamp?);
    }
    None
}

/// What a ConfigMap has under a key of its `data`; `None` if the value does not tell (encrypted, or no ConfigMap), or has
/// no such key.
pub fn config_map_entry(value: &[u8], key: &str) -> Option<String> {
    if let Some(unknown) = value.strip_prefix(b"k8s\0") {
        // runtime.Unknown.raw, ConfigMap.data: entries of a key and a value
        let raw = message(unknown, 2)?;
        let mut entries = Fields::new(raw)
            .flatten()
            .filter(|field| field.number == 2)
            .filter_map(|field| field.bytes().ok());
        let entry = entries.find(|entry| message(entry, 1) == Some(key.as_bytes()))?;
        return String::from_utf8(message(entry, 2)?.to_vec()).ok();
    }
    let object: serde_json::Value = serde_json::from_slice(value).ok()?;
    object.get("data")?.get(key)?.as_str().map(str::to_owned)
}

/// An object's uid, which no other object of any cluster has; `None` if the value does not tell (encrypted, or no object).
pub fn uid(value: &[u8]) -> Option<String> {
    let text = if let Some(unknown) = value.strip_prefix(b"k8s\0") {
        // runtime.Unknown.raw, ObjectMeta, uid
        let uid = message(message(message(unknown, 2)?, 1)?, 5)?;
        String::from_utf8(uid.to_vec()).ok()?
    } else {
        let object: serde_json::Value = serde_json::from_slice(value).ok()?;
        object.get("metadata")?.get("uid")?.as_str()?.to_owned()
    };
    is_uuid(&text).then_some(text)
}

/// Whether it has the form in which the apiserver writes uids: `8-4-4-4-12` hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// The message in field `number` of another.
fn message(of: &[u8], number: u64) -> Option<&[u8]> {
    let fields = Fields::new(of).flatten();
    fields
        .into_iter()
        .find(|field| field.number == number)?
        .bytes()
        .ok()
}

#[derive(serde::Deserialize)]
struct JsonObject<'a> {
    #[serde(borrow)]
    metadata: JsonMetadata<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonMetadata<'a> {
    #[serde(borrow, default)]
    creation_timestamp: Option<&'a str>,
}

/// Seconds since 1970 of `2026-01-31T12:00:00Z`, the only form the apiserver writes.
fn seconds_of(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let numbers = |text: &str, by: char| -> Option<[i64; 3]> {
        let mut parts = text
            .splitn(3, by)
            .map(|part| part.parse::<u32>().ok().map(i64::from));
        Some([parts.next()??, parts.next()??, parts.next()??])
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970, counting years from March so that the leap day is the last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn objects_are_told_from_other_keys_whatever_the_prefix() {
        for (key, value) in [
            ("/registry/pods/a/b", "x"),
            ("/registry/compact", "k8s\0..."),
            ("/other/pods/a/b", "k8s\0\n"),
            ("/other/secrets/a/b", "k8s:enc:aescbc:v1:key1:..."),
            (
                "/other/x.example/y/a/b",
                "{\"apiVersion\":\"x.example/v1\",\"kind\":\"Y\"}",
            ),
        ] {
            assert!(is_object(key.as_bytes(), value.as_bytes()), "{key}");
        }
        for (key, value) in [
            ("/registry/events/default/a.17", "k8s\0\n"),
            ("/other/events/default/a.17", "k8s\0\n"),
            ("compact_rev_key", "17"),
            ("/calico/v1/host", "{\"a\":1}"),
            ("", ""),
        ] {
            assert!(!is_object(key.as_bytes(), value.as_bytes()), "{key}");
        }
    }

    #[test]
    fn keys_are_read_as_the_apiserver_writes_them() {
        for (key, resource, namespace) in [
            (
                "/registry/pods/kube-system/etcd-1",
                "pods",
                Some("kube-system"),
            ),
            ("/registry/minions/node-1", "nodes", None),
            (
                "/registry/services/specs/default/kubernetes",
                "services",
                Some("default"),
            ),
            (
                "/registry/services/endpoints/default/kubernetes",
                "endpoints",
                Some("default"),
            ),
            ("/registry/clusterroles/system:node", "clusterroles", None),
            ("/registry/masterleases/10.0.0.1", "masterleases", None),
            ("/registry/ranges/serviceips", "ranges", None),
            (
                "/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.com",
                "customresourcedefinitions.apiextensions.k8s.io",
                None,
            ),
            (
                "/registry/example.com/widgets/default/one",
                "widgets.example.com",
                Some("default"),
            ),
            ("/registry/health", "health", None),
        ] {
            let name = object_name(key.as_bytes(), "/registry").unwrap();
            assert_eq!(
                (name.resource.as_ref(), name.namespace),
                (resource, namespace),
                "{key}"
            );
        }
        assert_eq!(object_name(b"compact_rev_key", "/registry"), None);
        assert_eq!(object_name(b"/registryother/pods/a/b", "/registry"), None);
        assert!(object_name(b"/other/pods/a/b", "/other/").is_some());
    }

    #[test]
    fn only_the_key_name_of_an_encrypted_value_is_taken() {
        let key = |value: &[u8]| {
            EncryptionKey::of(value).map(|key| format!("{}/{}", key.provider, key.name))
        };
        assert_eq!(
            key(b"k8s:enc:aescbc:v1:key1:\x00\xff:::").as_deref(),
            Some("aescbc/key1")
        );
        assert_eq!(
            key(b"k8s:enc:kms:v2:vault:\x0a\x01").as_deref(),
            Some("kms:v2/vault")
        );
        assert_eq!(key(b"k8s\0anything"), None);
        assert_eq!(key(b"k8s:enc:aescbc:v1:bytes-without-an-end"), None);
    }

    #[test]
    fn creation_times_are_found_in_both_forms() {
        // Unknown{raw: Object{metadata: {creationTimestamp: {seconds: 300}}}}
        let protobuf = b"k8s\0\x12\x07\x0a\x05\x42\x03\x08\xac\x02";
        assert_eq!(creation_time(protobuf), Some(300));
        let json = br#"{"metadata":{"name":"a","creationTimestamp":"2026-03-01T00:00:01Z"},"spec":[{"x":1}]}"#;
        assert_eq!(creation_time(json), Some(1_772_323_201));
        assert_eq!(seconds_of("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds_of("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(seconds_of("2000-13-01T00:00:00Z"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_left_alone(mut value in proptest::collection::vec(any::<u8>(), 0..80), kind in 0..4) {
            let head: &[u8] = match kind { 0 => b"k8s\0", 1 => b"k8s:enc:", 2 => b"{\"metadata\":", _ => b"" };
            value.splice(0..0, head.iter().copied());
            let _ = creation_time(&value);
            let _ = uid(&value);
            let _ = config_map_entry(&value, "ca.crt");
            let _ = EncryptionKey::of(&value);
            let _ = object_name(&value, "/registry");
        }

        #[test]
        fn a_uid_is_found_among_whatever_is_stored_beside_it(
            wanted in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            name in "[a-z-]{0,200}",
            after in proptest::collection::vec(any::<u8>(), 0..200),
            cut in any::<prop::sample::Index>(),
            (at, byte) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let field = |number: u8, bytes: &[u8]| {
                let mut out = vec![number << 3 | 2];
                let mut length = bytes.len();
                while length >= 0x80 {
                    out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                    length >>= 7;
                }
                out.push(u8::try_from(length).unwrap());
                out.extend_from_slice(bytes);
                out
            };
            let metadata = [field(1, name.as_bytes()), field(3, b""), field(5, wanted.as_bytes()), field(15, &after)].concat();
            let object = [field(1, &metadata), field(2, &after)].concat();
            let value = [b"k8s\0".to_vec(), field(1, b"\x0a\x02v1"), field(2, &object)].concat();
            prop_assert_eq!(uid(&value), Some(wanted.clone()));
            let json = serde_json::json!({"kind": "Namespace", "metadata": {"name": name, "uid": wanted}});
            prop_assert_eq!(uid(json.to_string().as_bytes()), Some(wanted));
            // Cut or changed, it is read or left alone.
            let _ = uid(&value[..cut.index(value.len())]);
            let mut changed = value.clone();
            changed[at.index(value.len())] = byte;
            let _ = uid(&changed);
        }

        #[test]
        fn any_text_is_a_time_or_not(text in "[0-9]{1,4}-[0-9]{1,12}-[0-9]{1,12}T[0-9]{1,3}:[0-9]{2}:[0-9]{2}Z") {
            let _ = seconds_of(&text);
        }
    }
}
