//! Logins for registries out of a file, as docker, podman and Kubernetes keep them (`config.json`, `auth.json`), and which
//! of them is meant for an image, as kubelet finds it (`pkg/credentialprovider/keyring.go`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
// As Kubernetes reads it: `=` at the end or not.
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use etcd_datadir::disk::read_up_to;
use serde::Deserialize;

use crate::failure::Failure;
use crate::limits::LOGINS_BYTES;
use crate::runtime::Login;

/// Where kubelet looks, below its own folder first; its home is the root where systemd starts it.
const OF_KUBELET: [&str; 3] = [
    "/var/lib/kubelet/config.json",
    "/config.json",
    "/.docker/config.json",
];

/// docker.io by the name it has in such files.
const DOCKER: &str = "index.docker.io";

/// Logins for registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logins {
    /// The file they were read from; none: there is none.
    pub file: Option<PathBuf>,
    /// By the registries' names, with as much of a path as they are for; the later in the alphabet come first, so that
    /// longer paths do.
    of: Vec<(String, Login)>,
    /// Registries for which a program would have to be asked, and which.
    helpers: BTreeMap<String, String>,
    /// The program that would have to be asked for all others.
    store: Option<String>,
}

/// The file.
#[derive(Deserialize)]
struct Config {
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

/// A registry's login there.
#[derive(Deserialize)]
struct Entry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
    identitytoken: Option<String>,
}

impl Logins {
    /// Those of a file.
    ///
    /// # Errors
    /// `FailureKind::Missing` when it cannot be read, `FailureKind::Other` when it is not such a file, or there is no
    /// login in it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let logins = Self::parse(path, &read(path)?)?;
        match logins.of.is_empty() && logins.helpers.is_empty() && logins.store.is_none() {
            true => Err(no_logins(path, "there is no login in it")),
            false => Ok(logins),
        }
    }

    /// Those that kubelet has of its own on this host: of the first such file there is; none, when there is no file.
    ///
    /// # Errors
    /// `FailureKind::Missing` when it is there and cannot be read, `FailureKind::Other` when it is not such a file.
    pub fn of_kubelet() -> Result<Self, Failure> {
        let mut there = OF_KUBELET.map(Path::new).into_iter();
        match there.find(|path| path.is_file()) {
            Some(path) => Self::parse(path, &read(path)?),
            None => Ok(Self::default()),
        }
    }

    /// What such a file says. An error repeats nothing of it but registries' names.
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Failure> {
        let config: Config = serde_json::from_slice(bytes).map_err(|error| {
            // Its own words would show what it stumbled over.
            let (line, column) = (error.line(), error.column());
            no_logins(path, &format!("line {line}, column {column}"))
        })?;
        let mut of = Vec::new();
        for (registry, entry) in config.auths.unwrap_or_default() {
            let login = entry
                .login()
                .map_err(|why| no_logins(path, &format!("the login for {registry}: {why}")))?;
            of.extend(login.map(|login| (registry_key(&registry), login)));
        }
        of.sort_by(|(one, _), (other, _)| other.cmp(one));
        let helpers = config.helpers.unwrap_or_default().into_iter();
        Ok(Self {
            file: Some(path.to_owned()),
            of,
            helpers: helpers
                .map(|(registry, program)| (registry_key(&registry), program))
                .collect(),
            store: config.store.filter(|program| !program.is_empty()),
        })
    }

    /// The logins that are meant for an image, the one for the longest path first. They are tried one after another.
    pub(crate) fn of_image(&self, image: &str) -> Vec<&Login> {
        let repository = repository(image);
        let meant = |key: &str| is_meant(key, &repository);
        let mut found: Vec<&Login> = self.all_of(meant).collect();
        if found.is_empty() && repository.starts_with("docker.io/") {
            found.extend(self.all_of(|key| key == DOCKER));
        }
        found
    }

    /// The program that would have to be asked for the login for an image, when the file has no login itself.
    pub(crate) fn helper_of_image(&self, image: &str) -> Option<&str> {
        let repository = repository(image);
        let docker = repository.starts_with("docker.io/");
        let named = self
            .helpers
            .iter()
            .find(|(key, _)| is_meant(key, &repository) || docker && key.as_str() == DOCKER);
        let program = named.map(|(_, program)| program).or(self.store.as_ref());
        program.map(String::as_str)
    }

    fn all_of(&self, meant: impl Fn(&str) -> bool) -> impl Iterator<Item = &Login> {
        let meant = self.of.iter().filter(move |(key, _)| meant(key));
        meant.map(|(_, login)| login)
    }
}

impl Entry {
    /// An entry without anything in it is what is left of a login that a program keeps.
    fn login(self) -> Result<Option<Login>, &'static str> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = filled(self.identitytoken) {
            return Ok(Some(Login {
                identity_token: token,
                ..Login::default()
            }));
        }
        if let Some(auth) = filled(self.auth) {
            const FORM: &str = "`auth` has to be USER:PASSWORD in base64";
            let bytes = BASE64.decode(auth.trim()).map_err(|_| FORM)?;
            let text = String::from_utf8(bytes).map_err(|_| FORM)?;
            let (user, password) = text.split_once(':').ok_or(FORM)?;
            // docker fills the password up.
            return Ok(Some(of_user(user, password.trim_end_matches('\0'))));
        }
        let user = filled(self.username);
        Ok(user.map(|user| of_user(&user, &self.password.unwrap_or_default())))
    }
}

fn of_user(user: &str, password: &str) -> Login {
    Login {
        username: user.to_owned(),
        password: password.to_owned(),
        ..Login::default()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(path, LOGINS_BYTES).map_err(|error| {
        let message = format!("could not read {}: {error}", path.display());
        Failure::missing(message)
    })
}

fn no_logins(path: &Path, why: &str) -> Failure {
    let message = format!("{} is no file of logins: {why}", path.display());
    Failure::other(message)
        .hint("it is what `docker login` and `podman login` write: {\"auths\": {REGISTRY: {\"auth\": …}}}")
}

/// A registry as such a file names it, perhaps by its address, without what is not of its name: `https://`, `/v1/`.
fn registry_key(registry: &str) -> String {
    let plain = ["https://", "http://"].into_iter();
    let plain = plain.fold(registry, |text, scheme| {
        text.strip_prefix(scheme).unwrap_or(text)
    });
    let (host, path) = plain.split_once('/').unwrap_or((plain, ""));
    let path = ["v1/", "v2/"].into_iter().fold(path, |path, version| {
        path.strip_prefix(version).unwrap_or(path)
    });
    match path.is_empty() {
        true => host.to_owned(),
        false => format!("{host}/{path}"),
    }
}

/// An image's registry and path, without tag and digest: `etcd:3` is `docker.io/library/etcd`.
fn repository(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    match name.split_once('/') {
        Some((DOCKER, path)) => format!("docker.io/{path}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

/// Whether an entry is meant for a repository: its host, each part of which may be a pattern, its port, and a path that it
/// begins with.
fn is_meant(key: &str, repository: &str) -> bool {
    let (key_host, key_path) = key.split_once('/').unwrap_or((key, ""));
    let (host, path) = repository.split_once('/').unwrap_or((repository, ""));
    let ((key_host, key_port), (host, port)) = (split_port(key_host), split_port(host));
    let (key_parts, parts): (Vec<&str>, Vec<&str>) =
        (key_host.split('.').collect(), host.split('.').collect());
    key_port == port
        && path.starts_with(key_path)
        && key_parts.len() == parts.len()
        && key_parts.iter().zip(&parts).all(|(key, part)| {
            key == part || glob::Pattern::new(key).is_ok_and(|pattern| pattern.matches(part))
        })
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::failure::FailureKind;

    fn logins(file: &serde_json::Value) -> Result<Logins, Failure> {
        Logins::parse(Path::new("/auth.json"), file.to_string().as_bytes())
    }

    fn login(user: &str) -> Login {
        of_user(user, "pass:word")
    }

    fn auth(user: &str) -> serde_json::Value {
        json!({"auth": BASE64.encode(format!("{user}:pass:word"))})
    }

    #[test]
    fn each_way_to_write_a_login_is_read() {
        let found = logins(&json!({"auths": {
            "a.example": auth("a"),
            "b.example": {"username": "b", "password": "pass:word", "email": "x@y"},
            "c.example": {"auth": BASE64.encode("0000:"), "identitytoken": "t"},
            "d.example": {},
            "e.example": {"auth": BASE64.encode("e:pass:word").trim_end_matches('=')},
        }, "HttpHeaders": {}}))
        .unwrap();
        assert_eq!(found.of_image("a.example/etcd:1"), [&login("a")]);
        assert_eq!(found.of_image("b.example/etcd"), [&login("b")]);
        let token = Login {
            identity_token: "t".into(),
            ..Login::default()
        };
        assert_eq!(found.of_image("c.example/x/y@sha256:ab"), [&token]);
        assert!(found.of_image("d.example/etcd").is_empty());
        assert_eq!(found.of_image("e.example/etcd"), [&login("e")]);
        assert!(found.of_image("etcd").is_empty());
    }

    #[test]
    fn the_login_is_the_one_kubelet_would_take() {
        let found = logins(&json!({"auths": {
            "r.example": auth("host"),
            "https://r.example/team": auth("team"),
            "r.example:5000": auth("port"),
            "*.cloud.example": auth("any"),
            "https://index.docker.io/v1/": auth("hub"),
            "[::1]:5000": auth("six"),
        }}))
        .unwrap();
        for (image, users) in [
            ("r.example/etcd:1", &["host"][..]),
            ("r.example/team/etcd:1", &["team", "host"]),
            ("r.example:5000/etcd", &["port"]),
            ("r.example:5001/etcd", &[]),
            ("x.cloud.example/etcd", &["any"]),
            ("x.y.cloud.example/etcd", &[]),
            ("etcd", &["hub"]),
            ("me/etcd:1", &["hub"]),
            ("docker.io/me/etcd", &["hub"]),
            ("index.docker.io/me/etcd", &["hub"]),
            ("localhost/etcd", &[]),
            ("[::1]:5000/etcd", &["six"]),
        ] {
            let expected: Vec<Login> = users.iter().map(|user| login(user)).collect();
            let expected: Vec<&Login> = expected.iter().collect();
            assert_eq!(found.of_image(image).len(), expected.len(), "{image}");
            assert!(found.of_image(image) == expected, "{image}");
        }
    }

    #[test]
    fn programs_that_keep_logins_are_told() {
        let found = logins(&json!({
            "auths": {"r.example": {}},
            "credHelpers": {"gcr.example": "gcloud", "docker.io": "hub"},
        }))
        .unwrap();
        assert_eq!(found.helper_of_image("gcr.example/etcd"), Some("gcloud"));
        assert_eq!(found.helper_of_image("etcd"), Some("hub"));
        assert_eq!(found.helper_of_image("r.example/etcd"), None);
        let found = logins(&json!({"credsStore": "desktop"})).unwrap();
        assert_eq!(found.helper_of_image("r.example/etcd"), Some("desktop"));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_is_secret() {
        for (file, said) in [
            (
                r#"{"auths": {"r.example": {"auth": "c2VjcmV0"}}}"#,
                "r.example",
            ),
            (r#"{"auths": {"r.example": {"auth": "secret!"}}}"#, "base64"),
            (r#"{"auths": "secret"}"#, "line 1"),
            (r#"{"auths": {"r.example": "secret"}}"#, "line 1"),
            ("secret", "line 1"),
            (r#"{"secret": {}"#, "column"),
        ] {
            let failure = Logins::parse(Path::new("/a"), file.as_bytes()).unwrap_err();
            let text = format!("{failure} {:?}", failure.hint);
            assert!(failure.message.contains(said), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "{}").unwrap();
        assert!(Logins::read(&empty).is_err());
        let gone = Logins::read(Path::new("/none")).unwrap_err();
        assert_eq!(gone.kind, FailureKind::Missing);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>) {
            drop(Logins::parse(Path::new("/a"), &bytes));
        }

        #[test]
        fn any_file_of_this_form_is_taken(registry: String, text: String, image: String) {
            let entry = |key: &str| json!({"auths": {registry.clone(): {key: text.clone()}}});
            for key in ["auth", "username", "identitytoken"] {
                if let Ok(logins) = logins(&entry(key)) {
                    logins.of_image(&image);
                    logins.helper_of_image(&image);
                }
            }
        }

        #[test]
        fn a_login_for_a_host_is_meant_for_all_its_images(
            host in "[a-z]{1,5}(\\.[a-z]{1,5}){1,2}(:[0-9]{2,4})?",
            path in "[a-z]{1,5}(/[a-z]{1,5}){0,2}",
            tag in "(:[a-z0-9.]{1,5})?(@sha256:[0-9a-f]{4})?",
            user in "[a-z]{1,8}",
            other in "[a-z]{6,9}",
        ) {
            let found = logins(&json!({"auths": {host.clone(): auth(&user)}})).unwrap();
            let image = format!("{host}/{path}{tag}");
            prop_assert!(found.of_image(&image) == [&login(&user)], "{image}");
            let image = format!("{other}.{host}/{path}{tag}");
            prop_assert!(found.of_image(&image).is_empty(), "{image}");
        }
    }
}
